/**
 * One lock for all isolates of the process.
 *
 * `pmem2_map_new` changes the process's working directory while it looks at
 * the system's devices: two at once would leave it there, and a relative path
 * opened meanwhile would be another file's. Every worker has its own copy of
 * this module, so the lock has to be C's: the one of `stdin`, which nothing in
 * Deno uses. It is recursive.
 *
 * Between `flockfile(stdinLock())` and `funlockfile(stdinLock())` there may be
 * native calls alone, straight after each other: a worker that is terminated
 * runs no `finally`, and V8 looks for termination wherever a JavaScript
 * function starts or a loop turns.
 *
 * @module
 */

import { libraryInfo } from "../c/library.ts";

let stdin = 0n;

/** The `FILE *` whose lock it is. */
export function stdinLock(): bigint {
  return stdin ||= Deno.dlopen(libraryInfo().path, { stdin: { type: "u64" } })
    .symbols.stdin;
}
