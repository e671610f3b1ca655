/**
 * One lock for all isolates of the process.
 *
 * `pmem2_map_new` changes the process's working directory while it looks at
 * the system's devices: two at once would leave it there, and a relative path
 * opened meanwhile would be another file's. Every worker has its own copy of
 * this module, so the lock has to be C's: the one of `stdin`, which nothing in
 * Deno uses. It is recursive.
 *
 * @module
 */

import { lazily, libraryInfo } from "./library.ts";
import { mapSymbols } from "./symbols.ts";

const native = lazily(mapSymbols);
let stdin = 0n;

/** Takes the lock, and waits for it. {@linkcode unlock} follows, always. */
export function lock(): void {
  stdin ||= Deno.dlopen(libraryInfo().path, { stdin: { type: "u64" } })
    .symbols.stdin;
  native().flockfile(stdin);
}

/** Gives the lock back. */
export function unlock(): void {
  native().funlockfile(stdin);
}
