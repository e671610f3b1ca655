/**
 * Buffers and views as they truly are, whatever their owner has made of them:
 * the engine's own getters, taken at import, before anybody's code could have
 * replaced them.
 *
 * @module
 */

import { wrongType } from "./argument.ts";
import { typeError } from "./caller.ts";

type Getter<T> = (target: unknown) => T;
const getter = <T>(prototype: object, key: string | symbol): Getter<T> => {
  const get = Object.getOwnPropertyDescriptor(prototype, key)?.get;
  // An engine without it isn't Deno's: that is said when the library is opened.
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
 * Whether all of the buffer that an array is a view on has at most so many
 * bytes. No for some that do, such as shared ones.
 */
export function hasSmallBuffer(array: Uint8Array, limit: number): boolean {
  const buffer = typedArray.buffer(array);
  // Of what isn't one the getter makes an error, which takes long.
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

/** The getters of a view, a typed array's or a `DataView`'s. */
export function viewGetters(view: ArrayBufferView): typeof typedArray {
  return typeTag(view) === undefined ? dataView : typedArray;
}

/** Whether the value is an `ArrayBufferView`. */
export function isArrayBufferView(value: unknown): value is ArrayBufferView {
  return isView(value);
}

/** Whether the value is a `Uint8Array`, of this realm or another. */
function isUint8Array(value: unknown): value is Uint8Array {
  return typeTag(value) === "Uint8Array";
}

/** Throws unless the value is a `Uint8Array`; its true length. */
export function lengthOf(action: string, name: string, value: unknown): number {
  if (!isUint8Array(value)) {
    throw wrongType(action, name, "a Uint8Array", value);
  }
  return typedArray.byteLength(value);
}

/** The same for an array that native code will write to. */
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

/** A part of an array, as a plain `Uint8Array` over the same memory. */
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
/** The engine's own, so that it needs no compilation. */
export const transfer = Function.prototype.call.bind(
  ArrayBuffer.prototype.transfer ?? Object,
) as (buffer: ArrayBuffer, length: number) => ArrayBuffer;

/** Whether a buffer was given away. */
export function isDetached(buffer: ArrayBuffer): boolean {
  return detachedGetter(buffer);
}

/** Makes a buffer, and all views over it, empty. */
export function detach(buffer: ArrayBuffer): void {
  transfer(buffer, 0);
}
