/**
 * Runs any command in a virtual machine with emulated persistent memory: real
 * DAX mappings (`MAP_SYNC`, cache-line or byte granularity, device DAX) on any
 * Linux machine, a CI runner's included.
 *
 * ```sh
 * deno run -A jsr:@pmem2/pmem2/emulated -- deno test -A
 * ```
 *
 * `deno run -A jsr:@pmem2/pmem2/emulated --help` tells the rest.
 *
 * @module
 */

import { parseArguments, usage, UsageError } from "./arguments.ts";
import { runCommand } from "./command.ts";
import { cutPowerRepeatedly } from "./power_cut.ts";
import { Report } from "./report.ts";
import { prepare } from "./session.ts";

/**
 * Does what the command line says, writing to this process's standard output and
 * standard error.
 *
 * @param args The arguments, as in `["--eadr", "--", "deno", "test", "-A"]`.
 * @returns The exit status: the command's own, or 124 if it took too long, 125 if
 * there was no machine or it broke off, 2 if the arguments are wrong.
 */
export async function main(args: readonly string[]): Promise<number> {
  let options;
  try {
    options = parseArguments(args, Deno.env.toObject());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`emulated: ${error.message}\nTry --help`);
    return 2;
  }
  if (options.mode === "help") {
    console.log(usage);
    return 0;
  }
  const report = new Report(options);
  switch (options.mode) {
    case "prepare":
      return await prepare(options, report);
    case "power-cut":
      return await cutPowerRepeatedly(options, report);
    default:
      return await runCommand(options, report);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
