/**
 * Pointers to what libpmem2 hands out, each with the name of what it points
 * to: a reservation where a map is wanted does not compile. They are bigints
 * because FFI calls with bigints stay on Deno's fast path, and because no
 * `Deno.UnsafePointer` is needed then, which a path-limited `--allow-ffi`
 * would refuse.
 *
 * @module
 */

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
 * Where C writes what it returns through a pointer parameter. Native code may
 * not keep it: the next call overwrites it.
 *
 * Over an `ArrayBuffer` of its own and larger than 64 bytes: V8 keeps smaller
 * typed arrays on its heap, where the garbage collector moves them.
 */
export const cell: BigUint64Array<ArrayBuffer> = new BigUint64Array(
  new ArrayBuffer(128),
);

/** The pointer that C has just written to {@linkcode cell}. */
export function received<P extends bigint>(): P {
  return cell[0] as P;
}

/** Puts a pointer into {@linkcode cell}, for the functions that clear it. */
export function cellWith(pointer: bigint): BigUint64Array<ArrayBuffer> {
  cell[0] = pointer;
  return cell;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The text as C wants it: UTF-8 with a NUL behind it, which it may not hold. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(text.length * 3 + 65));
  encoder.encodeInto(text, bytes);
  return bytes;
}

/** The text before the first NUL. */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end === -1 ? bytes : bytes.subarray(0, end));
}

/** `address + bytes`, as C's pointers add: one machine instruction. */
export function add(address: bigint, bytes: number): bigint {
  return BigInt.asUintN(64, address + BigInt(bytes));
}
