/**
 * Paths, as C wants them.
 *
 * @module
 */

import { addressOf } from "./copy.ts";

const encoder = new TextEncoder();
const encodeInto = encoder.encodeInto.bind(encoder);

/**
 * Where C reads paths. It's kept, as to pass an array takes Deno longer, and since
 * the same path is often wanted again. The first bytes are always 0: no name. A
 * path that doesn't fit is cut off, and still too long for Linux (PATH_MAX, 4,096
 * bytes): it's no other file's.
 */
const memory = new Uint8Array(new ArrayBuffer(8192));
let address = 0n;
let named: string | null = null;
const START = 8;
const room = memory.subarray(START, -1);

/** The address of an empty name. */
export function emptyName(): bigint {
  return address ||= addressOf(memory);
}

/** The address of a path with a NUL behind it, until the next one is asked for. */
export function nameOf(path: string): bigint {
  if (path !== named) {
    named = null;
    const { read, written } = encodeInto(path, room);
    memory[START + written] = 0;
    if (read === path.length) named = path;
  }
  return emptyName() + BigInt(START);
}
