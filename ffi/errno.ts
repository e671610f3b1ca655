/**
 * errno of this thread.
 *
 * @module
 */

import { lazily, librarySymbols } from "./library.ts";
import { mapSymbols } from "./symbols.ts";

const native = lazily(mapSymbols);
const value = new Int32Array(new ArrayBuffer(128));
let location = 0n;

/** What the libc function that has just failed left, a positive number. */
export function lastErrno(): number {
  location ||= native().__errno_location();
  librarySymbols().copy_out(value, location, 4n);
  return value[0]!;
}
