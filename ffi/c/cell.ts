/**
 * The memory that C's out parameters point to.
 *
 * @module
 */

import type { Pointer } from "./pointer.ts";

/**
 * Where C writes what it returns through a pointer parameter. The next call
 * overwrites it, so native code must not keep its address.
 *
 * SAFETY: its address never changes, since it has an `ArrayBuffer` of its own with
 * more than 64 bytes. V8 keeps smaller typed arrays on its heap, where the garbage
 * collector moves them.
 */
const memory: BigUint64Array<ArrayBuffer> = new BigUint64Array(
  new ArrayBuffer(128),
);

/**
 * Returns the address of that memory. It is known once the library is open.
 *
 * PERF: an address is passed in a register at no cost, where Deno takes 12 ns to look
 * into an array; functions that take one compile in half the time (Deno 2.9.6). The
 * address is kept in the memory itself: there a bigint is 8 bytes and no object.
 */
export function cell(): Pointer<"cell"> {
  return memory[1] as Pointer<"cell">;
}

/** Sets the address of the memory that C writes to. */
export function locateCell(locate: (array: BigUint64Array) => bigint): void {
  memory[1] = locate(memory);
}

/** Returns the pointer that C has just written. */
export function received<P extends bigint>(): P {
  return memory[0] as P;
}

const halves = new Int32Array(memory.buffer);

/**
 * Whether C has just written a pointer of an array, given as integers of 32 bits.
 *
 * PERF: comparing two bigints is a call.
 */
export function isReceivedAt(pointers: Int32Array, position: number): boolean {
  return halves[0] === pointers[2 * position] &&
    halves[1] === pointers[2 * position + 1];
}

/** Stores a pointer in the cell, for functions that read and clear it. */
export function cellWith(pointer: bigint): Pointer<"cell"> {
  memory[0] = pointer;
  return cell();
}
