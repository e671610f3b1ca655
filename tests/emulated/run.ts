/**
 * Runs the tests in a machine with emulated persistent memory.
 *
 * Usage: deno task test:emulated
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
const DEADLINE = 900;

/** Runs the tests on one medium; true if they pass. */
async function runCase(
  equipment: Equipment,
  directory: string,
  { name, medium, persistence, granularity }: Case,
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
    deadline: DEADLINE,
    environment: { MEDIUM: medium, GRANULARITY: granularity },
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
  await runSession(async (equipment, directory) => {
    // Each machine has one processor; together they make the most of a few.
    const results = await Promise.all(
      CASES.map((each) => runCase(equipment, directory, each)),
    );
    const passed = results.every((result) => result);
    say(passed ? "All tests passed on all media" : "Some tests failed");
    return passed;
  });
}
