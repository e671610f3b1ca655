/**
 * Room on the stack.
 *
 * @module
 */

/**
 * Throws a `RangeError` if the stack is nearly used up. It goes before what is
 * native and can't be taken back: the error would come in between, otherwise,
 * and what was done would not be noted.
 */
export function requireStack(frames: number = 100): number {
  return frames === 0 ? 0 : 1 + requireStack(frames - 1);
}
