/**
 * What makes stores durable, as a record of it: done once to a file as it is, and
 * again when the states are made that a power cut could have left.
 *
 * @module
 */

import { BYTE } from "../input/granularity.ts";
import type { FileModel } from "./model.ts";

export type Operation =
  | {
    readonly kind: "persist" | "flush" | "deepFlush";
    readonly from: number;
    readonly to: number;
  }
  | { readonly kind: "drain" }
  /** A store that isn't flushed. */
  | { readonly kind: "store" }
  /** An asynchronous flush begins … */
  | {
    readonly kind: "begin";
    readonly from: number;
    readonly to: number;
    readonly ticket: object;
  }
  /** … and ends; like persist it drains, like deepFlush it doesn't. */
  | {
    readonly kind: "end";
    readonly ticket: object;
    readonly drains: boolean;
  };

/** Does it to a file, and to all others as far as it's a drain. */
export function operate(
  operation: Operation,
  model: FileModel,
  all: Iterable<FileModel>,
): void {
  switch (operation.kind) {
    case "flush":
    case "persist":
      model.flush(operation.from, operation.to);
      break;
    case "deepFlush":
      model.flushNow(operation.from, operation.to);
      break;
    case "begin":
      model.capture(operation.from, operation.to, operation.ticket);
      break;
    case "end":
      model.arrive(operation.ticket);
  }
  const drains = operation.kind === "persist" || operation.kind === "drain" ||
    operation.kind === "end" && operation.drains;
  for (const one of all) {
    if (drains) one.arrive(null);
    // There what is stored is durable.
    if (one.granularity === BYTE) one.settle();
  }
}
