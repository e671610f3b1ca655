/**
 * The error of a crash test that has found a mistake.
 *
 * @module
 */

/** A range of a file that was not yet durable at the power cut. */
export interface PendingStore {
  /** The path of the file in the directory of the emulation. */
  readonly path: string;
  /** Where the range starts, in bytes from the start of the file. */
  readonly offset: number;
  /** How many bytes the range has. */
  readonly length: number;
  /** Whether the state kept the range. */
  readonly kept: boolean;
}

/** The properties of a {@linkcode CrashError}. */
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
 * The error with which `testCrashes` rejects if a check throws. `cause` is what the check
 * threw.
 *
 * @example Finding a missing drain
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
  /** The number of the moment: 0 is before the first time that something became durable. */
  readonly moment: number;
  /** The number of the state among those of the moment. */
  readonly state: number;
  /** The seed of the arbitrary states. */
  readonly seed: number;
  /**
   * The stack of the call that the power cut interrupted, such as a persist, a flush, a
   * drain or a write; "" at the end of `write`.
   */
  readonly at: string;
  /** The first hundred ranges that were pending, and whether the state kept them. */
  readonly pending: readonly PendingStore[];

  /**
   * Makes the error for a check that failed.
   *
   * @param options The properties of the error.
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

/** How many pending ranges the message lists. */
const SHOWN = 12;

function describe(
  { moment, moments, state, seed, at, pending, cause }: CrashErrorOptions,
): string {
  const lines = [
    `The check failed for a power cut ${
      at === "" ? "at the end" : "that interrupted this call:"
    }`,
  ];
  if (at !== "") lines.push(at);
  lines.push(`Its error: ${messageOf(cause)}`);
  if (pending.length === 0) {
    lines.push("Nothing was pending.");
  } else {
    lines.push("Of the stores that were not yet durable, the power cut");
    for (const { path, offset, length, kept } of pending.slice(0, SHOWN)) {
      lines.push(
        `  ${kept ? "kept" : "lost"} ${length} bytes at ${offset} of ${path}`,
      );
    }
    if (pending.length > SHOWN) lines.push("  and more: see `pending`");
  }
  lines.push(
    `This is state ${state} of moment ${moment} of ${moments}. To run it alone: testCrashes({ …, seed: ${seed}, only: { moment: ${moment}, state: ${state} } })`,
  );
  return lines.join("\n");
}

/** Returns the first line of the message. Deno prints all of it as the cause. */
function messageOf(cause: unknown): string {
  try {
    const text = cause instanceof Error
      ? cause.message || cause.name
      : String(cause);
    return text.trim().split("\n", 1)[0]!;
  } catch {
    return "a value that cannot be converted to a string";
  }
}

const home = new URL("../", import.meta.url).href;

/** Returns the stack from the called method of this module on. */
export function callersStack(error: Error): string {
  const lines = `${error.stack ?? ""}`.split("\n")
    .filter((line) => /^\s+at /.test(line));
  const isOurs = (line: string) => line.includes(home);
  const isDenos = (line: string) => /[ (]ext:/.test(line);
  // V8's own functions have no file.
  const isEngines = (line: string) =>
    isDenos(line) || line.endsWith("(<anonymous>)");
  const first = Math.max(
    lines.findIndex((line) => !isOurs(line) && !isEngines(line)),
    1,
  );
  return lines.slice(first - 1)
    .filter((line, i) => i === 0 || !isOurs(line) && !isDenos(line))
    .join("\n");
}
