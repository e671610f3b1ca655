/**
 * Runs the example programs.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { libraryInfo } from "@pmem2/pmem2";
import { type Ended, runFile } from "../support/subprocess.ts";

/** Permissions for one folder, and for the whole of FFI or libpmem2 alone. */
export function permissions(
  directory: string,
  { ffi, write = true }: { ffi: "all" | "limited"; write?: boolean },
): { flags: string[]; env: Record<string, string> } {
  const { path } = libraryInfo();
  // What is found by its bare name can't be permitted by that.
  const library = path.startsWith("/")
    ? path
    : `/usr/lib/${Deno.build.arch}-linux-gnu/${path}`;
  return {
    flags: [
      ffi === "all" ? "--allow-ffi" : `--allow-ffi=${library}`,
      `--allow-read=${directory}`,
      ...write ? [`--allow-write=${directory}`] : [],
      "--allow-env=PMEM2_LIBRARY",
    ],
    env: { PMEM2_LIBRARY: library, TMPDIR: directory },
  };
}

/** Runs an example that must succeed; what it wrote to stdout. */
export async function runExample(
  name: string,
  args: string[],
  options?: { flags: string[]; env: Record<string, string> },
): Promise<string> {
  const ended = await runFile(`examples/${name}`, { ...options, args });
  assertEquals([ended.code, ended.stderr], [0, ""]);
  return ended.stdout;
}

/** Asserts that an example ends with status 1 and a message for people. */
export async function assertExampleFails(
  name: string,
  cases: readonly (readonly [args: readonly string[], message: RegExp])[],
): Promise<void> {
  for (const [args, message] of cases) {
    const ended: Ended = await runFile(`examples/${name}`, { args: [...args] });
    assertEquals(ended.code, 1, ended.stdout + ended.stderr);
    assertMatch(ended.stderr, message);
    assertEquals(/^ {4}at /m.test(ended.stderr), false, ended.stderr);
  }
}
