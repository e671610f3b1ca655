/**
 * The range that a caller means: an offset and a length, or a view.
 *
 * @module
 */

import * as argument from "./argument.ts";
import { checkRange, wrongType } from "./argument.ts";
import { typeError } from "./caller.ts";
import * as views from "./views.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
const { isRange } = argument;
const { isArrayBufferView, viewGetters } = views;

/** What a range is to lie in: a map or a reservation. */
export interface Whole {
  readonly size: number;
  /** How errors name it. */
  readonly noun: string;
  /** What a view on its memory is. */
  readonly viewRule: string;
  /** Where a view starts in it, or null if it's not on a buffer of its own. */
  startOfView(view: ArrayBufferView): number | null;
}

export const NUMBERS_ONLY = true;

/**
 * Where a range or a view starts. Whether a number lies in the whole,
 * {@linkcode countOf} checks, which comes next: once for both.
 */
export function startOf(
  action: string,
  whole: Whole,
  offset: unknown,
  numbersOnly = false,
): number {
  return typeof offset === "number"
    ? offset
    : otherStart(action, whole, offset, numbersOnly);
}

function otherStart(
  action: string,
  whole: Whole,
  offset: unknown,
  numbersOnly: boolean,
): number {
  if (offset === undefined) return 0;
  if (numbersOnly) throw wrongType(action, "offset", "a number", offset);
  if (!isArrayBufferView(offset)) {
    throw wrongType(
      action,
      "offset",
      "a number or a view on the buffer",
      offset,
    );
  }
  const start = whole.startOfView(offset);
  if (start === null) {
    throw typeError(
      `Cannot ${action} as the view must be ${whole.viewRule}`,
    );
  }
  return start;
}

/** How many bytes the range or the view has. */
export function countOf(
  action: string,
  whole: Whole,
  start: number,
  length: unknown,
  view?: unknown,
): number {
  return isRange(start, length, whole.size) && typeof view !== "object"
    ? length as number
    : otherCount(action, whole, start, length, view);
}

function otherCount(
  action: string,
  whole: Whole,
  start: number,
  length: unknown,
  view: unknown,
): number {
  if (typeof view === "object" && view !== null) {
    return viewGetters(view as ArrayBufferView).byteLength(view);
  }
  const toEnd = length === undefined;
  checkRange(action, start, toEnd ? 0 : length, whole.size, whole.noun);
  return toEnd ? whole.size - start : length as number;
}
