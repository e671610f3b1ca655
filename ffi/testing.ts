/**
 * Tests of programs that use persistent memory, on machines that have none.
 *
 * {@linkcode emulatePmem} makes maps report any store granularity, and can cut the power.
 * {@linkcode testCrashes} checks what a program leaves behind if the power goes at any
 * moment. {@linkcode preload} opens the library before the tests start.
 *
 * @example Finding a missing persist
 * ```ts
 * import { Pmem2Map } from "@pmem2/pmem2";
 * import { emulatePmem } from "@pmem2/pmem2/testing";
 * import { assertEquals } from "@std/assert";
 *
 * using pmem = emulatePmem("cache-line");
 * const map = Pmem2Map.open(pmem.path("file"), { create: true, size: 4096 });
 * map.bytes[0] = 1; // not persisted
 * pmem.crash();
 * using again = Pmem2Map.open(pmem.path("file"));
 * assertEquals(again.bytes[0], 0);
 * ```
 *
 * @module
 */

import * as functions from "./c/functions.ts";
import { libffiCall } from "./c/function_pointer.ts";
import { CrashError, type PendingStore } from "./emulation/crash_error.ts";
import { runCrashTest } from "./emulation/crash_test.ts";
import { Medium } from "./emulation/medium.ts";
import { removeTree } from "./emulation/tree.ts";
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

/** What a power cut does to stores that are not durable. */
export interface CrashOptions {
  /**
   * What happens to stores that are not yet durable. "lost": all of them are lost.
   * "kept": all of them are kept. A number: an arbitrary part of them is kept, since
   * caches and disks may write back anything at any time; the number is the seed of the
   * choice. Stores are kept or lost in units of 8 aligned bytes at byte and cache-line
   * granularity, and of 512 at page granularity.
   *
   * @default {"lost"}
   */
  pending?: "lost" | "kept" | number | undefined;
}

/** Emulated persistent memory, made by {@linkcode emulatePmem}. */
export interface EmulatedPmem extends Disposable {
  /** The directory for the files of the emulation. It is removed at the end. */
  readonly directory: string;

  /**
   * Returns the path of a file in the directory. The file need not exist.
   *
   * @param name The name of the file.
   * @returns The path.
   * @throws {TypeError} If the name is not a string.
   */
  path(name: string): string;

  /**
   * Cuts the power: closes all maps of this isolate of files in the directory, which
   * empties their views, and leaves in the files only what was durable. Open the files
   * again to go on. Private and anonymous maps stay as they are.
   *
   * @param options What happens to stores that are not yet durable.
   * @throws {TypeError} If an option has the wrong type or does not exist, if the
   * emulation has ended, or if a map cannot be closed since an asynchronous flush is
   * pending or its buffer was transferred. Nothing has changed then.
   * @throws {RangeError} If `pending` is a number other than a non-negative safe
   * integer.
   *
   * @example A store that was not persisted is lost
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
 * Emulates a store granularity. Until the emulation is disposed of, every new shared map
 * of a file that is made in this isolate reports this granularity, whatever medium the
 * file is on. Other isolates (workers, and the test files of `deno test --parallel`) and
 * child processes are not affected. If there are several emulations, the newest one
 * determines the granularity.
 *
 * For the files in its directory, the emulation tracks what is durable, so that
 * {@linkcode EmulatedPmem.crash} can cut the power. Persisting does not write these files
 * to the real medium. The emulation keeps a copy of the data of each mapped file in
 * memory, and one file descriptor. It recognizes files by device and inode, whatever
 * their names are and however they were opened. Maps of existing memory
 * (`Pmem2Map.unsafeFromExisting`) are not emulated. What is written to a mapped file by
 * other means, such as `Deno.FsFile`, is like a store to its map: to persist a map makes it
 * durable, but `sync` does not.
 *
 * Requires read and write permission for the directory.
 *
 * @param granularity The store granularity to emulate.
 * @param options An existing `directory` in which the emulation makes its own. It
 * defaults to the value of the environment variable `PMEM2_TEST_DIR`, if that is set and
 * can be read without a prompt, and otherwise to the system's directory for temporary
 * files. On `/dev/shm` nothing is written to a disk, but Deno requires `--allow-all`
 * there.
 * @returns The emulation. Disposing of it removes its directory with all files.
 * @throws {TypeError} If an argument has the wrong type, or an option does not exist.
 * @throws {Deno.errors.NotFound} If the directory does not exist. The other errors of
 * `Deno.makeTempDir` are thrown likewise.
 *
 * @example A test of code that requires persistent memory
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
  // The working directory may have changed when it is removed.
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
        `Cannot ${action} as a map of ${name} cannot be closed: ${obstacle}`,
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
      removeTree(this.#directory);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** What {@linkcode testCrashes} runs. */
export interface CrashTestOptions<T = unknown> {
  /**
   * The store granularity of the emulated medium.
   *
   * @default {"cache-line"}
   */
  granularity?: Granularity | undefined;
  /** An existing directory in which the test makes its own: see {@linkcode emulatePmem}. */
  directory?: string | undefined;
  /**
   * Prepares the files for `write`. Everything it leaves is durable, and its maps stay
   * open. It may cut the power itself, to test a recovery that is interrupted.
   *
   * @param pmem The emulation.
   */
  setup?: ((pmem: EmulatedPmem) => void | Promise<void>) | undefined;
  /**
   * The program that power cuts interrupt. It runs once, to its end.
   *
   * @param pmem The emulation.
   * @param acknowledge Called by the program as soon as a value is certain to survive a
   * power cut, and not before. Do not change the value afterwards.
   */
  write(
    pmem: EmulatedPmem,
    acknowledge: (value: T) => void,
  ): void | Promise<void>;
  /**
   * Throws if the files are not as they must be after a power cut. It may open the files
   * and recover them. Maps that it leaves open are closed.
   *
   * @param pmem The emulation, with the files as the power cut has left them. The next
   * check does not see what this one does to them.
   * @param acknowledged The values that were acknowledged before the power cut.
   */
  check(
    pmem: EmulatedPmem,
    acknowledged: readonly T[],
  ): void | Promise<void>;
  /**
   * How many states are checked for each moment: at least 1. The first state loses all
   * pending stores, the second keeps them all, the others are arbitrary.
   *
   * @default {16}
   */
  states?: number | undefined;
  /**
   * The seed of the arbitrary states: a non-negative safe integer. The same seed makes
   * the same states.
   *
   * @default {1}
   */
  seed?: number | undefined;
  /** The only state to check, for use with a debugger. */
  only?: {
    /** The `moment` of the {@linkcode CrashError}. */
    moment: number;
    /** The `state` of the {@linkcode CrashError}. */
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
 * Tests what a program leaves behind if the power goes at any moment. It runs `write`
 * once, in an emulation. Then, for each moment at which `write` made something durable,
 * and for its end, it puts the files into states that a power cut just before that moment
 * could have left, and runs `check` on each state.
 *
 * The moments are the calls of persist, flush, drain and deep flush, asynchronous or not,
 * and the stores that flush. If a persist is missing, a check does not find what was
 * acknowledged. If the order is wrong, a check finds something incomplete.
 *
 * The test cannot see values that are stored and overwritten between two moments, or what
 * other processes and workers store.
 *
 * @param options What to run.
 * @returns A promise of the number of moments, and of the number of states that were
 * checked. An error that `setup` or `write` throws is passed on.
 * @throws {CrashError} Rejects if a check throws; `cause` is what it threw.
 * @throws {TypeError} Rejects if an option has the wrong type or does not exist, or if
 * another `testCrashes` is running in this isolate.
 * @throws {RangeError} Rejects if a number is out of range.
 *
 * @example A record that is valid only if it is complete
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
      `Cannot ${action} as another testCrashes is running in this isolate: await it first`,
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
  if (typeof only !== "object") {
    throw wrongType(action, "only", "an object", only);
  }
  const { moment, state } = optionsOf(action, only, onlyNames);
  checkInteger(action, "only.moment", moment);
  checkInteger(action, "only.state", state, 0, states - 1);
  return { moment, state };
}

/**
 * Opens all functions of the library now. Otherwise they are opened at first use, and
 * `deno test` may report the test that does so as one that leaks resources
 * (`sanitizeResources`). Call this at the top of a test file.
 *
 * @throws {Error} If libpmem2 cannot be loaded: see `libraryInfo`.
 * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing.
 *
 * @example At the top of a test file
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
