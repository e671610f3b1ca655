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
import type { MapPointer } from "../c/pointer.ts";
import type { NativeMap } from "./map.ts";

/** Taken at import, since tests may replace the clock. */
const now = performance.now.bind(performance);

/** The least delay in milliseconds, unless too much waits. */
const DELAY = 5000;
/** How many maps may wait. */
const MOST = 256;
/** How many bytes may wait, if it is more than one map. */
const MOST_BYTES = 2 ** 30;

/** Where maps wait. */
interface Arena {
  /** Counts bytes as unmapped. */
  release(bytes: number): void;
}

/** PERF: the map itself is not kept: V8 would copy it at each garbage collection. */
interface Waiting {
  readonly pointer: MapPointer;
  readonly size: number;
  readonly arena: Arena;
  readonly since: number;
  next: Waiting | null;
}

/**
 * The maps that wait, the earliest first. SAFETY: a linked list, which works even if a
 * caller has replaced the methods of arrays.
 */
let first: Waiting | null = null;
let last: Waiting | null = null;
let count = 0;
let bytes = 0;

/**
 * Keeps the memory of a closed map for some time.
 *
 * @param size The size of the map in whole pages.
 */
export function unmapLater(
  { pointer }: NativeMap,
  size: number,
  arena: Arena,
): void {
  const entry = { pointer, size, arena, since: now(), next: null };
  if (last === null) first = entry;
  else last.next = entry;
  last = entry;
  count++;
  bytes += size;
  listen();
}

/** Unmaps what has waited long enough. Called before anything is mapped or unmapped. */
export function unmapDue(): void {
  if (first === null) return;
  const time = now();
  while (
    first !== null &&
    (time - first.since >= DELAY || count > MOST ||
      (bytes > MOST_BYTES && count > 1))
  ) {
    if (!unmapFirst(first)) return;
  }
}

/** Unmaps the first one. Returns false at the limit of mappings, where it must wait. */
function unmapFirst({ pointer, size, arena, next }: Waiting): boolean {
  requireStack();
  const result = mapFunctions().pmem2_map_delete(cellWith(pointer));
  if (result !== 0) return false;
  first = next;
  if (next === null) last = null;
  count--;
  bytes -= size;
  arena.release(size);
  return true;
}

/** Unmaps everything that waits, even if an operation may still use it. */
export function unmapAll(): void {
  while (first !== null) if (!unmapFirst(first)) return;
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
const register = collected.register.bind(collected);
let listening = false;

function listen(): void {
  if (listening || first === null) return;
  listening = true;
  register({}, null);
}
