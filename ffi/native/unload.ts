/**
 * Closes what a program has left open when its isolate is unloaded. When `--watch`
 * restarts a program, the process stays the same, and so would maps, descriptors and
 * reservations at fixed addresses. Workers have no such event.
 *
 * @module
 */

import { Set } from "../input/intrinsics.ts";

/** Taken at import, before anyone could replace them. */
const { captureStackTrace } = Error;
const listen = globalThis.addEventListener.bind(globalThis);
const listenNoMore = globalThis.removeEventListener.bind(globalThis);

const closers = new Set<() => void>();

/** Registers a function to call when the isolate is unloaded. */
export function atUnload(close: () => void): void {
  if (closers.size === 0) {
    listen("unload", closeAll);
    listen("beforeunload", comeLast);
  }
  closers.add(close);
}

/** Moves this module's listener after those of the program, which may use its maps. */
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
      // What cannot be closed now stays open, and the others are closed.
    }
  });
}

/**
 * Whether Deno.exit is about to end the process. Other threads may use the maps until
 * then, so they must not be closed.
 */
function isExiting(): boolean {
  const holder = { stack: "" };
  captureStackTrace(holder, closeAll);
  return /\.exit \(ext:/.test(holder.stack);
}
