/**
 * libpmem2.h as tables, and the few functions of libc that this module calls
 * through the same handle: the C signature beside each Deno signature.
 *
 * Every pointer is a `"u64"`, and its branded type rides on the parameter's
 * type. Every 64-bit argument is given as a bigint: a number there would leave
 * Deno's fast call path. The groups are opened one by one, when first needed,
 * since each symbol costs the compilation of a trampoline.
 *
 * @module
 */

import type {
  BadBlockContextPointer,
  ConfigPointer,
  FunctionPointer,
  MapPointer,
  Pointer,
  SourcePointer,
  VmReservationPointer,
} from "./pointer.ts";

declare const argument: unique symbol;

/** A native type, and what TypeScript may pass or get for it. */
type Native<Type extends string, Value> = Type & {
  readonly [argument]: Value;
};

const native = <Type extends string, Value>(type: Type) =>
  type as Native<Type, Value>;

const source = native<"u64", SourcePointer>("u64");
const config = native<"u64", ConfigPointer>("u64");
const map = native<"u64", MapPointer>("u64");
const rsv = native<"u64", VmReservationPointer>("u64");
const bbctx = native<"u64", BadBlockContextPointer>("u64");
const fn = native<"u64", FunctionPointer>("u64");
/** Where C writes a pointer or a size to. */
const out = native<"u64", Pointer<"cell">>("u64");
const address = native<"u64", bigint>("u64");
const size = native<"u64", bigint>("u64");
const offset = native<"i64", bigint>("i64");
const int = native<"i32", number>("i32");
const unsigned = native<"u32", number>("u32");
const nothing = native<"void", void>("void");
/** What C reads from or writes to during the call. */
const buffer = native<"buffer", ArrayBufferView<ArrayBufferLike> | null>(
  "buffer",
);

/** One table of functions. */
export type SymbolTable = Record<string, {
  readonly parameters: readonly Native<string, unknown>[];
  readonly result: Native<string, unknown>;
  readonly name?: string;
  readonly optional?: true;
  readonly nonblocking?: true;
}>;

type Argument<T> = T extends Native<string, infer Value> ? Value : never;
type Arguments<T extends readonly unknown[]> = {
  -readonly [K in keyof T]: Argument<T[K]>;
};
type Result<T, Nonblocking> = Nonblocking extends true ? Promise<Argument<T>>
  : Argument<T>;
type Call<T extends SymbolTable[string]> = (
  ...args: Arguments<T["parameters"]>
) => Result<T["result"], T["nonblocking"]>;

/** What `Deno.dlopen` makes of a table. */
export type Symbols<T extends SymbolTable> = {
  readonly [K in keyof T]: T[K]["optional"] extends true ? Call<T[K]> | null
    : Call<T[K]>;
};

/** What opening the library, and telling why something failed, takes. */
export const librarySymbols = {
  // const char *pmem2_errormsg(void);
  pmem2_errormsg: { parameters: [], result: address },
  // int pmem2_config_set_vdm(struct pmem2_config *cfg, struct vdm *vdm);
  // Only in 1.x.
  pmem2_config_set_vdm: {
    parameters: [config, address],
    result: int,
    optional: true,
  },
  // void *dlopen(const char *filename, int flags);
  dlopen: { parameters: [buffer, int], result: address },
  // void *memmove(void *dest, const void *src, size_t n);
  /** From memory into an array. */
  copy_out: {
    name: "memmove",
    parameters: [buffer, address, size],
    result: address,
  },
  // void *memset(void *s, int c, size_t n);
  memset: { parameters: [address, int, size], result: address },
  // size_t strnlen(const char *s, size_t maxlen);
  strnlen: { parameters: [address, size], result: size },
} as const satisfies SymbolTable;

/** Sources and maps: what the first map of a file takes. */
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
  // int open(const char *pathname, int flags);
  open: { parameters: [address, int], result: int },
  // int close(int fd);
  close: { parameters: [int], result: int },
  // int statx(int dirfd, const char *pathname, int flags, unsigned int mask,
  //     struct statx *statxbuf);
  statx: { parameters: [int, address, int, unsigned, address], result: int },
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: address },
  // void flockfile(FILE *filehandle);
  flockfile: { parameters: [address], result: nothing },
  // void funlockfile(FILE *filehandle);
  funlockfile: { parameters: [address], result: nothing },
} as const satisfies SymbolTable;

/** What a map takes unless it has the default for all of it. */
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

/** The functions that make stores durable, and libc's way to call them. */
export const persistenceSymbols = {
  // pmem2_persist_fn pmem2_get_persist_fn(struct pmem2_map *map);
  pmem2_get_persist_fn: { parameters: [map], result: fn },
  // pmem2_flush_fn pmem2_get_flush_fn(struct pmem2_map *map);
  pmem2_get_flush_fn: { parameters: [map], result: fn },
  // pmem2_drain_fn pmem2_get_drain_fn(struct pmem2_map *map);
  pmem2_get_drain_fn: { parameters: [map], result: fn },
  // void *bsearch(const void *key, const void *base, size_t nmemb,
  //     size_t size, int (*compar)(const void *, const void *));
  bsearch: {
    parameters: [address, size, size, size, fn],
    result: address,
  },
} as const satisfies SymbolTable;

/** libc's copies into maps. */
export const copySymbols = {
  // void *memmove(void *dest, const void *src, size_t n);
  memmove: { parameters: [address, address, size], result: address },
  /** From an array into memory. */
  copy_in: {
    name: "memmove",
    parameters: [address, buffer, size],
    result: address,
  },
} as const satisfies SymbolTable;

/** The memory operations. */
export const memorySymbols = {
  // pmem2_memcpy_fn pmem2_get_memcpy_fn(struct pmem2_map *map);
  pmem2_get_memcpy_fn: { parameters: [map], result: fn },
  // pmem2_memmove_fn pmem2_get_memmove_fn(struct pmem2_map *map);
  pmem2_get_memmove_fn: { parameters: [map], result: fn },
  // pmem2_memset_fn pmem2_get_memset_fn(struct pmem2_map *map);
  pmem2_get_memset_fn: { parameters: [map], result: fn },
} as const satisfies SymbolTable;

/** Another library's: libffi's way to call a function pointer. */
export const libffiSymbols = {
  // ffi_status ffi_prep_cif(ffi_cif *cif, ffi_abi abi, unsigned int nargs,
  //     ffi_type *rtype, ffi_type **atypes);
  ffi_prep_cif: {
    parameters: [address, unsigned, unsigned, address, address],
    result: int,
  },
  // void ffi_call(ffi_cif *cif, void (*fn)(void), void *rvalue,
  //     void **avalue);
  ffi_call: { parameters: [address, fn, address, address], result: nothing },
} as const satisfies SymbolTable;

/** What takes longer: deep flush, and everything off the main thread. */
export const flushSymbols = {
  // int pmem2_deep_flush(struct pmem2_map *map, void *ptr, size_t size);
  pmem2_deep_flush: { parameters: [map, address, size], result: int },
  pmem2_deep_flush_async: {
    name: "pmem2_deep_flush",
    parameters: [map, address, size],
    result: int,
    nonblocking: true,
  },
  bsearch_async: {
    name: "bsearch",
    parameters: [address, size, size, size, fn],
    result: address,
    nonblocking: true,
  },
  // int msync(void *addr, size_t length, int flags);
  msync: { parameters: [address, size, int], result: int },
  msync_async: {
    name: "msync",
    parameters: [address, size, int],
    result: int,
    nonblocking: true,
  },
} as const satisfies SymbolTable;

/** Reservations and their five searches. */
export const reservationSymbols = {
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
  // int pmem2_vm_reservation_delete(struct pmem2_vm_reservation **rsv_ptr);
  pmem2_vm_reservation_delete: { parameters: [out], result: int },
  // void *pmem2_vm_reservation_get_address(struct pmem2_vm_reservation *rsv);
  pmem2_vm_reservation_get_address: { parameters: [rsv], result: address },
  // size_t pmem2_vm_reservation_get_size(struct pmem2_vm_reservation *rsv);
  pmem2_vm_reservation_get_size: { parameters: [rsv], result: size },
  // int pmem2_vm_reservation_extend(struct pmem2_vm_reservation *rsv,
  //     size_t size);
  pmem2_vm_reservation_extend: { parameters: [rsv, size], result: int },
  // int pmem2_vm_reservation_shrink(struct pmem2_vm_reservation *rsv,
  //     size_t offset, size_t size);
  pmem2_vm_reservation_shrink: { parameters: [rsv, size, size], result: int },
  // int pmem2_vm_reservation_map_find(struct pmem2_vm_reservation *rsv,
  //     size_t reserv_offset, size_t len, struct pmem2_map **map);
  pmem2_vm_reservation_map_find: {
    parameters: [rsv, size, size, out],
    result: int,
  },
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

/** The process's address space. */
export const addressSpaceSymbols = {
  // long sysconf(int name);
  sysconf: { parameters: [int], result: offset },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd,
  //     off_t offset);
  mmap: { parameters: [address, size, int, int, int, offset], result: address },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: [address, size], result: int },
  // int msync(void *addr, size_t length, int flags);
  msync: { parameters: [address, size, int], result: int },
  // int access(const char *pathname, int mode);
  access: { parameters: [address, int], result: int },
  // int open(const char *pathname, int flags);
  open: { parameters: [buffer, int], result: int },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: [int, buffer, size], result: offset },
  // int close(int fd);
  close: { parameters: [int], result: int },
} as const satisfies SymbolTable;

/** What a relative path is relative to. */
export const pathSymbols = {
  // char *getcwd(char *buf, size_t size);
  getcwd: { parameters: [buffer, size], result: address },
} as const satisfies SymbolTable;

/** What all maps take but that of a whole source outside a reservation. */
export const sizeSymbols = {
  // int pmem2_source_size(const struct pmem2_source *src, size_t *size);
  pmem2_source_size: { parameters: [source, out], result: int },
} as const satisfies SymbolTable;

/** Sources that are no file, and what is seldom asked of one. */
export const sourceSymbols = {
  // int pmem2_source_from_anon(struct pmem2_source **src, size_t size);
  pmem2_source_from_anon: { parameters: [out, size], result: int },
  // int pmem2_source_alignment(const struct pmem2_source *src, size_t *alignment);
  pmem2_source_alignment: { parameters: [source, out], result: int },
  // int pmem2_source_get_fd(const struct pmem2_source *src, int *fd);
  pmem2_source_get_fd: { parameters: [source, buffer], result: int },
} as const satisfies SymbolTable;

/** Growing a file. */
export const fileSymbols = {
  // int fstatvfs(int fd, struct statvfs *buf);
  fstatvfs: { parameters: [int, buffer], result: int },
  // int fallocate(int fd, int mode, off_t offset, off_t len);
  fallocate: { parameters: [int, int, offset, offset], result: int },
  // int posix_fallocate(int fd, off_t offset, off_t len);
  posix_fallocate: { parameters: [int, offset, offset], result: int },
} as const satisfies SymbolTable;

/** Reliability, availability and serviceability of a source's device. */
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

/** Memory that other native code mapped. */
export const existingSymbols = {
  // int pmem2_map_from_existing(struct pmem2_map **map,
  //     const struct pmem2_source *src, void *addr, size_t len,
  //     enum pmem2_granularity gran);
  pmem2_map_from_existing: {
    parameters: [out, source, address, size, unsigned],
    result: int,
  },
  // int pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
  pthread_key_create: { parameters: [buffer, address], result: int },
  // int pthread_key_delete(pthread_key_t key);
  pthread_key_delete: { parameters: [unsigned], result: int },
} as const satisfies SymbolTable;

/** What every version exports and nothing here calls: its text is in every error. */
export const unusedSymbols = {
  // void pmem2_perror(const char *format, ...);
  pmem2_perror: { parameters: [buffer], result: nothing },
} as const satisfies SymbolTable;
