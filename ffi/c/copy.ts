/**
 * Copies between memory and arrays with libc's memmove.
 *
 * PERF: from about 2 KiB on, glibc before 2.39 copies with an instruction of the CPU
 * (`rep movsb`). On AMD's Zen 3 and 4 that takes 15 to 30 times as long if the target
 * is 1 to 31 bytes ahead of the source, modulo 4,096. Such copies are split into
 * pieces that are too short for the instruction.
 *
 * @module
 */

import { hasSmallBuffer } from "../input/views.ts";
import * as functions from "./functions.ts";
import * as library from "./library.ts";
import * as pointer from "./pointer.ts";

// PERF: see preload.ts.
const { loaderFunctions } = library;
const { toBigInt } = pointer;
const { asUintN } = BigInt;
const { min } = Math;
const { copyFunctions } = functions;

/**
 * Returns the address of an array's elements.
 *
 * SAFETY: the caller must make sure that V8 neither moves nor frees the array while
 * the address is in use. So it must be longer than 64 bytes, have a buffer of its
 * own, and be held in module state that is read later.
 */
export function addressOf(array: ArrayBufferView): bigint {
  // memmove returns its target. It copies 0 bytes here.
  return loaderFunctions().copy_out(array, 0n, 0n);
}

/** The longest piece that is certainly copied with ordinary instructions. */
const PIECE = 2048;

/** Copies an array of `length` bytes to an address. */
export function copyIn(
  address: bigint,
  data: Uint8Array,
  length: number,
): void {
  if (length <= PIECE) {
    copyFunctions().copy_in(address, data, toBigInt(length));
  } else {
    copyWithin(address, pinLonger(data, length), length);
    unpin();
  }
}

/** Copies from an address into an array of `length` bytes. */
export function copyOut(
  data: Uint8Array,
  address: bigint,
  length: number,
): void {
  if (length <= PIECE) {
    loaderFunctions().copy_out(data, address, toBigInt(length));
  } else {
    copyWithin(pinLonger(data, length), address, length);
    unpin();
  }
}

/** Copies from one address to another; the ranges may overlap. */
export function copyWithin(to: bigint, from: bigint, length: number): void {
  const ahead = asUintN(12, to - from);
  if (length <= PIECE || ahead === 0n || ahead >= 32n) {
    copyFunctions().memmove(to, from, toBigInt(length));
  } else {
    copyInPieces(to, from, length);
  }
}

function copyInPieces(to: bigint, from: bigint, length: number): void {
  const { memmove } = copyFunctions();
  // Bytes that are still to be copied must not be overwritten.
  const backwards = to > from;
  for (let done = 0; done < length; done += PIECE) {
    const size = min(length - done, PIECE);
    const at = toBigInt(backwards ? length - done - size : done);
    memmove(to + at, from + at, toBigInt(size));
  }
}

/**
 * The array that was pinned last.
 *
 * SAFETY: this reference keeps the garbage collector, which does not see the address,
 * from freeing the array while the address is in use.
 */
const pinned: { data: Uint8Array | null; large: boolean } = {
  data: null,
  large: false,
};
/** Its address. PERF: in an array, a bigint is 8 bytes and no object. */
const pinnedAddress = new BigUint64Array(new ArrayBuffer(128));

/** Buffers of up to this size stay pinned, since programs often write from the same one. */
const LARGE = 32 * 1024;

/**
 * SAFETY: V8 keeps typed arrays of up to 64 bytes on its heap, and may move them
 * between two calls. Arrays of up to this size, with a margin, are copied to memory
 * that does not move; the memory of larger ones never moves.
 */
const MAY_MOVE = 256;
const staging = new Uint8Array(new ArrayBuffer(MAY_MOVE));
let stagingAddress = 0n;

/** Returns an address where the bytes of an array can be read until {@linkcode unpin}. */
export function pin(data: Uint8Array, length: number): bigint {
  if (length > MAY_MOVE) return pinLonger(data, length);
  stagingAddress ||= addressOf(staging);
  copyFunctions().copy_in(stagingAddress, data, toBigInt(length));
  return stagingAddress;
}

/** Releases the array that was pinned last. */
export function unpin(): void {
  if (pinned.large) pinned.data = null;
}

/** Returns the address of an array that V8 does not move, valid until {@linkcode unpin}. */
function pinLonger(data: Uint8Array, length: number): bigint {
  if (pinned.data !== data) findOut(data, length);
  return pinnedAddress[0]!;
}

function findOut(data: Uint8Array, length: number): void {
  const large = length > LARGE || !hasSmallBuffer(data, LARGE);
  // Nothing between these can fail.
  pinnedAddress[0] = addressOf(data);
  pinned.large = large;
  pinned.data = data;
}
