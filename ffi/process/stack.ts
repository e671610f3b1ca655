/**
 * Room on the stack.
 *
 * @module
 */

/**
 * Frames for what calls functions that V8 may have to compile first, or has
 * compiled with others in them: it wants 40 KiB free for that, and a frame of
 * this takes 55 bytes or more.
 */
export const MUCH = 1000;

/**
 * Throws a `RangeError` if the stack is nearly used up. It goes before what is
 * native and can't be taken back: the error would come in between, otherwise,
 * and what was done would not be noted.
 */
export function requireStack(frames: number = 100): number {
  return frames === 0 ? 0 : 1 + requireStack(frames - 1);
}
