/**
 * The engine's own classes and functions, as they were when this module was imported.
 *
 * SAFETY: a program that replaces `Number` or `Map.prototype.get` must not get to decide
 * about addresses. Files that import these names use no others. `for…of` and
 * `[a, b] = …` are not safe, since they ask `Array.prototype` for an iterator, and are
 * not used where that matters.
 *
 * @module
 */

const { defineProperty, freeze, getOwnPropertyDescriptor, setPrototypeOf } =
  Object;
const { ownKeys } = Reflect;

const TheNumber = Number;
const TheBigInt = BigInt;
// Native code writes to arrays of these classes: no smaller ones may take their place.
const TheArrayBuffer = ArrayBuffer;
const TheUint8Array = Uint8Array;
const TheInt32Array = Int32Array;
const TheUint32Array = Uint32Array;
const TheFloat64Array = Float64Array;
const TheBigUint64Array = BigUint64Array;
const TheDataView = DataView;
const TheMath: Math = freeze(
  Object.defineProperties({}, Object.getOwnPropertyDescriptors(Math)),
) as Math;

/** Copies the methods of a class to one that extends it, and freezes them. */
function keep(derived: { prototype: object }, base: { prototype: object }) {
  const keys = ownKeys(base.prototype);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (key === "constructor") continue;
    const descriptor = getOwnPropertyDescriptor(base.prototype, key)!;
    defineProperty(derived.prototype, key, descriptor);
  }
  setPrototypeOf(derived.prototype, null);
  freeze(derived.prototype);
}

const [TheMap, TheSet, TheWeakMap] = [
  globalThis.Map,
  globalThis.Set,
  globalThis.WeakMap,
];

class OwnMap<K, V> extends TheMap<K, V> {}
class OwnSet<T> extends TheSet<T> {}
class OwnWeakMap<K extends WeakKey, V> extends TheWeakMap<K, V> {}
keep(OwnMap, TheMap);
keep(OwnSet, TheSet);
keep(OwnWeakMap, TheWeakMap);

/**
 * Makes an array without a prototype. It has indices and a length, and no methods.
 *
 * SAFETY: a program may define an index of `Array.prototype`. To add to an ordinary
 * array, by assignment, would run the program's code then, which gets the value.
 */
export function bareArray<T>(): T[] {
  return setPrototypeOf([], null) as T[];
}

/** Does what `array.indexOf(value, from)` does. */
export const byteIndexIn = Function.prototype.call.bind(
  Uint8Array.prototype.indexOf,
) as (array: Uint8Array, value: number, from?: number) => number;

/** Does what `list.indexOf(value)` does. */
export function indexIn(list: readonly unknown[], value: unknown): number {
  for (let i = 0; i < list.length; i++) if (list[i] === value) return i;
  return -1;
}

export {
  OwnMap as Map,
  OwnSet as Set,
  OwnWeakMap as WeakMap,
  TheArrayBuffer as ArrayBuffer,
  TheBigInt as BigInt,
  TheBigUint64Array as BigUint64Array,
  TheDataView as DataView,
  TheFloat64Array as Float64Array,
  TheInt32Array as Int32Array,
  TheMath as Math,
  TheNumber as Number,
  TheUint32Array as Uint32Array,
  TheUint8Array as Uint8Array,
};
