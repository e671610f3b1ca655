/**
 * Shows values in error messages.
 *
 * @module
 */

/** Taken at import, before anyone could replace them. */
const { getOwnPropertyDescriptor, getPrototypeOf, is } = Object;
const { isArray } = Array;
const { stringify } = JSON;
const objectPrototype = Object.prototype;

/** Shows a value in an error message. */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
    case "bigint":
      return `${value}n`;
    case "symbol":
    case "function":
      return `a ${typeof value}`;
    case "object":
      return value === null ? "null" : kindOf(value);
    default:
      return is(value, -0) ? "-0" : `${value}`;
  }
}

/**
 * Names the class of an object by the constructor of its prototype, without calling
 * getters. A proxy's traps may run, so nothing may follow but a throw.
 */
function kindOf(value: object): string {
  try {
    if (isArray(value)) return "an array";
    for (
      let prototype = getPrototypeOf(value);
      prototype !== null && prototype !== objectPrototype;
      prototype = getPrototypeOf(prototype)
    ) {
      const constructor = valueOf(prototype, "constructor");
      const name = typeof constructor === "function"
        ? valueOf(constructor, "name")
        : undefined;
      if (typeof name === "string" && /^[\w$]{1,60}$/.test(name)) {
        return `${article(name)} ${name}`;
      }
    }
  } catch {
    // A trap has thrown, or the proxy was revoked.
  }
  return "an object";
}

/** Returns the value of an own property, unless it is an accessor. */
function valueOf(object: object, key: string): unknown {
  return getOwnPropertyDescriptor(object, key)?.value;
}

/** "a Uint8Array", but "an ArrayBuffer". */
function article(name: string): string {
  return /^[aeio]/i.test(name) ? "an" : "a";
}
