/**
 * Persistent memory for Deno scripts, through the real libpmem2 (PMDK).
 *
 * The model, in the terms of libpmem2(7):
 *
 * 1. A **source** is something that can be mapped: a file, a device DAX, or
 *    anonymous memory ({@linkcode Pmem2Source}).
 * 2. A **map** is a source, or a part of one, in memory ({@linkcode Pmem2Map}).
 *    `bytes` and `buffer` are that memory itself; `read` and `write` copy. Closing
 *    the map empties all views on it.
 * 3. A **reservation** is a range of addresses that holds several maps, side by
 *    side or with gaps between them ({@linkcode Pmem2VmReservation}). It can be
 *    used like one large map.
 * 4. **Walking** a reservation means visiting its maps in address order: with
 *    `for … of`, or with `maps({ reverse: true })` from the last to the first.
 *    `find` returns the first map in a range, and `gaps()` lists the free ranges.
 * 5. **Persisting** makes stores durable. What this takes depends on the map's
 *    store **granularity**: only a fence ("byte"), flushing cache lines
 *    ("cache-line"), or msync ("page"). `flush` and `drain` are its two steps.
 *
 * The only atomic store is one of up to eight aligned bytes through a view;
 * `write` is not atomic. So persist the data first, and after that the mark that
 * says it is valid.
 *
 * libpmem2 is opened at first use, which requires `--allow-ffi`. The path of the
 * library is enough, as in `--allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1`,
 * for everything except the zero-copy views: `bytes`, `buffer` and a reservation's
 * `view()` require `--allow-ffi` without a path.
 *
 * @example Source → map → reservation → walk → persist
 * ```ts
 * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = Deno.makeTempDirSync();
 * using source = Pmem2Source.open(`${directory}/names`, {
 *   create: true,
 *   size: 4096,
 * });
 * using reservation = new Pmem2VmReservation(1024 ** 2);
 * reservation.map(source, { at: 8192 });
 * reservation.map(`${directory}/numbers`, { create: true, size: 5000, at: 0 });
 *
 * const offsets = [];
 * for (const map of reservation) {
 *   map.bytes[0] = 42;
 *   map.persist(0, 1);
 *   offsets.push(map.offset);
 * }
 * assertEquals(offsets, [0, 8192]);
 * assertEquals(Deno.readFileSync(`${directory}/numbers`)[0], 42);
 * Deno.removeSync(directory, { recursive: true });
 * ```
 *
 * @module
 */

// PERF: comes first, so that the start is fast: see preload.ts.
import "./ffi/preload.ts";

export type { Pmem2BadBlock } from "./ffi/bad_block.ts";
export { Pmem2Error } from "./ffi/c/error.ts";
export type { Pmem2ErrorCode } from "./ffi/c/error_code.ts";
export type { OpenOptions } from "./ffi/input/open_options.ts";
export type { Granularity } from "./ffi/input/granularity.ts";
export { libraryInfo } from "./ffi/c/library.ts";
export { Pmem2Map } from "./ffi/map.ts";
export type { Pmem2Memory } from "./ffi/memory.ts";
export type {
  MapOptions,
  ReservationMapOptions,
  Sharing,
} from "./ffi/input/map_options.ts";
export { Pmem2Source } from "./ffi/source.ts";
export type { StoreOptions } from "./ffi/input/store_options.ts";
export { Pmem2VmReservation } from "./ffi/vm_reservation.ts";
export type { Gap, WalkOptions } from "./ffi/native/walk.ts";
