/**
 * The functions of libpmem2.h in tables, each with its C signature.
 *
 * PERF: each table is opened when it is first used, since Deno compiles a trampoline
 * for each function. One table for all would cost 5 to 6 ms at the first map.
 *
 * @module
 */

import {
  address,
  bbctx,
  buffer,
  config,
  fn,
  int,
  map,
  nothing,
  out,
  rsv,
  size,
  source,
  type SymbolTable,
  unsigned,
} from "./symbol_table.ts";

/** Functions for opening the library and for reading its messages. */
export const versionSymbols = {
  // const char *pmem2_errormsg(void);
  pmem2_errormsg: { parameters: [], result: address },
  // int pmem2_config_set_vdm(struct pmem2_config *cfg, struct vdm *vdm);
  // Only in 1.x.
  pmem2_config_set_vdm: {
    parameters: [config, address],
    result: int,
    optional: true,
  },
} as const satisfies SymbolTable;

/** Functions for sources and maps that the first map of a file needs. */
export const mapSymbols = {
  // int pmem2_source_from_fd(struct pmem2_source **src, int fd);
  pmem2_source_from_fd: { parameters: [out, int], result: int },
  // int pmem2_source_delete(struct pmem2_source **src);
  pmem2_source_delete: { parameters: [out], result: int },
  // int pmem2_config_new(struct pmem2_config **cfg);
  pmem2_config_new: { parameters: [out], result: int },
  // int pmem2_config_delete(struct pmem2_config **cfg);
  pmem2_config_delete: { parameters: [out], result: int },
  // int pmem2_config_set_required_store_granularity(struct pmem2_config *cfg,
  //     enum pmem2_granularity g);
  pmem2_config_set_required_store_granularity: {
    parameters: [config, unsigned],
    result: int,
  },
  // int pmem2_map_new(struct pmem2_map **map_ptr,
  //     const struct pmem2_config *cfg, const struct pmem2_source *src);
  pmem2_map_new: { parameters: [out, config, source], result: int },
  // int pmem2_map_delete(struct pmem2_map **map_ptr);
  pmem2_map_delete: { parameters: [out], result: int },
  // void *pmem2_map_get_address(struct pmem2_map *map);
  pmem2_map_get_address: { parameters: [map], result: address },
  // size_t pmem2_map_get_size(struct pmem2_map *map);
  pmem2_map_get_size: { parameters: [map], result: size },
  // enum pmem2_granularity pmem2_map_get_store_granularity(struct pmem2_map *map);
  pmem2_map_get_store_granularity: { parameters: [map], result: unsigned },
} as const satisfies SymbolTable;

/** Functions for options other than the defaults. */
export const configSymbols = {
  // int pmem2_config_set_offset(struct pmem2_config *cfg, size_t offset);
  pmem2_config_set_offset: { parameters: [config, size], result: int },
  // int pmem2_config_set_length(struct pmem2_config *cfg, size_t length);
  pmem2_config_set_length: { parameters: [config, size], result: int },
  // int pmem2_config_set_sharing(struct pmem2_config *cfg,
  //     enum pmem2_sharing_type type);
  pmem2_config_set_sharing: { parameters: [config, unsigned], result: int },
  // int pmem2_config_set_protection(struct pmem2_config *cfg, unsigned prot);
  pmem2_config_set_protection: { parameters: [config, unsigned], result: int },
} as const satisfies SymbolTable;

/** Functions that return those that make stores durable. */
export const persistenceSymbols = {
  // pmem2_persist_fn pmem2_get_persist_fn(struct pmem2_map *map);
  pmem2_get_persist_fn: { parameters: [map], result: fn },
  // pmem2_flush_fn pmem2_get_flush_fn(struct pmem2_map *map);
  pmem2_get_flush_fn: { parameters: [map], result: fn },
  // pmem2_drain_fn pmem2_get_drain_fn(struct pmem2_map *map);
  pmem2_get_drain_fn: { parameters: [map], result: fn },
} as const satisfies SymbolTable;

/** Functions that return those that copy, move and fill. */
export const memorySymbols = {
  // pmem2_memcpy_fn pmem2_get_memcpy_fn(struct pmem2_map *map);
  pmem2_get_memcpy_fn: { parameters: [map], result: fn },
  // pmem2_memmove_fn pmem2_get_memmove_fn(struct pmem2_map *map);
  pmem2_get_memmove_fn: { parameters: [map], result: fn },
  // pmem2_memset_fn pmem2_get_memset_fn(struct pmem2_map *map);
  pmem2_get_memset_fn: { parameters: [map], result: fn },
} as const satisfies SymbolTable;

/** The deep flush, on this thread and on another one. */
export const deepFlushSymbols = {
  // int pmem2_deep_flush(struct pmem2_map *map, void *ptr, size_t size);
  pmem2_deep_flush: { parameters: [map, address, size], result: int },
  pmem2_deep_flush_async: {
    name: "pmem2_deep_flush",
    parameters: [map, address, size],
    result: int,
    nonblocking: true,
  },
} as const satisfies SymbolTable;

/** Functions that place maps. */
export const placementSymbols = {
  // int pmem2_config_set_vm_reservation(struct pmem2_config *cfg,
  //     struct pmem2_vm_reservation *rsv, size_t offset);
  pmem2_config_set_vm_reservation: {
    parameters: [config, rsv, size],
    result: int,
  },
  // int pmem2_vm_reservation_new(struct pmem2_vm_reservation **rsv_ptr,
  //     void *addr, size_t size);
  pmem2_vm_reservation_new: {
    parameters: [out, address, size],
    result: int,
  },
  // int pmem2_vm_reservation_map_find(struct pmem2_vm_reservation *rsv,
  //     size_t reserv_offset, size_t len, struct pmem2_map **map);
  pmem2_vm_reservation_map_find: {
    parameters: [rsv, size, size, out],
    result: int,
  },
  // int pmem2_source_size(const struct pmem2_source *src, size_t *size);
  pmem2_source_size: { parameters: [source, out], result: int },
} as const satisfies SymbolTable;

/** What is left to call when a program ends: apart, so that little is opened then. */
export const deletionSymbols = {
  // int pmem2_vm_reservation_delete(struct pmem2_vm_reservation **rsv_ptr);
  pmem2_vm_reservation_delete: { parameters: [out], result: int },
} as const satisfies SymbolTable;

/** Functions of reservations, with four of the five searches. */
export const reservationSymbols = {
  // int pmem2_vm_reservation_extend(struct pmem2_vm_reservation *rsv,
  //     size_t size);
  pmem2_vm_reservation_extend: { parameters: [rsv, size], result: int },
  // int pmem2_vm_reservation_shrink(struct pmem2_vm_reservation *rsv,
  //     size_t offset, size_t size);
  pmem2_vm_reservation_shrink: { parameters: [rsv, size, size], result: int },
  // int pmem2_vm_reservation_map_find_prev(struct pmem2_vm_reservation *rsv,
  //     struct pmem2_map *map, struct pmem2_map **prev_map);
  pmem2_vm_reservation_map_find_prev: {
    parameters: [rsv, map, out],
    result: int,
  },
  // int pmem2_vm_reservation_map_find_next(struct pmem2_vm_reservation *rsv,
  //     struct pmem2_map *map, struct pmem2_map **next_map);
  pmem2_vm_reservation_map_find_next: {
    parameters: [rsv, map, out],
    result: int,
  },
  // int pmem2_vm_reservation_map_find_first(struct pmem2_vm_reservation *rsv,
  //     struct pmem2_map **map);
  pmem2_vm_reservation_map_find_first: {
    parameters: [rsv, out],
    result: int,
  },
  // int pmem2_vm_reservation_map_find_last(struct pmem2_vm_reservation *rsv,
  //     struct pmem2_map **map);
  pmem2_vm_reservation_map_find_last: {
    parameters: [rsv, out],
    result: int,
  },
} as const satisfies SymbolTable;

/** Functions for anonymous sources, and rare ones for others. */
export const sourceSymbols = {
  // int pmem2_source_from_anon(struct pmem2_source **src, size_t size);
  pmem2_source_from_anon: { parameters: [out, size], result: int },
  // int pmem2_source_alignment(const struct pmem2_source *src, size_t *alignment);
  pmem2_source_alignment: { parameters: [source, out], result: int },
  // int pmem2_source_get_fd(const struct pmem2_source *src, int *fd);
  pmem2_source_get_fd: { parameters: [source, buffer], result: int },
} as const satisfies SymbolTable;

/** Functions for reliability, availability and serviceability (RAS) of a device. */
export const rasSymbols = {
  // int pmem2_source_device_id(const struct pmem2_source *src, char *id,
  //     size_t *len);
  pmem2_source_device_id: { parameters: [source, buffer, out], result: int },
  // int pmem2_source_device_usc(const struct pmem2_source *src, uint64_t *usc);
  pmem2_source_device_usc: { parameters: [source, out], result: int },
  // int pmem2_source_numa_node(const struct pmem2_source *src, int *numa_node);
  pmem2_source_numa_node: { parameters: [source, buffer], result: int },
  // int pmem2_source_pread_mcsafe(struct pmem2_source *src, void *buf,
  //     size_t size, size_t offset);
  pmem2_source_pread_mcsafe: {
    parameters: [source, buffer, size, size],
    result: int,
  },
  // int pmem2_source_pwrite_mcsafe(struct pmem2_source *src, void *buf,
  //     size_t size, size_t offset);
  pmem2_source_pwrite_mcsafe: {
    parameters: [source, buffer, size, size],
    result: int,
  },
  // int pmem2_badblock_context_new(struct pmem2_badblock_context **bbctx,
  //     const struct pmem2_source *src);
  pmem2_badblock_context_new: { parameters: [out, source], result: int },
  // int pmem2_badblock_next(struct pmem2_badblock_context *bbctx,
  //     struct pmem2_badblock *bb);
  pmem2_badblock_next: { parameters: [bbctx, buffer], result: int },
  // void pmem2_badblock_context_delete(struct pmem2_badblock_context **bbctx);
  pmem2_badblock_context_delete: { parameters: [out], result: nothing },
  // int pmem2_badblock_clear(struct pmem2_badblock_context *bbctx,
  //     const struct pmem2_badblock *bb);
  pmem2_badblock_clear: { parameters: [bbctx, buffer], result: int },
} as const satisfies SymbolTable;

/** The function for memory that other native code mapped. */
export const existingMapSymbols = {
  // int pmem2_map_from_existing(struct pmem2_map **map,
  //     const struct pmem2_source *src, void *addr, size_t len,
  //     enum pmem2_granularity gran);
  pmem2_map_from_existing: {
    parameters: [out, source, address, size, unsigned],
    result: int,
  },
} as const satisfies SymbolTable;

/**
 * Functions that this module never calls: it knows where a reservation is, and every
 * error has its text already.
 */
export const unusedSymbols = {
  // void *pmem2_vm_reservation_get_address(struct pmem2_vm_reservation *rsv);
  pmem2_vm_reservation_get_address: { parameters: [rsv], result: address },
  // size_t pmem2_vm_reservation_get_size(struct pmem2_vm_reservation *rsv);
  pmem2_vm_reservation_get_size: { parameters: [rsv], result: size },
  // void pmem2_perror(const char *format, ...);
  pmem2_perror: { parameters: [buffer], result: nothing },
} as const satisfies SymbolTable;
