/**
 * Multiples of powers of two.
 *
 * @module
 */

/** The lowest multiple of `alignment`, a power of two, from `value` on. */
export function alignUp(value: bigint, alignment: bigint): bigint {
  return (value + alignment - 1n) & -alignment;
}

/** The highest multiple of `alignment` up to `value`. */
export function alignDown(value: bigint, alignment: bigint): bigint {
  return value & -alignment;
}
