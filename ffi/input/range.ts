/**
 * The range that a caller gives: an offset and a length, or a view.
 *
 * @module
 */

import * as argument from "./argument.ts";
import { checkRange, wrongType } from "./argument.ts";
import { typeError } from "./caller.ts";
import * as views from "./views.ts";

// PERF: see preload.ts.
const { isRange } = argument;
const { isArrayBufferView, viewGetters } = views;

/** What the range must lie in: a map or a reservation. */
export interface Whole {
  readonly size: number;
  /** What errors call it. */
  readonly noun: string;
  /** What errors say a view must be. */
  readonly viewRule: string;
  /** Returns the offset of a view on its memory, or null for any other view. */
  startOfView(view: ArrayBufferView): number | null;
}

export const NUMBERS_ONLY = true;

/**
 * Returns where a range or a view starts. {@linkcode countOf}, which comes next,
 * checks that a number is in range: one check for both numbers.
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

/** Returns how many bytes the range or the view has. */
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
