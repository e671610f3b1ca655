/**
 * Checks of the caller's arguments, which come before any native call. Nothing in
 * this file runs the caller's code: no `toString`, no `valueOf`, no overridden getter.
 *
 * @module
 */

import { indexIn } from "./intrinsics.ts";
import { rangeError, typeError } from "./caller.ts";
import { show } from "./show.ts";

/** The largest size in bytes: Linux's address space on x86-64. */
export const MAX_SIZE = 2 ** 47;

/** The highest number of a file descriptor: C's INT_MAX. */
export const MAX_FD = 2 ** 31 - 1;

/** Makes a `TypeError` for a value of the wrong type. */
export function wrongType(
  action: string,
  name: string,
  rule: string,
  value: unknown,
): TypeError {
  return typeError(
    `Cannot ${action} as ${name} must be ${rule}: received ${show(value)}`,
  );
}

/** Makes a `RangeError` for a value that has the right type and is out of range. */
export function outOfRange(
  action: string,
  name: string,
  rule: string,
  value: unknown,
): RangeError {
  return rangeError(
    `Cannot ${action} as ${name} must be ${rule}: received ${show(value)}`,
  );
}

/** Whether a value is an object, and so may have private fields. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Makes a `TypeError` for a method that was called on another kind of object. */
export function wrongThis(action: string, what: string): TypeError {
  return typeError(
    `Cannot ${action} as \`this\` is not ${what}: call it as a method of one`,
  );
}

/** Makes a `TypeError` for an object that is closed. */
export function isClosed(action: string, what: string): TypeError {
  return typeError(`Cannot ${action} as the ${what} is closed`);
}

/** Taken at import, before anyone could replace it. */
const isSafeInteger = Number.isSafeInteger as (
  value: unknown,
) => value is number;

/** Throws unless the value is an integer in [`min`, `max`]. */
export function checkInteger(
  action: string,
  name: string,
  value: unknown,
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (!(isSafeInteger(value) && value >= min && value <= max)) {
    throw notInteger(action, name, value, min, max);
  }
}

function notInteger(
  action: string,
  name: string,
  value: unknown,
  min: number,
  max: number,
): Error {
  return typeof value === "number"
    ? outOfRange(action, name, integerRule(min, max), value)
    : wrongType(action, name, "a number", value);
}

function integerRule(min: number, max: number): string {
  if (max !== Number.MAX_SAFE_INTEGER) {
    return `an integer from ${min} to ${max}`;
  }
  return min === 0
    ? "a non-negative safe integer"
    : `a safe integer from ${min}`;
}

/** Throws unless the value is a bigint in [`min`, `max`]. */
export function checkBigInt(
  action: string,
  name: string,
  value: unknown,
  min: bigint,
  max: bigint,
): asserts value is bigint {
  if (typeof value !== "bigint") {
    throw wrongType(action, name, "a bigint", value);
  }
  if (value < min || value > max) {
    throw outOfRange(action, name, `from ${min}n to ${max}n`, value);
  }
}

/** Throws unless the value is a boolean. */
export function checkBoolean(
  action: string,
  name: string,
  value: unknown,
): asserts value is boolean {
  if (typeof value !== "boolean") {
    throw wrongType(action, name, "a boolean", value);
  }
}

/** Throws unless the value is one of the strings. */
export function checkOneOf<T extends string>(
  action: string,
  name: string,
  value: unknown,
  texts: readonly T[],
): asserts value is T {
  if (indexIn(texts, value) === -1) {
    const list = texts.map((text) => `"${text}"`).join(" or ");
    throw wrongType(action, name, list, value);
  }
}

/**
 * Whether [`offset`, `offset + length`) lies in [0, `size`).
 *
 * PERF: kept apart from the errors, since V8 inlines short functions, up to a limit.
 */
export function isRange(
  offset: unknown,
  length: unknown,
  size: number,
): offset is number {
  return isSafeInteger(offset) && isSafeInteger(length) && offset >= 0 &&
    length >= 0 && length <= size - offset;
}

/** Throws unless [`offset`, `offset + length`) lies in [0, `size`). */
export function checkRange(
  action: string,
  offset: unknown,
  length: unknown,
  size: number,
  whole: string,
  name = "offset",
  lengthName = "length",
): asserts offset is number {
  if (!isRange(offset, length, size)) {
    throw notRange(action, offset, length, size, whole, name, lengthName);
  }
}

function notRange(
  action: string,
  offset: unknown,
  length: unknown,
  size: number,
  whole: string,
  name: string,
  lengthName: string,
): Error {
  checkInteger(action, name, offset);
  checkInteger(action, lengthName, length);
  return offset > size
    ? outOfRange(action, name, `at most ${size}, the ${whole}'s size`, offset)
    : rangeError(
      `Cannot ${action} as ${name} + ${lengthName} must be at most ${size}, the ${whole}'s size: received ${offset} + ${length}`,
    );
}
