/**
 * Strings to and from C.
 *
 * @module
 */

import { ArrayBuffer, byteIndexIn, Uint8Array } from "../input/intrinsics.ts";
import { subarray } from "../input/views.ts";

const encoder = new TextEncoder();
const encodeInto = encoder.encodeInto.bind(encoder);
const decode = decoderOf(new TextDecoder());
const decodeStrictly = decoderOf(new TextDecoder("utf-8", { fatal: true }));

/** Binds the engine's own method, which callers may replace. */
function decoderOf(decoder: TextDecoder): TextDecoder["decode"] {
  return decoder.decode.bind(decoder);
}

/** Encodes a string, which must not contain a NUL, as UTF-8 with a NUL at the end. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(text.length * 3 + 65));
  encodeInto(text, bytes);
  return bytes;
}

/** Decodes the string before the first NUL, or returns null if it is not UTF-8. */
export function fromCStringStrictly(bytes: Uint8Array): string | null {
  try {
    return decodeStrictly(beforeNul(bytes));
  } catch {
    return null;
  }
}

/** Decodes the string before the first NUL. */
export function fromCString(bytes: Uint8Array): string {
  return decode(beforeNul(bytes));
}

function beforeNul(bytes: Uint8Array): Uint8Array {
  const end = byteIndexIn(bytes, 0);
  return end === -1 ? bytes : subarray(bytes, 0, end);
}
