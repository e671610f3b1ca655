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
 * Where C writes what it returns through a pointer parameter. Native code may
 * not keep it: the next call overwrites it.
 *
 * Over an `ArrayBuffer` of its own and larger than 64 bytes: V8 keeps smaller
 * typed arrays on its heap, where the garbage collector moves them.
 */
const memory: BigUint64Array<ArrayBuffer> = new BigUint64Array(
  new ArrayBuffer(128),
);

/**
 * The address of that memory, known once the library is open. As a number in a
 * register it costs nothing to pass, and its functions half the time to
 * compile; an array takes Deno 12 ns to look into. It's kept in the memory
 * itself, since there a bigint is 8 bytes and no object.
 */
export function cell(): Pointer<"cell"> {
  return memory[1] as Pointer<"cell">;
}

/** Finds out the address of the memory that C writes to. */
export function locateCell(locate: (array: BigUint64Array) => bigint): void {
  memory[1] = locate(memory);
}

/** The pointer that C has just written there. */
export function received<P extends bigint>(): P {
  return memory[0] as P;
}

/**
 * A pointer as two integers of 32 bits: those V8 keeps in the object itself,
 * compares without looking elsewhere, and finds fastest in a `Map`.
 */
export interface Halves {
  readonly low: number;
  readonly high: number;
}

const halves = new Int32Array(memory.buffer);

/** The halves of a pointer. */
export function halvesOf(pointer: bigint): Halves {
  return {
    low: Number(asIntN(32, pointer)),
    high: Number(asIntN(32, pointer >> 32n)),
  };
}

/** The lower half of the pointer that C has just written there. */
export function receivedLow(): number {
  return halves[0]!;
}

/** Whether it's this pointer. */
export function isReceived(pointer: Halves): boolean {
  return halves[0] === pointer.low && halves[1] === pointer.high;
}

/** Puts a pointer there, for the functions that clear it. */
export function cellWith(pointer: bigint): Pointer<"cell"> {
  memory[0] = pointer;
  return cell();
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
