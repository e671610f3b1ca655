/**
 * Pointers to the objects of libpmem2. The type of each carries the name of what it
 * points to, so that passing a reservation for a map does not compile.
 *
 * They are bigints since FFI calls with bigints stay on Deno's fast path, and since
 * they need no `Deno.UnsafePointer`, which a path-limited `--allow-ffi` refuses.
 *
 * @module
 */

/** Taken at import, before anyone could replace them. */
const toBig = BigInt;
const MAX_UINT32 = 2 ** 32 - 1;
const { asUintN } = BigInt;

declare const pointee: unique symbol;

/** The address of a C object of type `Name`. */
export type Pointer<Name extends string> = bigint & {
  readonly [pointee]: Name;
};

export type SourcePointer = Pointer<"pmem2_source">;
export type ConfigPointer = Pointer<"pmem2_config">;
export type MapPointer = Pointer<"pmem2_map">;
export type VmReservationPointer = Pointer<"pmem2_vm_reservation">;
export type BadBlockContextPointer = Pointer<"pmem2_badblock_context">;
export type FunctionPointer = Pointer<"function">;

/**
 * Does what `BigInt(bytes)` does, for an integer from 0 to 2^53.
 *
 * PERF: `BigInt` is a call that allocates, 14 ns. For integers of 32 bits V8 compiles
 * it to one or two instructions if the result is cut to 64 bits (Deno 2.9.6).
 */
export function toBigInt(bytes: number): bigint {
  return bytes <= MAX_UINT32
    ? asUintN(64, toBig(bytes >>> 0))
    : asUintN(64, (toBig(bytes / 2 ** 32 >>> 0) << 32n) + toBig(bytes >>> 0));
}

/** Returns `address + bytes`, modulo 2^64 like C's pointers. */
export function add(address: bigint, bytes: number): bigint {
  return asUintN(64, address + toBigInt(bytes));
}
