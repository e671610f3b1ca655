/**
 * Closes what a program has left open when its isolate is unloaded: a restart by
 * `--watch` goes on in the same process, where maps, descriptors and reservations at
 * fixed addresses would stay. Workers have no such event.
 *
 * @module
 */

import { Set } from "../input/intrinsics.ts";

/** Taken at import, before anybody's code could have replaced them. */
const { captureStackTrace } = Error;
const listen = globalThis.addEventListener.bind(globalThis);
const listenNoMore = globalThis.removeEventListener.bind(globalThis);

const closers = new Set<() => void>();

/** Has this be called when the isolate is unloaded. */
export function atUnload(close: () => void): void {
  if (closers.size === 0) {
    listen("unload", closeAll);
    listen("beforeunload", comeLast);
  }
  closers.add(close);
}

/** The program's own listeners, which use its maps, go first. */
function comeLast(): void {
  listenNoMore("unload", closeAll);
  listen("unload", closeAll);
}

function closeAll(): void {
  if (isExiting()) return;
  closers.forEach((close) => {
    try {
      close();
    } catch {
      // What can't be closed now stays, and so does nothing else for its sake.
    }
  });
}

/**
 * Whether the process is about to end anyway, by Deno.exit: other threads may be at
 * work on the maps until then.
 */
function isExiting(): boolean {
  const holder = { stack: "" };
  captureStackTrace(holder, closeAll);
  return /\.exit \(ext:/.test(holder.stack);
}
