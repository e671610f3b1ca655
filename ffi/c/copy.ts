/**
 * Copies between memory and arrays, over libc's memmove.
 *
 * From about 2 KiB on, glibc before 2.39 leaves copying to an instruction of the
 * CPU (`rep movsb`) that takes AMD's Zen 3 and 4 ten to thirty times as long
 * where the target is less than 32 bytes ahead of the source, not counting whole
 * pages. There, copies are made in pieces that are too short for that.
 *
 * @module
 */

import { hasSmallBuffer } from "../input/views.ts";
import * as functions from "./functions.ts";
import * as library from "./library.ts";
import * as pointer from "./pointer.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
const { loaderFunctions } = library;
const { toBigInt } = pointer;
const { asUintN } = BigInt;
const { min } = Math;
const { copyFunctions } = functions;

/**
 * The address of what an array has. It's the caller's to see to it that V8
 * neither moves nor frees that while the address is in use: longer than 64 bytes,
 * over a buffer of its own, and in module state that is read later.
 */
export function addressOf(array: ArrayBufferView): bigint {
  // memmove returns where it copies to, here nothing.
  return loaderFunctions().copy_out(array, 0n, 0n);
}

/** The longest piece that is surely copied with ordinary instructions. */
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

/** Copies from one address to another, also where the ranges overlap. */
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
  // What is still to be copied must not be written over.
  const backwards = to > from;
  for (let done = 0; done < length; done += PIECE) {
    const size = min(length - done, PIECE);
    const at = toBigInt(backwards ? length - done - size : done);
    memmove(to + at, from + at, toBigInt(size));
  }
}

/**
 * The array that was held last. The garbage collector must not have it while its
 * address is in use, and can't see that.
 */
const pinned: { data: Uint8Array | null; large: boolean } = {
  data: null,
  large: false,
};
/** Its address: in here a bigint is 8 bytes and no object. */
const pinnedAddress = new BigUint64Array(new ArrayBuffer(128));

/** Buffers up to this size stay pinned: programs tend to write from the same one. */
const LARGE = 32 * 1024;

/**
 * V8 keeps typed arrays of up to 64 bytes on its heap and may move them between
 * two calls. With a margin, such are copied to where nothing moves; larger
 * ones stay where they are.
 */
const MAY_MOVE = 256;
const staging = new Uint8Array(new ArrayBuffer(MAY_MOVE));
let stagingAddress = 0n;

/** Where an array's bytes can be read, until {@linkcode unpin}. */
export function pin(data: Uint8Array, length: number): bigint {
  if (length > MAY_MOVE) return pinLonger(data, length);
  stagingAddress ||= addressOf(staging);
  copyFunctions().copy_in(stagingAddress, data, toBigInt(length));
  return stagingAddress;
}

/** The end of what an array was held for. */
export function unpin(): void {
  if (pinned.large) pinned.data = null;
}

/** Where the bytes of an array are that can't move, until {@linkcode unpin}. */
function pinLonger(data: Uint8Array, length: number): bigint {
  if (pinned.data !== data) findOut(data, length);
  return pinnedAddress[0]!;
}

function findOut(data: Uint8Array, length: number): void {
  const large = length > LARGE || !hasSmallBuffer(data, LARGE);
  // Nothing that may fail comes between these.
  pinnedAddress[0] = addressOf(data);
  pinned.large = large;
  pinned.data = data;
}
