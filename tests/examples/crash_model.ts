/**
 * What the crash tests of the examples have in common.
 *
 * @module
 */

import type { EmulatedPmem } from "@pmem2/pmem2/testing";
import { assertEquals } from "@std/assert";

/** Whether a file is there. */
export function exists(pmem: EmulatedPmem, name: string): boolean {
  try {
    return Deno.statSync(pmem.path(name)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Asserts that a structure is as it was after what was acknowledged, or after the
 * next thing, which was cut off: that's all or nothing.
 *
 * @param states What it is like after each thing, from none on.
 */
export function assertOneOf<T>(
  actual: T,
  states: readonly T[],
  acknowledged: number,
): void {
  const next = states[acknowledged + 1];
  if (next !== undefined && Deno.inspect(actual) === Deno.inspect(next)) return;
  assertEquals(actual, states[acknowledged]);
}
