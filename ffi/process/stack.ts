/**
 * Makes sure that there is room on the stack.
 *
 * @module
 */

/**
 * The number of frames for code that calls functions that V8 may have to compile first,
 * or has inlined. V8 needs 40 KiB for that, and a frame of `requireStack` takes 55 bytes
 * or more.
 */
export const MUCH = 1000;

/**
 * Throws a `RangeError` if the stack is nearly used up.
 *
 * SAFETY: called before native calls that cannot be undone. Otherwise the error could
 * come directly after the call, and what the call has done would not be recorded.
 */
export function requireStack(frames: number = 100): number {
  return frames === 0 ? 0 : 1 + requireStack(frames - 1);
}
