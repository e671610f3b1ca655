/**
 * Paths as C strings.
 *
 * @module
 */

import { BigInt } from "../input/intrinsics.ts";
import { addressOf } from "./copy.ts";

const encoder = new TextEncoder();
const encodeInto = encoder.encodeInto.bind(encoder);

/**
 * The memory where C reads paths. The first bytes are always 0: an empty path. A path
 * that does not fit is cut, but is still too long for Linux (PATH_MAX, 4,096 bytes),
 * so it never names another file.
 *
 * PERF: it is kept since the same path is often used again, and since Deno takes
 * longer to pass an array than an address.
 */
const memory = new Uint8Array(new ArrayBuffer(8192));
let address = 0n;
let named: string | null = null;
const START = 8;
const room = memory.subarray(START, -1);

/** Returns the address of an empty path. */
export function emptyName(): bigint {
  return address ||= addressOf(memory);
}

/** Returns the address of a path as a C string, valid until the next call. */
export function nameOf(path: string): bigint {
  if (path !== named) {
    named = null;
    const { read, written } = encodeInto(path, room);
    memory[START + written] = 0;
    if (read === path.length) named = path;
  }
  return emptyName() + BigInt(START);
}
