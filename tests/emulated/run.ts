/**
 * Runs the tests in a machine with emulated persistent memory.
 *
 * Usage: deno task test:emulated [--all]
 *
 * --all: run all tests even without KVM, where that takes long.
 */
import { say } from "./host.ts";
import { type Equipment, Machine, makeMedia } from "./machine.ts";
import { runSession } from "./session.ts";

interface Case {
  name: string;
  medium: "fsdax" | "ext4";
  persistence: "mem-ctrl" | "cpu";
  /** Of the persistent memory. */
  granularity: "cache-line" | "byte";
}

const CASES: Case[] = [
  {
    name: "fsdax and devdax, cache line",
    medium: "fsdax",
    persistence: "mem-ctrl",
    granularity: "cache-line",
  },
  {
    name: "fsdax and devdax with eADR, byte",
    medium: "fsdax",
    persistence: "cpu",
    granularity: "byte",
  },
  {
    name: "ext4 on a disk, page",
    medium: "ext4",
    persistence: "mem-ctrl",
    granularity: "cache-line",
  },
];

/**
 * The tests that depend on the medium: they must do where there is no KVM, as
 * the machine is many times slower than its host there.
 */
const DEPENDENT_TESTS = [
  "existing_memory",
  "file",
  "flush_async",
  "map",
  "map_options",
  "memory",
  "source",
  "testing",
  "view",
  "vm_reservation",
].map((noun) => `tests/${noun}_test.ts`);

interface Selection {
  /** Files and folders of the project. */
  tests: string[];
  /** Seconds that a machine may take for them. */
  deadline: number;
}

function select(accelerator: "kvm" | "tcg", all: boolean): Selection {
  if (all || accelerator === "kvm") {
    return { tests: ["tests"], deadline: accelerator === "kvm" ? 900 : 7200 };
  }
  say("Without KVM, only the tests that depend on the medium (or with --all)");
  for (const path of DEPENDENT_TESTS) {
    Deno.statSync(new URL(`../../${path}`, import.meta.url));
  }
  return { tests: ["tests/emulated", ...DEPENDENT_TESTS], deadline: 900 };
}

/** Runs the tests on one medium; true if they pass. */
async function runCase(
  equipment: Equipment,
  directory: string,
  { name, medium, persistence, granularity }: Case,
  { tests, deadline }: Selection,
): Promise<boolean> {
  const slug = name.replaceAll(/\W+/g, "-");
  const folder = `${directory}/${slug}`;
  await Deno.mkdir(folder);
  await makeMedia(folder);
  await using machine = new Machine(equipment, {
    media: folder,
    console: `${directory}/${slug}.console.log`,
    job: "suite",
    format: true,
    persistence,
    deadline,
    environment: {
      MEDIUM: medium,
      GRANULARITY: granularity,
      TESTS: tests.join(","),
    },
  });
  const output: string[] = [];
  let status: string | undefined;
  try {
    for await (const line of machine.lines()) {
      output.push(line);
      status ??= /^exit status (\d+)$/.exec(line)?.[1];
      if (/^running \d+ tests?|^(ok|FAILED) \|/.test(line)) {
        say(`${name}: ${line}`);
      }
    }
  } catch (error) {
    output.push(String(error));
  }
  await Deno.writeTextFile(`${directory}/${slug}.log`, output.join("\n"));
  if (status === "0") return true;
  const errors = output.indexOf(" ERRORS ");
  console.log(output.slice(errors < 0 ? -40 : errors).join("\n"));
  if (status === undefined) {
    console.log(await Deno.readTextFile(`${directory}/${slug}.console.log`));
  }
  say(`${name}: ${status ? "tests failed" : "the machine broke off"}`);
  return false;
}

if (import.meta.main) {
  const all = Deno.args.includes("--all");
  await runSession(async (equipment, directory) => {
    const selection = select(equipment.accelerator, all);
    // Each machine has one processor; together they make the most of a few.
    const results = await Promise.all(
      CASES.map((each) => runCase(equipment, directory, each, selection)),
    );
    const passed = results.every((result) => result);
    say(passed ? "All tests passed on all media" : "Some tests failed");
    return passed;
  });
}
