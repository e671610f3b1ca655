/**
 * The memory that C writes what it returns to.
 *
 * @module
 */

import type { Halves, Pointer } from "./pointer.ts";

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

const halves = new Int32Array(memory.buffer);

/** The lower half of the pointer that C has just written there. */
export function receivedLow(): number {
  return halves[0]!;
}

/** Whether it's this pointer. */
export function isReceived(pointer: Halves): boolean {
  return halves[0] === pointer.pointerLow && halves[1] === pointer.pointerHigh;
}

/** Puts a pointer there, for the functions that clear it. */
export function cellWith(pointer: bigint): Pointer<"cell"> {
  memory[0] = pointer;
  return cell();
}
