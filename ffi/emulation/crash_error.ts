/**
 * What a crash test that has found something throws.
 *
 * @module
 */

/** A range of a file that was not durable yet when the power went. */
export interface PendingStore {
  /** The file, from the emulation's directory on. */
  readonly path: string;
  /** Where it starts, in bytes from the start of the file. */
  readonly offset: number;
  /** How many bytes. */
  readonly length: number;
  /** Whether it was there after the power cut. */
  readonly kept: boolean;
}

/** What a {@linkcode CrashError} tells. */
export interface CrashErrorOptions {
  readonly moment: number;
  readonly moments: number;
  readonly state: number;
  readonly seed: number;
  readonly at: string;
  readonly pending: readonly PendingStore[];
  readonly cause: unknown;
}

/**
 * Thrown by `testCrashes` where a check fails. `cause` is what the check threw.
 *
 * @example What it tells
 * ```ts
 * import { Pmem2Map } from "@pmem2/pmem2";
 * import { CrashError, testCrashes } from "@pmem2/pmem2/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const open = (path: string) =>
 *   Pmem2Map.open(path, { create: true, size: 4096 });
 * const error = await assertRejects(() =>
 *   testCrashes({
 *     setup: (pmem) => open(pmem.path("file")).close(),
 *     write(pmem, acknowledge) {
 *       using map = open(pmem.path("file"));
 *       map.write(Uint8Array.of(1), 0, { drain: false });
 *       acknowledge(1); // too early: map.drain() is missing
 *     },
 *     check(pmem, acknowledged) {
 *       using map = open(pmem.path("file"));
 *       assertEquals(map.bytes[0], acknowledged.at(-1) ?? map.bytes[0]);
 *     },
 *   }), CrashError);
 * assertEquals(error.at, ""); // at the end
 * assertEquals(error.pending, [
 *   { path: "file", offset: 0, length: 8, kept: false },
 * ]);
 * ```
 */
export class CrashError extends Error {
  /** How often something had become durable: 0 is before the first time. */
  readonly moment: number;
  /** Which of that moment's states it was. */
  readonly state: number;
  /** What the arbitrary states were made of. */
  readonly seed: number;
  /**
   * The stack of the call that was cut off, such as a persist, a flush, a drain or
   * a write; "" at the end.
   */
  readonly at: string;
  /** What was pending then, and whether this state kept it: the first hundred. */
  readonly pending: readonly PendingStore[];

  /**
   * Makes the error for a check that failed.
   *
   * @param options What it tells.
   */
  constructor(options: CrashErrorOptions) {
    const { moment, state, seed, at, pending, cause } = options;
    super(describe(options), { cause });
    this.name = "CrashError";
    this.moment = moment;
    this.state = state;
    this.seed = seed;
    this.at = at;
    this.pending = pending;
  }
}

/** What the message lists of what was pending. */
const SHOWN = 12;

function describe(
  { moment, moments, state, seed, at, pending, cause }: CrashErrorOptions,
): string {
  const lines = [
    `The check failed for a power cut ${
      at === "" ? "at the end" : "that cut this off:"
    }`,
  ];
  if (at !== "") lines.push(at);
  lines.push(`Its error: ${messageOf(cause)}`);
  if (pending.length === 0) {
    lines.push("Nothing was pending.");
  } else {
    lines.push("Of what was not durable yet, the power cut");
    for (const { path, offset, length, kept } of pending.slice(0, SHOWN)) {
      lines.push(
        `  ${kept ? "kept" : "lost"} ${length} bytes at ${offset} of ${path}`,
      );
    }
    if (pending.length > SHOWN) lines.push("  and more: see `pending`");
  }
  lines.push(
    `This is state ${state} of moment ${moment} of ${moments}. To see it alone: testCrashes({ …, seed: ${seed}, only: { moment: ${moment}, state: ${state} } })`,
  );
  return lines.join("\n");
}

/** Its first line: Deno shows all of it as the cause. */
function messageOf(cause: unknown): string {
  try {
    const text = cause instanceof Error ? cause.message : String(cause);
    return text.trim().split("\n", 1)[0]!;
  } catch {
    return "something that has no text";
  }
}

const home = new URL("../", import.meta.url).href;

/** The stack of the method of this module that was called, and of its callers. */
export function callersStack(error: Error): string {
  const lines = `${error.stack ?? ""}`.split("\n")
    .filter((line) => /^\s+at /.test(line));
  const isOurs = (line: string) => line.includes(home);
  // The engine's own functions are in no file.
  const isEngines = (line: string) => line.endsWith("(<anonymous>)");
  const first = Math.max(
    lines.findIndex((line) => !isOurs(line) && !isEngines(line)),
    1,
  );
  return lines.slice(first - 1)
    .filter((line, i) => i === 0 || !isOurs(line)).join("\n");
}
