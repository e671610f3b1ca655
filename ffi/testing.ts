/**
 * For people who test their own code where there is no persistent memory, and who
 * want to know what it leaves when the power goes.
 *
 * @module
 */

import * as functions from "./c/functions.ts";
import { libffiCall } from "./c/function_pointer.ts";
import { CrashError, type PendingStore } from "./emulation/crash_error.ts";
import { runCrashTest } from "./emulation/crash_test.ts";
import { Medium } from "./emulation/medium.ts";
import {
  checkInteger,
  checkOneOf,
  isObject,
  wrongThis,
  wrongType,
} from "./input/argument.ts";
import { callable, typeError } from "./input/caller.ts";
import { granularities, type Granularity } from "./input/granularity.ts";
import { optionNames, optionsOf } from "./input/options.ts";
import { processLock } from "./process/lock.ts";
import { requireStack } from "./process/stack.ts";

export { CrashError, type PendingStore };

interface DirectoryOptions {
  directory?: string | undefined;
}
const directoryNames = optionNames<DirectoryOptions>({ directory: true });
const crashNames = optionNames<CrashOptions>({ pending: true });

/** What becomes of what was stored when the power goes. */
export interface CrashOptions {
  /**
   * What becomes of stores that are not yet durable. "lost": none is there after
   * the power cut. "kept": all are. A number: an arbitrary part of them, chosen by
   * this seed, as caches and disks write back what they like when they like. What
   * a store is made of when it's torn: 8 aligned bytes at byte and cache-line
   * granularity, 512 at page granularity.
   *
   * @default {"lost"}
   */
  pending?: "lost" | "kept" | number | undefined;
}

/** Emulated persistent memory: see {@linkcode emulatePmem}. */
export interface EmulatedPmem extends Disposable {
  /** The directory of its files. */
  readonly directory: string;

  /**
   * The path of a file in the directory, which may not exist yet.
   *
   * @param name The name of the file.
   * @returns The path.
   * @throws {TypeError} If the name is not a string.
   */
  path(name: string): string;

  /**
   * A power cut: closes every map of this isolate of a file in the directory, and
   * leaves in the files only what was durable. Their views are empty then. Go on by
   * opening the files again. Private and anonymous maps stay as they are.
   *
   * @param options What becomes of stores that were not yet durable.
   * @throws {TypeError} If an option has the wrong type, if a map can't be closed
   * since an asynchronous flush is pending or its buffer was transferred away, or
   * if the emulation has ended: then nothing has changed.
   * @throws {RangeError} If `pending` is a number, and not a non-negative safe
   * integer.
   *
   * @example A persist is missing
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   * import { emulatePmem } from "@pmem2/pmem2/testing";
   * import { assertEquals } from "@std/assert";
   *
   * using pmem = emulatePmem("cache-line");
   * const path = pmem.path("file");
   * const map = Pmem2Map.open(path, { createNew: true, size: 4096 });
   * map.bytes[0] = 1;
   * map.persist(0, 1);
   * map.bytes[64] = 1;
   * pmem.crash();
   *
   * using again = Pmem2Map.open(path);
   * assertEquals([again.bytes[0], again.bytes[64]], [1, 0]);
   * ```
   */
  crash(options?: CrashOptions): void;
}

/**
 * Pretends that every medium has this store granularity: until disposed of, every
 * new shared map of a file that is made in this isolate reports it, whatever the
 * file lies on. Other isolates (workers, the test files of `deno test --parallel`)
 * and child processes see nothing of it. The one that was made last counts.
 *
 * Of the files in its directory it knows what is durable, so that the power can be
 * cut: see {@linkcode EmulatedPmem.crash}. There nothing else makes stores durable:
 * the directory is removed at the end. It keeps in memory a copy of the data in each of
 * them that is mapped, and a file descriptor. A file is recognized whatever its
 * name is, and however it was opened. Maps of existing memory
 * (`Pmem2Map.unsafeFromExisting`) have no part in it.
 *
 * Needs read and write permission for the directory.
 *
 * @param granularity What every medium is to have.
 * @param options An existing `directory` in which the emulation makes its own.
 * Without it, it's the one that the environment variable `PMEM2_TEST_DIR` names, if
 * that is set and may be read, so that the same tests run on a medium of one's
 * choice; or else the system's for temporary files. On `/dev/shm` nothing is
 * written to a disk, but Deno demands `--allow-all` there.
 * @returns The emulation: its own `directory`, which is removed at the end with all
 * that is in it, and `path(name)` for a file there.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {Deno.errors.NotFound} If there is no such directory; and the others
 * that `Deno.makeTempDir` throws.
 *
 * @example A test of code that wants persistent memory
 * ```ts
 * import { Pmem2Map } from "@pmem2/pmem2";
 * import { emulatePmem } from "@pmem2/pmem2/testing";
 * import { assertEquals } from "@std/assert";
 *
 * using pmem = emulatePmem("cache-line");
 * using map = Pmem2Map.open(pmem.path("log"), {
 *   createNew: true,
 *   size: 4096,
 *   granularity: "cache-line",
 * });
 * assertEquals(map.granularity, "cache-line");
 * ```
 */
export function emulatePmem(
  granularity: Granularity,
  options?: { directory?: string | undefined },
): EmulatedPmem {
  const action = "emulate persistent memory";
  const { directory } = optionsOf(action, options, directoryNames);
  return emulationOf(action, granularity, directory).pmem;
}

function emulationOf(
  action: string,
  granularity: unknown,
  parent: unknown,
): { pmem: EmulatedPmem; medium: Medium } {
  checkOneOf(action, "granularity", granularity, granularities);
  if (parent !== undefined && typeof parent !== "string") {
    throw wrongType(action, "directory", "a string", parent);
  }
  requireStack();
  const place = parent ?? testDirectory();
  const made = Deno.makeTempDirSync({
    ...place !== undefined && { dir: place },
    prefix: "pmem2_",
  });
  const real = Deno.realPathSync(made);
  // The working directory may be another one when it's removed.
  const directory = made.startsWith("/") ? made : real;
  const medium = new Medium(granularities.indexOf(granularity), real);
  return { pmem: new Emulation(directory, medium), medium };
}

function testDirectory(): string | undefined {
  const variable = "PMEM2_TEST_DIR";
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
}

class Emulation implements EmulatedPmem {
  readonly directory: string;
  readonly #directory: string;
  readonly #medium: Medium;
  #ended = false;

  constructor(directory: string, medium: Medium) {
    this.directory = this.#directory = directory;
    this.#medium = medium;
  }

  path(name: string): string {
    if (!(isObject(this) && #directory in this)) {
      throw wrongThis("make a path", "an emulation");
    }
    if (typeof name !== "string") {
      throw wrongType("make a path", "name", "a string", name);
    }
    return `${this.#directory}/${name}`;
  }

  crash(options?: CrashOptions): void {
    const action = "cut the power";
    const { pending = "lost" } = optionsOf(action, options, crashNames);
    if (typeof pending === "number") {
      checkInteger(action, "pending", pending);
    } else if (pending !== "lost" && pending !== "kept") {
      const rule = '"lost" or "kept" or a number';
      throw wrongType(action, "pending", rule, pending);
    }
    if (!(isObject(this) && #medium in this)) {
      throw wrongThis(action, "an emulation");
    }
    if (this.#ended) {
      throw typeError(`Cannot ${action} as the emulation has ended`);
    }
    const medium = this.#medium;
    for (const map of medium.maps()) {
      const obstacle = map.closeObstacle;
      if (obstacle === null) continue;
      const name = map.traits.path ?? "a file";
      throw typeError(
        `Cannot ${action} as a map of ${name} can't be closed: ${obstacle}`,
      );
    }
    requireStack();
    medium.crash(pending);
  }

  [Symbol.dispose](): void {
    if (!(isObject(this) && #medium in this)) {
      throw wrongThis("end the emulation", "an emulation");
    }
    if (this.#ended) return;
    this.#ended = true;
    this.#medium.end();
    try {
      Deno.removeSync(this.#directory, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** What {@linkcode testCrashes} is to run. */
export interface CrashTestOptions<T = unknown> {
  /**
   * The store granularity of the emulated medium.
   *
   * @default {"cache-line"}
   */
  granularity?: Granularity | undefined;
  /** An existing directory in which the test makes its own, as in `emulatePmem`. */
  directory?: string | undefined;
  /**
   * Makes what `write` starts with. What it leaves is durable, and its maps stay
   * open; it may cut the power itself, to test a recovery that is cut off.
   *
   * @param pmem The emulation.
   */
  setup?: ((pmem: EmulatedPmem) => void | Promise<void>) | undefined;
  /**
   * What is cut off. It runs once, to its end.
   *
   * @param pmem The emulation.
   * @param acknowledge To be called when, and only when, a value may be relied
   * upon. Don't change the value afterwards.
   */
  write(
    pmem: EmulatedPmem,
    acknowledge: (value: T) => void,
  ): void | Promise<void>;
  /**
   * Throws if the files are not as they have to be after a power cut. It may open
   * them and recover. Maps that it leaves open are closed.
   *
   * @param pmem The emulation, with the files as after the power cut. What a check
   * does to them the next one does not see.
   * @param acknowledged What was acknowledged before the power went.
   */
  check(
    pmem: EmulatedPmem,
    acknowledged: readonly T[],
  ): void | Promise<void>;
  /**
   * States for each moment, at least 1: the first loses all that was pending, the
   * second keeps it all, the others are arbitrary.
   *
   * @default {16}
   */
  states?: number | undefined;
  /**
   * What the arbitrary states are made of: a non-negative safe integer. The same
   * seed makes the same states.
   *
   * @default {1}
   */
  seed?: number | undefined;
  /** Checks this state alone: for a debugger. */
  only?: {
    /** As the `CrashError` says. */
    moment: number;
    /** As the `CrashError` says. */
    state: number;
  } | undefined;
}

const testNames = optionNames<CrashTestOptions>({
  granularity: true,
  directory: true,
  setup: true,
  write: true,
  check: true,
  states: true,
  seed: true,
  only: true,
});
const onlyNames = optionNames<NonNullable<CrashTestOptions["only"]>>({
  moment: true,
  state: true,
});

let underWay = false;

/**
 * Tests what a program leaves when the power goes, at whatever moment. Runs `write`
 * once, in an emulation; then, for each moment at which it made something durable,
 * and for its end, puts the files into states that a power cut just before that
 * moment could have left, and runs `check` on each.
 *
 * A moment is a persist, a flush, a drain, a deep flush, asynchronous or not, and a
 * store that flushes. A forgotten persist is found by a check that misses what
 * was acknowledged, a wrong order by one that finds half of something.
 *
 * What it can't see: values that are stored and overwritten between two moments,
 * and what other processes and workers store.
 *
 * @param options What to run.
 * @returns How many moments there were, and how many states were checked.
 * @throws {CrashError} Rejects with it where a check throws; `cause` is its error.
 * @throws {TypeError} Rejects if an option has the wrong type, or if another
 * `testCrashes` is under way in this isolate.
 * @throws {RangeError} Rejects if a number is out of its range. What `setup` and
 * `write` throw comes out as it is.
 *
 * @example A record that counts once it's whole
 * ```ts
 * import { Pmem2Map } from "@pmem2/pmem2";
 * import { testCrashes } from "@pmem2/pmem2/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const open = (path: string) =>
 *   Pmem2Map.open(path, { create: true, size: 4096 });
 *
 * await testCrashes({
 *   write(pmem, acknowledge) {
 *     using map = open(pmem.path("record"));
 *     map.write(new Uint8Array(100).fill(7), 64);
 *     map.bytes[0] = 1; // the mark comes after the record
 *     map.persist(0, 1);
 *     acknowledge("record");
 *   },
 *   check(pmem, acknowledged) {
 *     using map = open(pmem.path("record"));
 *     const marked = map.bytes[0] === 1;
 *     if (acknowledged.length > 0) assertEquals(marked, true);
 *     if (marked) assertEquals(map.bytes[163], 7);
 *   },
 * });
 * ```
 */
export async function testCrashes<T = unknown>(
  options: CrashTestOptions<T>,
): Promise<{ moments: number; states: number }> {
  const action = "test crashes";
  const {
    granularity = "cache-line",
    directory,
    setup = () => {},
    write,
    check,
    states = 16,
    seed = 1,
    only,
  }: Partial<CrashTestOptions<T>> = optionsOf(action, options, testNames);
  checkFunction(action, "setup", setup);
  checkFunction(action, "write", write);
  checkFunction(action, "check", check);
  checkInteger(action, "states", states, 1, 2 ** 31 - 1);
  checkInteger(action, "seed", seed);
  const one = only === undefined || only === null
    ? null
    : onlyOf(action, only, states);
  if (underWay) {
    throw typeError(
      `Cannot ${action} as another testCrashes is under way in this isolate: await it first`,
    );
  }
  const { pmem, medium } = emulationOf(action, granularity, directory);
  underWay = true;
  try {
    return await runCrashTest<T>(medium, {
      setup: () => setup.call(options, pmem),
      write: (acknowledge) => write.call(options, pmem, acknowledge),
      check: (acknowledged) => check.call(options, pmem, acknowledged),
      states,
      seed,
      only: one,
    });
  } finally {
    underWay = false;
    pmem[Symbol.dispose]();
  }
}

function checkFunction<F>(
  action: string,
  name: string,
  value: F | undefined,
): asserts value is F {
  if (typeof value !== "function") {
    throw wrongType(action, name, "a function", value);
  }
}

function onlyOf(
  action: string,
  only: { moment: number; state: number },
  states: number,
): { moment: number; state: number } {
  const { moment, state } = optionsOf(action, only, onlyNames);
  checkInteger(action, "only.moment", moment);
  checkInteger(action, "only.state", state, 0, states - 1);
  return { moment, state };
}

/**
 * Opens all of the library now. Otherwise that is done where something of it is
 * first used, and `deno test` may blame the test that does so for what it leaves
 * open (`sanitizeResources`). Call it at the top of a test file.
 *
 * @throws {Error} If libpmem2 can't be loaded: see `libraryInfo`.
 * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing.
 *
 * @example
 * ```ts
 * import { preload } from "@pmem2/pmem2/testing";
 *
 * preload();
 * Deno.test("my code does what it should", () => {});
 * ```
 */
export function preload(): void {
  for (const open of Object.values(functions)) open();
  processLock();
  libffiCall();
}

callable(import.meta.url, emulatePmem, Emulation, testCrashes, preload);
