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

import * as library from "./library.ts";
import * as pointer from "./pointer.ts";
import { copySymbols } from "./symbols.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
const { lazily, librarySymbols } = library;
const { toBigInt } = pointer;
const { asUintN } = BigInt;
const copies = lazily(copySymbols);

/** The longest piece that is surely copied with ordinary instructions. */
const PIECE = 2048;

/** Copies an array of `length` bytes to an address. */
export function copyIn(
  address: bigint,
  data: Uint8Array,
  length: number,
): void {
  if (length <= PIECE) {
    copies().copy_in(address, data, toBigInt(length));
  } else {
    copyWithin(address, holdLarge(data), length);
    letGo();
  }
}

/** Copies from an address into an array of `length` bytes. */
export function copyOut(
  data: Uint8Array,
  address: bigint,
  length: number,
): void {
  if (length <= PIECE) {
    librarySymbols().copy_out(data, address, toBigInt(length));
  } else {
    copyWithin(holdLarge(data), address, length);
    letGo();
  }
}

/** Copies from one address to another, also where the ranges overlap. */
export function copyWithin(to: bigint, from: bigint, length: number): void {
  const ahead = asUintN(12, to - from);
  if (length <= PIECE || ahead === 0n || ahead >= 32n) {
    copies().memmove(to, from, toBigInt(length));
  } else {
    copyInPieces(to, from, length);
  }
}

function copyInPieces(to: bigint, from: bigint, length: number): void {
  const { memmove } = copies();
  // What is still to be copied must not be written over.
  const backwards = to > from;
  for (let done = 0; done < length; done += PIECE) {
    const size = Math.min(length - done, PIECE);
    const at = toBigInt(backwards ? length - done - size : done);
    memmove(to + at, from + at, toBigInt(size));
  }
}

/** Kept from the garbage collector, which can't see that its address is in use. */
const held: { data: Uint8Array | null } = { data: null };

/**
 * V8 keeps typed arrays of up to 64 bytes on its heap and may move them between
 * two calls. With a margin, such are copied to where nothing moves; larger
 * ones stay where they are.
 */
const MAY_MOVE = 256;
const staging = new Uint8Array(new ArrayBuffer(MAY_MOVE));
let stagingAddress = 0n;

/** Where an array's bytes can be read, until {@linkcode letGo}. */
export function hold(data: Uint8Array, length: number): bigint {
  if (length > MAY_MOVE) return holdLarge(data);
  stagingAddress ||= addressOf(staging);
  copies().copy_in(stagingAddress, data, toBigInt(length));
  return stagingAddress;
}

/** The end of what an array was held for. */
export function letGo(): void {
  held.data = null;
}

/** Where a large array's bytes are, until {@linkcode letGo}. */
function holdLarge(data: Uint8Array): bigint {
  held.data = data;
  return addressOf(data);
}

/** memmove returns where it copies to, here nothing. */
function addressOf(data: Uint8Array): bigint {
  return librarySymbols().copy_out(data, 0n, 0n);
}
