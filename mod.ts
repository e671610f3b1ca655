/**
 * Persistent memory for Deno scripts, through libpmem2 (PMDK).
 *
 * @module
 */

export type { Pmem2BadBlock } from "./ffi/bad_block.ts";
export { Pmem2Error } from "./ffi/error.ts";
export type { Pmem2ErrorCode } from "./ffi/error_code.ts";
export type { OpenOptions } from "./ffi/file.ts";
export type { Granularity } from "./ffi/granularity.ts";
export { libraryInfo } from "./ffi/library.ts";
export { Pmem2Map } from "./ffi/map.ts";
export type {
  MapOptions,
  ReservationMapOptions,
  Sharing,
} from "./ffi/map_options.ts";
export { Pmem2Source } from "./ffi/source.ts";
export type { StoreOptions } from "./ffi/store_options.ts";
export { Pmem2VmReservation } from "./ffi/vm_reservation.ts";
export type { Gap, WalkOptions } from "./ffi/walk.ts";
