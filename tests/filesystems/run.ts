/**
 * Runs the tests that touch files on several file systems: what one of them can do
 * another can't, and where libpmem2 and the kernel go different ways.
 *
 * Usage: deno task test:filesystems [NAME…] [--tests=FILE,…] [--list]
 *
 *   NAME      ext4, xfs, …, or disks, which are full or fail: without one, all that
 *             this machine has
 *   --tests   other tests than those that depend on the file system
 *   --list    tell what would be run, and why not
 *
 * Needs root, or sudo: everything is mounted from images of its own in a mount
 * namespace of its own, which is gone at the end with all that is in it.
 *
 * @module
 */

import { fileSystems, temporary, Unavailable } from "./file_systems.ts";
import { command, say } from "./host.ts";

/** The tests that depend on the file system. */
const TESTS = [
  "tests/bad_files_test.ts",
  "tests/endurance/shared_file_test.ts",
  "tests/file_test.ts",
  "tests/flush_async_test.ts",
  "tests/hazards/addresses_test.ts",
  "tests/hazards/closing_test.ts",
  "tests/hazards/files_test.ts",
  "tests/hazards/threads_test.ts",
  "tests/map_test.ts",
  "tests/memory_test.ts",
  "tests/source_test.ts",
  "tests/workers_test.ts",
  "tests/writeback_test.ts",
];

/** Those that mount what they need: full disks, and such as fail. */
const DISKS = "disks";
const DISK_TESTS = ["failing_disk", "identity", "room", "stores"]
  .map((name) => `tests/filesystems/${name}_test.ts`);

const root = new URL("../..", import.meta.url).pathname;
const INSIDE = "--inside-the-namespace";

const [options, names] = [
  Deno.args.filter((argument) => argument.startsWith("--")),
  Deno.args.filter((argument) => !argument.startsWith("--")),
];
const tests = options.find((option) => option.startsWith("--tests="))
  ?.slice("--tests=".length).split(",") ?? TESTS;

function enterNamespace(): number {
  const deno = [Deno.execPath(), "run", "--allow-all", "--config"];
  const file = new URL(import.meta.url).pathname;
  const program = [...deno, `${root}deno.json`, file, INSIDE, ...Deno.args];
  const inside = ["unshare", "--mount", "--propagation", "private", ...program];
  const [name, ...args] = Deno.uid() === 0
    ? inside
    : ["sudo", "--non-interactive", "--preserve-env", ...inside];
  try {
    return new Deno.Command(name!, {
      args,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).outputSync().code;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    say(`not run  all of it: needs root, or sudo, and unshare: no ${name}`);
    return 1;
  }
}

interface Result {
  readonly code: number;
  readonly passed: number;
  readonly failed: number;
  readonly ignored: number;
}

/** Runs tests with all their files in a directory. */
async function runTests(
  directory: string,
  tests: readonly string[],
  env: Record<string, string>,
): Promise<Result> {
  const child = command("deno", [
    "test",
    "--allow-all",
    "--no-check",
    ...tests,
  ], {
    cwd: root,
    env: {
      PMEM2_TEST_DIR: directory,
      TMPDIR: directory,
      NO_COLOR: "1",
      ...env,
    },
    stdout: "piped",
  }).spawn();
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    await Deno.stdout.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  const { code } = await child.status;
  const figures = [...text.matchAll(
    /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?:.*?(\d+) ignored)?/gm,
  )].at(-1);
  const [passed, failed, ignored] = [1, 2, 3].map((i) =>
    Number(figures?.[i] ?? 0)
  );
  return {
    code: code === 0 && passed! > 0 ? 0 : code || 1,
    passed: passed!,
    failed: failed!,
    ignored: ignored!,
  };
}

async function inside(): Promise<number> {
  const lines: string[] = [];
  const total = { passed: 0, failed: 0, ignored: 0 };
  let code = 0;
  const all = [...fileSystems, { name: DISKS, mount: temporary }];
  const unknown = names.filter((name) => !all.some((one) => one.name === name));
  if (unknown.length > 0) {
    const known = all.map(({ name }) => name).join(", ");
    say(`There is no ${unknown.join(", ")} here, only ${known}`);
    return 1;
  }
  for (const { name, mount } of all) {
    if (names.length > 0 && !names.includes(name)) continue;
    using stack = new DisposableStack();
    let directory: string;
    try {
      directory = mount(stack);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      lines.push(`not run  ${name}: ${error.message}`);
      continue;
    }
    if (options.includes("--list")) {
      lines.push(`would run  ${name}`);
      continue;
    }
    say(`\n== ${name}\n`);
    const started = performance.now();
    const result = name === DISKS
      ? await runTests(directory, DISK_TESTS, { PMEM2_TEST_MOUNTS: "1" })
      : await runTests(directory, tests, {});
    const seconds = Math.round((performance.now() - started) / 1000);
    total.passed += result.passed;
    total.failed += result.failed;
    total.ignored += result.ignored;
    if (result.code !== 0) code = 1;
    const { passed, failed, ignored } = result;
    lines.push(
      `${
        result.code === 0 ? "ok     " : "FAILED "
      }  ${name}: ${passed} passed, ${failed} failed, ${ignored} ignored (${seconds} s)`,
    );
  }
  say(`\n== File systems\n\n${lines.join("\n")}\n`);
  const { passed, failed, ignored } = total;
  // As `deno test` ends, for whoever adds figures up.
  say(
    `${
      code === 0 ? "ok" : "FAILED"
    } | ${passed} passed | ${failed} failed | ${ignored} ignored`,
  );
  return code;
}

Deno.exit(options.includes(INSIDE) ? await inside() : enterNamespace());
