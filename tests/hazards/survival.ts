/**
 * Asserts that a program lives to its end.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { run } from "../support/subprocess.ts";

/** What the programs of these tests begin with. */
const prelude = `
import { Pmem2Error, Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { forceGranularity } from "./tests/support/force_granularity.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as process from "./tests/support/native_process.ts";
import { assertRefused } from "./tests/support/refusal.ts";
import { Scratch } from "./tests/support/scratch.ts";
`;

/** A program that hangs is as dead as one that crashed. */
const DEADLINE = 120_000;

/**
 * Runs a program in a process of its own, with the module and the helpers of
 * these tests imported, and asserts that it got to its end.
 */
export async function assertSurvives(
  script: string,
  flags: string[] = [],
): Promise<void> {
  const marker = `end of ${crypto.randomUUID()}`;
  const { code, signal, stdout, stderr } = await run(
    `${prelude}${script}\nconsole.log(${JSON.stringify(marker)});\n`,
    { deadline: DEADLINE, flags: ["-A", ...flags] },
  );
  assertEquals({ signal, code, stdout }, {
    signal: null,
    code: 0,
    stdout: `${marker}\n`,
  }, stderr);
}
