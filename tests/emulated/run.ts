/**
 * Runs the tests in machines with emulated persistent memory, and those of the
 * tool that makes the machines.
 *
 * Usage: deno task test:emulated [--all] [--arch=NAME] [FILE…]
 *
 * --all: all tests, not only those that depend on the medium. That takes long
 * without KVM, where a machine is many times slower than its host.
 */

const TOOL = new URL("../../emulated/mod.ts", import.meta.url).pathname;
const ROOT = new URL("../../", import.meta.url).pathname;

const DEPENDENT_TESTS = [
  "existing_memory",
  "file",
  "flush_async",
  "map",
  "map_options",
  "memory",
  "source",
  "spanning",
  "spanning_view",
  "testing",
  "view",
  "vm_reservation",
].map((noun) => `tests/${noun}_test.ts`);
/** Where a processor is at issue, not a medium. */
const ARM_TESTS = [
  ...["walk", "search", "gap", "vm_reservation", "map", "memory", "view"],
  ...["flush_async", "existing_memory", "symbols", "spanning"],
].map((noun) => `tests/${noun}_test.ts`);

interface Case {
  name: string;
  options: string[];
  command: string[];
}

function cases(
  architecture: string | undefined,
  tests: string[],
  seconds: number,
): Case[] {
  const test = "deno test --allow-all --no-check";
  const onMemory = ["sh", "-c", `${test} tests/emulated ${tests.join(" ")}`];
  const options = [`--timeout=${seconds}`];
  if (architecture !== undefined) {
    options.push(`--arch=${architecture}`);
    return [{
      name: `fsdax and devdax, ${architecture}`,
      options,
      command: onMemory,
    }];
  }
  const onDisk = `PMEM2_TEST_DIR=$PMEM_DISK_DIR exec ${test} ${
    tests.join(" ")
  }`;
  return [
    { name: "fsdax and devdax, cache line", options, command: onMemory },
    {
      name: "fsdax and devdax with eADR, byte",
      options: [...options, "--eadr"],
      command: onMemory,
    },
    {
      name: "ext4 on a disk, page",
      options,
      command: ["sh", "-c", `${onDisk} --ignore=tests/emulated`],
    },
  ];
}

/** Runs one of them to its end; what it said is shown if it failed. */
async function runCase({ name, options, command }: Case): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", TOOL, ...options, "--", ...command],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    let rest = "";
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        output += `${line}\n`;
        if (/^(running \d+ tests?|(ok|FAILED) \||emulated: )/.test(line)) {
          console.log(`${name}: ${line}`);
        }
      }
    }
  };
  await Promise.all([collect(child.stdout), collect(child.stderr)]);
  const { success } = await child.status;
  if (!success) console.log(output);
  return success;
}

/** The tool's own tests, here on the host. */
async function runToolTests(): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", `${ROOT}/tests/emulated/tool.ts`],
    cwd: ROOT,
  }).spawn().status;
  return success;
}

const all = Deno.args.includes("--all");
const architecture = Deno.args.find((arg) => arg.startsWith("--arch="))
  ?.slice("--arch=".length);
const named = Deno.args.filter((arg) => !arg.startsWith("--"));
const tests = named.length > 0
  ? named
  : all
  ? ["tests"]
  : architecture === undefined
  ? DEPENDENT_TESTS
  : ARM_TESTS;
for (const path of tests) Deno.statSync(`${ROOT}/${path}`);

// The types are checked once, here, where that's fast.
const { success } = await new Deno.Command(Deno.execPath(), {
  args: ["test", "--no-run", "tests/emulated", ...tests],
  cwd: ROOT,
}).spawn().status;
if (!success) Deno.exit(1);
// Each machine has one processor; together they make the most of a few.
const results = await Promise.all(
  cases(architecture, tests, all ? 7200 : 1500).map(runCase),
);
if (architecture === undefined) results.push(await runToolTests());
const passed = results.every((result) => result);
console.log(passed ? "All passed" : "Some failed");
Deno.exit(passed ? 0 : 1);
