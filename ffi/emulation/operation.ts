/**
 * Operations that make stores durable, as records. They are applied once when they
 * happen, and again when the states after a power cut are made.
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
  /** A store that is not flushed. */
  | { readonly kind: "store" }
  /** An asynchronous flush starts … */
  | {
    readonly kind: "begin";
    readonly from: number;
    readonly to: number;
    readonly ticket: object;
  }
  /** … and ends. It drains like persist, or does not, like deepFlush. */
  | {
    readonly kind: "end";
    readonly ticket: object;
    readonly drains: boolean;
  };

/** Applies an operation to a file, and a drain to all files. */
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
    // At byte granularity, stores are durable at once.
    if (one.granularity === BYTE) one.settle();
  }
}
