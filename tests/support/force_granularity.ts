/**
 * libpmem2's own functions of every granularity, whatever the medium has.
 *
 * @module
 */

import type { Granularity } from "@pmem2/pmem2";
import { Scratch, testDirectory } from "./scratch.ts";

const variable = "PMEM2_FORCE_GRANULARITY";

/**
 * Has libpmem2 give each new map of a file this granularity, in the whole process,
 * by its `PMEM2_FORCE_GRANULARITY`. (`emulatePmem` doesn't call those functions.)
 *
 * @param options An existing `directory` in which this makes its own.
 * @returns A directory, removed at the end, and what the paths in it are.
 */
export function forceGranularity(
  granularity: Granularity,
  { directory: parent = testDirectory }: { directory?: string | undefined } =
    {},
): Disposable & { readonly directory: string; path(name: string): string } {
  const before = Deno.env.get(variable);
  const directory = Deno.makeTempDirSync({
    ...parent !== undefined && { dir: parent },
    prefix: "pmem2_test_",
  });
  Deno.env.set(variable, granularity.toUpperCase().replace("-", "_"));
  return {
    directory,
    path: (name) => `${directory}/${name}`,
    [Symbol.dispose]() {
      if (before === undefined) Deno.env.delete(variable);
      else Deno.env.set(variable, before);
      new Scratch(directory)[Symbol.dispose]();
    },
  };
}
