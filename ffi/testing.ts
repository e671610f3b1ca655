/**
 * For people who test their own code where there is no persistent memory.
 *
 * @module
 */

import {
  checkOneOf,
  isObject,
  wrongThis,
  wrongType,
} from "./input/argument.ts";
import { callable } from "./input/caller.ts";
import { granularities, type Granularity } from "./input/granularity.ts";
import { optionNames, optionsOf } from "./input/options.ts";
import { requireStack } from "./process/stack.ts";

const names = optionNames<{ directory?: string }>({ directory: true });

const variable = "PMEM2_FORCE_GRANULARITY";

/** Those that are in force; the last one counts. */
const stack: { readonly value: string }[] = [];
let before: string | undefined;

/**
 * Pretends that every medium has this store granularity: until disposed of, every
 * new shared map of a file reports it, whatever the file lies on, and persists
 * accordingly. libpmem2's `PMEM2_FORCE_GRANULARITY`.
 *
 * It holds for the whole process: for all workers, and so for all test files that
 * `deno test --parallel` runs at once. Don't begin or end one while a worker maps.
 *
 * Nothing is durable beyond what the file's own medium makes it; it's for tests.
 * Needs `--allow-env=PMEM2_FORCE_GRANULARITY`, and read and write permission for
 * the directory.
 *
 * @param granularity What every medium is to have.
 * @param options An existing `directory` in which the emulation makes its own;
 * without it, the system's for temporary files. On `/dev/shm` nothing is written
 * to a disk, but Deno demands `--allow-all` there.
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
): Disposable & { readonly directory: string; path(name: string): string } {
  const action = "emulate persistent memory";
  const { directory: parent } = optionsOf(action, options, names);
  checkOneOf(action, "granularity", granularity, granularities);
  if (parent !== undefined && typeof parent !== "string") {
    throw wrongType(action, "directory", "a string", parent);
  }
  const outer = Deno.env.get(variable);
  requireStack();
  const made = Deno.makeTempDirSync({
    ...parent !== undefined && { dir: parent },
    prefix: "pmem2_",
  });
  // The working directory may be another one when it's removed.
  const directory = made.startsWith("/") ? made : Deno.realPathSync(made);
  const entry = { value: granularity.toUpperCase().replace("-", "_") };
  if (stack.length === 0) before = outer;
  stack.push(entry);
  apply();
  return new Emulation(directory, () => {
    stack.splice(stack.indexOf(entry), 1);
    apply();
  });
}

/** Makes libpmem2 see the innermost emulation, or what was before them all. */
function apply(): void {
  const value = stack.at(-1)?.value ?? before;
  if (value === undefined) Deno.env.delete(variable);
  else Deno.env.set(variable, value);
}

class Emulation implements Disposable {
  readonly directory: string;
  readonly #directory: string;
  #end: (() => void) | null;

  constructor(directory: string, end: () => void) {
    this.directory = this.#directory = directory;
    this.#end = end;
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

  [Symbol.dispose](): void {
    if (!(isObject(this) && #end in this)) {
      throw wrongThis("end the emulation", "an emulation");
    }
    if (this.#end === null) return;
    this.#end();
    this.#end = null;
    try {
      Deno.removeSync(this.#directory, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

callable(import.meta.url, emulatePmem, Emulation);
