/**
 * Checks the log that the last round left behind, then appends to it for good,
 * acknowledging each record once it is durable.
 *
 * Usage: power_cut.ts MEDIUM PATH MODE ROUND LAST
 *
 * MODE: "persist", or one of two ways to lose data on a disk: "forget" leaves
 * out what makes stores durable, "pretend" makes libpmem2 believe in cache-line
 * granularity.
 */
import { Pmem2Map } from "@pmem2/pmem2";
import { Log } from "../../../examples/log.ts";

const SIZE = 32 * 1024 * 1024;
const record = new BigUint64Array(8);

/** No two rounds and no two places in a log have the same record. */
function makeRecord(round: number, index: number): Uint8Array {
  const word = BigInt(round) << 32n | BigInt(index);
  for (let i = 0; i < record.length; i++) record[i] = word * BigInt(i + 1);
  return new Uint8Array(record.buffer);
}

/** How many records of the round the log begins with, and if that is all. */
function check(log: Log, round: number): { intact: number; whole: boolean } {
  let intact = 0;
  try {
    for (const found of log) {
      const expected = makeRecord(round, intact);
      if (!found.every((byte, i) => byte === expected[i])) {
        return { intact, whole: false };
      }
      intact++;
    }
  } catch (error) {
    console.error(error);
    return { intact, whole: false };
  }
  return { intact, whole: true };
}

/** One write, one line: several processes share the port. */
function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const [medium, path, mode, roundText, last] = Deno.args;
const round = Number(roundText);
if (mode === "pretend") {
  Deno.env.set("PMEM2_FORCE_GRANULARITY", "CACHE_LINE");
} else if (mode === "forget") {
  const { write } = Pmem2Map.prototype;
  Pmem2Map.prototype.write = function (data, offset) {
    write.call(this, data, offset, { flush: false, drain: false });
  };
}
using log = Log.open(path!, { length: SIZE });

const { intact, whole } = check(log, round - 1);
report(`${medium} found ${intact} ${whole ? "whole" : "damaged"}`);
if (last !== "yes") {
  log.rewind();
  for (let index = 0;; index++) {
    log.append(makeRecord(round, index));
    report(`${medium} acknowledged ${index + 1}`);
  }
}
