/**
 * One lock for all isolates of the process.
 *
 * `pmem2_map_new` changes the process's working directory while it looks at
 * the system's devices: two at once would leave it there, and a relative path
 * opened meanwhile would be another file's. Every worker has its own copy of
 * this module, so the lock has to be C's: that of a stream that all isolates find
 * and nobody else knows. It is recursive. (The one of `stdin` would be held by
 * whoever waits for input.)
 *
 * Between `flockfile(processLock())` and `funlockfile(processLock())` there may be
 * native calls alone, straight after each other: a worker that is terminated
 * runs no `finally`, and V8 looks for termination wherever a JavaScript
 * function starts or a loop turns.
 *
 * @module
 */

import { sharedLock } from "./shared_page.ts";

/** The `FILE *` whose lock it is. */
export function processLock(): bigint {
  return sharedLock();
}
