/**
 * Unmaps what was closed a little later.
 *
 * A view that was handed to an asynchronous operation is emptied when its map is
 * closed, but the operation keeps the address: a server may be sending from there,
 * a thread of node:crypto reading. No JavaScript can see that. So the memory stays
 * for some seconds.
 *
 * @module
 */

import { cellWith } from "../c/cell.ts";
import { mapFunctions } from "../c/functions.ts";
import { requireStack } from "../process/stack.ts";
import type { MapArena, NativeMap } from "./map.ts";

/** Taken at import: tests may set their own clock. */
const now = performance.now.bind(performance);

/** Milliseconds for which the memory stays at least, unless too much waits. */
const DELAY = 5000;
/** So many may wait. */
const MOST = 256;
/** So many bytes may wait, or one map. */
const MOST_BYTES = 2 ** 30;

interface Waiting {
  readonly map: NativeMap;
  readonly arena: MapArena;
  readonly since: number;
}

/** What waits, the earliest first. */
const waiting: Waiting[] = [];
let bytes = 0;

/** Has a map's memory stay a little longer. */
export function unmapLater(map: NativeMap, arena: MapArena): void {
  waiting.push({ map, arena, since: now() });
  bytes += map.size;
  listen();
}

/** Unmaps what has waited long enough. Goes before whatever maps or unmaps. */
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

/** Whether that went well: at the limit of mappings it has to wait on. */
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
 * No timer: a test that watches out for those would fail. But when memory is
 * collected some time has passed.
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
