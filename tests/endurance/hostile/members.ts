/**
 * Everything of the module that can be called, as found in what it exports: what
 * is added there is called here.
 *
 * @module
 */

import * as module from "@pmem2/pmem2";
import * as testing from "@pmem2/pmem2/testing";

/** What a member is to be called on. */
export type Receiver =
  | "map"
  | "source"
  | "reservation"
  | "error"
  | "walk"
  | "emulation"
  | "none";

export interface Member {
  /** Such as "Pmem2Map.prototype.persist". */
  readonly name: string;
  readonly receiver: Receiver;
  readonly kind: "method" | "getter" | "constructor" | "function";
  // deno-lint-ignore ban-types
  readonly code: Function;
}

const receivers: Record<string, Receiver> = {
  Pmem2Map: "map",
  Pmem2Source: "source",
  Pmem2VmReservation: "reservation",
  Pmem2Error: "error",
  CrashError: "error",
};

/** All members, by the exports and the prototypes of what they return. */
export function members(): Member[] {
  const found: Member[] = [];
  for (const [name, value] of Object.entries({ ...module, ...testing })) {
    if (typeof value !== "function") continue;
    if (!(name in receivers)) {
      found.push({ name, receiver: "none", kind: "function", code: value });
      continue;
    }
    found.push({ name, receiver: "none", kind: "constructor", code: value });
    found.push(...own(value, name, "none"));
    found.push(
      ...own(value.prototype, `${name}.prototype`, receivers[name]!),
    );
  }
  using reservation = new module.Pmem2VmReservation(2 ** 16);
  using emulation = testing.emulatePmem("page");
  found.push(
    ...own(Object.getPrototypeOf(reservation.maps()), "walk", "walk"),
    ...own(Object.getPrototypeOf(emulation), "emulation", "emulation"),
  );
  return found;
}

function own(object: object, path: string, receiver: Receiver): Member[] {
  const found: Member[] = [];
  for (const key of Reflect.ownKeys(object)) {
    if (typeof object === "function" && FUNCTION_KEYS.has(key)) continue;
    const { value, get } = Object.getOwnPropertyDescriptor(object, key)!;
    const name = typeof key === "symbol"
      ? `${path}[${key.description}]`
      : `${path}.${key}`;
    if (get !== undefined) {
      found.push({ name, receiver, kind: "getter", code: get });
    } else if (typeof value === "function") {
      // Constructors are reachable through every instance.
      const kind = key === "constructor" ? "constructor" : "method";
      found.push({ name, receiver, kind, code: value });
    }
  }
  return found;
}

const FUNCTION_KEYS: Set<string | symbol> = new Set([
  "length",
  "name",
  "prototype",
  "isError",
  "captureStackTrace",
  "stackTraceLimit",
]);
