/**
 * Persistent memory for Deno scripts, through the real libpmem2 (PMDK).
 *
 * The model, in the terms of libpmem2(7):
 *
 * 1. A **source** is what can be mapped: a file, a device DAX, or anonymous
 *    memory ({@linkcode Pmem2Source}).
 * 2. A **map** is a part of a source in memory ({@linkcode Pmem2Map}). Its
 *    `bytes` and `buffer` are that memory, without a copy; `read` and `write`
 *    copy. When the map is closed, all views are empty.
 * 3. A **reservation** is a range of addresses that several maps share
 *    ({@linkcode Pmem2VmReservation}), side by side or with gaps.
 * 4. To **walk** it is to go from map to map in address order: a `for … of` over
 *    the reservation, or `maps({ reverse: true })`. `find` looks a range up, and
 *    `gaps()` lists what is free.
 * 5. To **persist** is to make stores durable. What that takes is the map's store
 *    **granularity**: nothing but a fence ("byte"), flushing cache lines
 *    ("cache-line"), or msync ("page"). `flush` and `drain` are its two halves.
 *
 * Only a store of up to eight aligned bytes through a view is atomic: `write` is
 * not. So data is persisted first, and then the mark that says it's valid.
 *
 * libpmem2 is opened at first use. That takes `--allow-ffi`; everything but
 * `bytes` and `buffer` runs with the path of the library alone, such as
 * `--allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1`.
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

// First of all, for the start to be fast.
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
