/**
 * Strings to and from C.
 *
 * @module
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

/** Encodes a string, which must not contain a NUL, as UTF-8 with a NUL at the end. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(text.length * 3 + 65));
  encoder.encodeInto(text, bytes);
  return bytes;
}

/** Decodes the string before the first NUL, or returns null if it is not UTF-8. */
export function fromCStringStrictly(bytes: Uint8Array): string | null {
  const end = bytes.indexOf(0);
  try {
    return strictDecoder.decode(end === -1 ? bytes : bytes.subarray(0, end));
  } catch {
    return null;
  }
}

/** Decodes the string before the first NUL. */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end === -1 ? bytes : bytes.subarray(0, end));
}
