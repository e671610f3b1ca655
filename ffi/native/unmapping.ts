/**
 * Unmaps closed maps with a delay.
 *
 * SAFETY: closing a map empties its views, but an asynchronous operation that was given
 * a view keeps the address: a server may be sending from it, or a thread of node:crypto
 * may be reading it. JavaScript cannot see that. So the memory stays mapped for some
 * seconds.
 *
 * @module
 */

import { cellWith } from "../c/cell.ts";
import { mapFunctions } from "../c/functions.ts";
import { requireStack } from "../process/stack.ts";
import type { MapArena, NativeMap } from "./map.ts";

/** Taken at import, since tests may replace the clock. */
const now = performance.now.bind(performance);

/** The least delay in milliseconds, unless too much waits. */
const DELAY = 5000;
/** How many maps may wait. */
const MOST = 256;
/** How many bytes may wait, if it is more than one map. */
const MOST_BYTES = 2 ** 30;

interface Waiting {
  readonly map: NativeMap;
  readonly arena: MapArena;
  readonly since: number;
}

/** The maps that wait, the earliest first. */
const waiting: Waiting[] = [];
let bytes = 0;

/** Keeps the memory of a closed map for some time. */
export function unmapLater(map: NativeMap, arena: MapArena): void {
  waiting.push({ map, arena, since: now() });
  bytes += map.size;
  listen();
}

/** Unmaps what has waited long enough. Called before anything is mapped or unmapped. */
export function unmapDue(): void {
  if (waiting.length === 0) return;
  const time = now();
  while (
    waiting.length > 0 &&
    (time - waiting[0]!.since >= DELAY || waiting.length > MOST ||
      (bytes > MOST_BYTES && waiting.length > 1))
  ) {
    if (!unmapFirst()) return;
  }
}

/** Unmaps the first one. Returns false at the limit of mappings, where it must wait. */
function unmapFirst(): boolean {
  requireStack();
  const { map, arena } = waiting[0]!;
  const result = mapFunctions().pmem2_map_delete(cellWith(map.pointer));
  if (result !== 0) return false;
  waiting.shift();
  bytes -= map.size;
  arena.forget(map);
  return true;
}

/**
 * Unmaps at a garbage collection: when there is one, some time has passed. A timer would
 * fail the tests of users, since `deno test` reports timers that are left.
 */
const collected = new FinalizationRegistry<null>(() => {
  listening = false;
  unmapDue();
  listen();
});
let listening = false;

function listen(): void {
  if (listening || waiting.length === 0) return;
  listening = true;
  collected.register({}, null);
}
