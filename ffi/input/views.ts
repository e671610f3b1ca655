/**
 * Buffers and views as they are, even if a caller has redefined their properties.
 *
 * SAFETY: these are the engine's own getters, taken at import, before anyone could
 * replace them. So a length that is checked is the length that native code meets.
 *
 * @module
 */

import { wrongType } from "./argument.ts";
import { typeError } from "./caller.ts";
import { Uint8Array } from "./intrinsics.ts";

type Getter<T> = (target: unknown) => T;
const getter = <T>(prototype: object, key: string | symbol): Getter<T> => {
  const get = Object.getOwnPropertyDescriptor(prototype, key)?.get;
  // Without it, this is not Deno. Opening the library throws an error that says so.
  return Function.prototype.call.bind(get ?? Object) as Getter<T>;
};
const TypedArray = Object.getPrototypeOf(Uint8Array.prototype);
const typeTag = getter<string | undefined>(TypedArray, Symbol.toStringTag);
const isView = ArrayBuffer.isView;

const typedArray = {
  buffer: getter<ArrayBufferLike>(TypedArray, "buffer"),
  byteOffset: getter<number>(TypedArray, "byteOffset"),
  byteLength: getter<number>(TypedArray, "byteLength"),
};
const dataView = {
  buffer: getter<ArrayBufferLike>(DataView.prototype, "buffer"),
  byteOffset: getter<number>(DataView.prototype, "byteOffset"),
  byteLength: getter<number>(DataView.prototype, "byteLength"),
};
const isImmutable = "immutable" in ArrayBuffer.prototype
  ? getter<boolean>(ArrayBuffer.prototype, "immutable")
  : undefined;
const sharedByteLength = getter<number>(
  SharedArrayBuffer.prototype,
  "byteLength",
);

const { getPrototypeOf } = Object;
const arrayBuffer = ArrayBuffer.prototype;
const byteLength = getter<number>(arrayBuffer, "byteLength");

/**
 * Whether the whole buffer of an array has at most `limit` bytes. Some buffers that
 * do, such as shared ones, are reported as larger.
 */
export function hasSmallBuffer(array: Uint8Array, limit: number): boolean {
  const buffer = typedArray.buffer(array);
  // PERF: for anything else the getter throws, which is slow.
  if (getPrototypeOf(buffer) !== arrayBuffer) return false;
  try {
    return byteLength(buffer) <= limit;
  } catch {
    return false;
  }
}

function isShared(buffer: ArrayBufferLike): boolean {
  try {
    sharedByteLength(buffer);
    return true;
  } catch {
    return false;
  }
}

/** Returns the getters of a view: those of typed arrays or those of `DataView`. */
export function viewGetters(view: ArrayBufferView): typeof typedArray {
  return typeTag(view) === undefined ? dataView : typedArray;
}

/** Whether the value is an `ArrayBufferView`. */
export function isArrayBufferView(value: unknown): value is ArrayBufferView {
  return isView(value);
}

/** Whether the value is a `Uint8Array` of this realm or another. */
function isUint8Array(value: unknown): value is Uint8Array {
  return typeTag(value) === "Uint8Array";
}

/** Returns the true length of a `Uint8Array`; throws for any other value. */
export function lengthOf(action: string, name: string, value: unknown): number {
  if (!isUint8Array(value)) {
    throw wrongType(action, name, "a Uint8Array", value);
  }
  return typedArray.byteLength(value);
}

/** Does the same for an array that native code will write to. */
export function writableLengthOf(
  action: string,
  name: string,
  value: unknown,
): number {
  const length = lengthOf(action, name, value);
  if (isImmutable !== undefined) {
    const buffer = typedArray.buffer(value);
    if (!isShared(buffer) && isImmutable(buffer)) {
      throw typeError(
        `Cannot ${action} as ${name} must be writable: its buffer is immutable`,
      );
    }
  }
  return length;
}

/** Makes a plain `Uint8Array` over a part of an array. */
export function subarray(
  array: Uint8Array,
  offset: number,
  length: number,
): Uint8Array {
  return new Uint8Array(
    typedArray.buffer(array),
    typedArray.byteOffset(array) + offset,
    length,
  );
}

const detachedGetter = getter<boolean>(ArrayBuffer.prototype, "detached");
/** The engine's own function, which never has to be compiled. */
export const transfer = Function.prototype.call.bind(
  ArrayBuffer.prototype.transfer ?? Object,
) as (buffer: ArrayBuffer, length: number) => ArrayBuffer;

/** Whether a buffer was transferred. */
export function isDetached(buffer: ArrayBuffer): boolean {
  return detachedGetter(buffer);
}

/** Empties a buffer and all views on it. */
export function detach(buffer: ArrayBuffer): void {
  transfer(buffer, 0);
}
