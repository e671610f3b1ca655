/**
 * One lock for all isolates of the process.
 *
 * `pmem2_map_new` changes the working directory of the process while it looks at the
 * devices of the system. Two such calls at once would leave it changed, and a relative
 * path that is opened meanwhile would name another file. Each worker has its own copy of
 * this module, so the lock must be one of C: that of a stream that all isolates find and
 * no other code knows. It is recursive. (The lock of `stdin` would not do, since code
 * that waits for input holds it.)
 *
 * SAFETY: only native calls, directly after each other, may come between
 * `flockfile(processLock())` and `funlockfile(processLock())`. A worker that is
 * terminated runs no `finally`, and V8 checks for termination at the start of each
 * JavaScript function and at each turn of a loop. The lock would never be released.
 *
 * @module
 */

import { sharedLock } from "./shared_page.ts";

/** Returns the `FILE *` whose lock this is. */
export function processLock(): bigint {
  return sharedLock();
}
