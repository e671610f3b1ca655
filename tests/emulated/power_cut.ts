/**
 * Writes to persistent memory and a disk in an emulated machine, cuts its power
 * at random moments, and checks that all that was acknowledged is still there.
 *
 * Usage: deno task test:power-cut [ROUNDS]
 */

const TOOL = new URL("../../emulated/mod.ts", import.meta.url).pathname;
const ROOT = new URL("../../", import.meta.url).pathname;

/** Returns the exit status of the tool. */
async function cut(rounds: number, ...writers: string[]): Promise<number> {
  const script = "deno run --allow-all tests/emulated/power_cut_log.ts";
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", TOOL, "power-cut", "--rounds", String(rounds)],
      ...["--writer", `${script} write ${writers.join(" ")}`],
      ...["--checker", `${script} check ${writers.join(" ")}`],
    ],
    cwd: ROOT,
  }).spawn().status;
  return code;
}

const rounds = Number(Deno.args[0] ?? 10);
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  console.error("Usage: deno task test:power-cut [ROUNDS]");
  Deno.exit(2);
}
let passed = true;
// A test that can't see lost data proves nothing: these must lose some.
for (const writer of ["disk:forget", "disk:pretend"]) {
  console.log(`Control, ${writer}: expects a loss`);
  passed = await cut(1, writer) === 1 && passed;
}
console.log("Expects no loss");
const kept = await cut(
  rounds,
  "pmem:persist",
  "devdax:persist",
  "disk:persist",
);
passed = kept === 0 && passed;
console.log(passed ? "Nothing acknowledged was lost" : "Not as expected");
Deno.exit(passed ? 0 : 1);
