/**
 * Asserts how libpmem2 or the system refused something.
 *
 * @module
 */

import { Pmem2Error, type Pmem2ErrorCode } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";

/** Asserts that a `Pmem2Error` with this code is thrown, by this C function. */
export function assertRefused(
  action: () => unknown,
  code: Pmem2ErrorCode,
  call?: string,
): Pmem2Error {
  const error = assertThrows(action, Pmem2Error);
  assertEquals(error.code, code, error.message);
  if (call !== undefined) assertEquals(error.call, call, error.message);
  return error;
}
