/**
 * Appends to logs for good, acknowledging each record once it is durable, or
 * checks that all that was acknowledged is there.
 *
 * Usage: power_cut_log.ts write|check MEDIUM:MODE…
 *
 * MEDIUM: "pmem", "devdax" or "disk". MODE: "persist", or one of two ways to lose
 * data on a disk: "forget" leaves out what makes stores durable, "pretend" makes
 * libpmem2 believe in cache-line granularity.
 */
import { Pmem2VmReservation } from "@pmem2/pmem2";
import { Log } from "../../examples/durable_log.ts";
import { exists } from "../support/exists.ts";

/** Large enough for a file to grow before the power is cut. */
const record = new BigUint64Array(128);

/** No two rounds and no two places in a log have the same record. */
function makeRecord(round: bigint, index: number): Uint8Array {
  const word = round << 32n | BigInt(index);
  for (let i = 0; i < record.length; i++) record[i] = word * BigInt(i + 1);
  return new Uint8Array(record.buffer);
}

function pathOf(medium: string): string {
  if (medium === "devdax") return Deno.env.get("PMEM_DEVDAX")!;
  const folder = medium === "pmem" ? "PMEM_DIR" : "PMEM_DISK_DIR";
  return `${Deno.env.get(folder)!}/log`;
}

/** A file grows from a page on. */
function openLog(medium: string): Log {
  return Log.open(pathOf(medium), { create: medium !== "devdax" });
}

/** One write, one line: several workers share the stream. */
function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/**
 * Appends until the power is cut.
 *
 * @param ready Returns when all writers may start.
 */
function write(medium: string, mode: string, ready: () => void): void {
  if (mode === "pretend") {
    Deno.env.set("PMEM2_FORCE_GRANULARITY", "CACHE_LINE");
  } else if (mode === "forget") {
    const { write } = Pmem2VmReservation.prototype;
    Pmem2VmReservation.prototype.write = function (data, offset) {
      write.call(this, data, offset, { flush: false, drain: false });
    };
  }
  if (medium !== "devdax" && exists(pathOf(medium))) {
    Deno.removeSync(pathOf(medium));
  }
  using log = openLog(medium);
  log.rewind();
  ready();
  // A random number rather than a counted one: nothing else is kept.
  const round = BigInt(Math.floor(Math.random() * 2 ** 30) + 1);
  for (let index = 0;; index++) {
    log.append(makeRecord(round, index));
    report(`${medium} ${round} ${index + 1}`);
  }
}

/** How many records of the round the log begins with, and if that is all. */
function read(log: Log, round: bigint): { intact: number; whole: boolean } {
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

/** Whether all is there that was acknowledged. */
function check(medium: string, acknowledged: string[]): boolean {
  const last = acknowledged.findLast((line) => line.startsWith(`${medium} `));
  if (last === undefined) {
    console.log(`${medium}: nothing was acknowledged`);
    return true;
  }
  const [, round, count] = last.split(" ");
  using log = openLog(medium);
  const { intact, whole } = read(log, BigInt(round!));
  const kept = intact >= Number(count) && whole;
  console.log(
    `${medium}: ${count} acknowledged, ${intact} found: ${
      kept ? "kept" : "lost"
    }`,
  );
  return kept;
}

const [what, ...writers] = Deno.args;
const media = writers.map((writer) => writer.split(":") as [string, string]);
if (what === "check") {
  const path = Deno.env.get("PMEM_ACKNOWLEDGED")!;
  const acknowledged = Deno.readTextFileSync(path).trimEnd().split("\n");
  const kept = media.map(([medium]) => check(medium, acknowledged));
  Deno.exit(kept.every(Boolean) ? 0 : 1);
} else if (media.length === 1) {
  const [medium, mode] = media[0]!;
  write(medium, mode, meet);
} else {
  const meeting = Deno.makeTempDirSync();
  const children = media.map(([medium, mode]) =>
    new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--allow-all", import.meta.filename!, "write"],
        `${medium}:${mode}`,
      ],
      env: { MEETING: meeting, WRITERS: String(media.length) },
    }).spawn()
  );
  await Promise.all(children.map((child) => child.status));
}

/** Waits for the other writers, as the first line of any of them counts. */
function meet(): void {
  const meeting = Deno.env.get("MEETING");
  if (meeting === undefined) return;
  Deno.makeTempFileSync({ dir: meeting });
  const wanted = Number(Deno.env.get("WRITERS"));
  const wait = new Int32Array(new SharedArrayBuffer(4));
  while ([...Deno.readDirSync(meeting)].length < wanted) {
    Atomics.wait(wait, 0, 0, 5);
  }
}
