/**
 * Pointers to what libpmem2 hands out, each with the name of what it points
 * to: a reservation where a map is wanted does not compile. They are bigints
 * because FFI calls with bigints stay on Deno's fast path, and because no
 * `Deno.UnsafePointer` is needed then, which a path-limited `--allow-ffi`
 * would refuse.
 *
 * @module
 */

/** Taken at import, before anybody's code could have replaced them. */
const toBig = BigInt;
const MAX_UINT32 = 2 ** 32 - 1;
const { asIntN, asUintN } = BigInt;

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
 * A pointer as two integers of 32 bits: those V8 keeps in the object itself,
 * compares without looking elsewhere, and finds fastest in a `Map`.
 */
export interface Halves {
  readonly pointerLow: number;
  readonly pointerHigh: number;
}

/** The halves of a pointer. */
export function halvesOf(pointer: bigint): Halves {
  return {
    pointerLow: Number(asIntN(32, pointer)),
    pointerHigh: Number(asIntN(32, pointer >> 32n)),
  };
}

/**
 * `BigInt(bytes)` for an integer from 0 to 2^53. That would be a call that
 * allocates, 14 ns; of integers of 32 bits V8 makes an instruction or two where
 * it knows that 64 bits are wanted.
 */
export function toBigInt(bytes: number): bigint {
  return bytes <= MAX_UINT32
    ? asUintN(64, toBig(bytes >>> 0))
    : asUintN(64, (toBig(bytes / 2 ** 32 >>> 0) << 32n) + toBig(bytes >>> 0));
}

/** `address + bytes`, as C's pointers add. */
export function add(address: bigint, bytes: number): bigint {
  return asUintN(64, address + toBigInt(bytes));
}
