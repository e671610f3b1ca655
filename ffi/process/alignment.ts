/**
 * Rounds addresses and sizes to multiples of powers of two.
 *
 * @module
 */

/** Rounds `value` up to a multiple of `alignment`, a power of two. */
export function alignUp(value: bigint, alignment: bigint): bigint {
  return (value + alignment - 1n) & -alignment;
}

/** Rounds `value` down to a multiple of `alignment`, a power of two. */
export function alignDown(value: bigint, alignment: bigint): bigint {
  return value & -alignment;
}
