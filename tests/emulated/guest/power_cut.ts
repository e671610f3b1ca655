/**
 * Checks the log that the last round left behind, then appends to it for good,
 * acknowledging each record once it is durable.
 *
 * Usage: power_cut.ts MEDIUM PATH MODE ROUND LAST
 *
 * MODE: "persist", or one of two ways to lose data on a disk: "forget" never
 * calls persist, "pretend" makes libpmem2 believe in cache-line granularity.
 */
import { Pmem2Map } from "../../../mod.ts";

const SIZE = 32 * 1024 * 1024;
const HEADER = 64;
const RECORD = 64;

/** Records of 64 bytes after a count of them. */
class RecordLog {
  readonly #map: Pmem2Map;
  readonly #count: BigUint64Array;
  readonly #durable: boolean;

  constructor(map: Pmem2Map, durable: boolean) {
    this.#map = map;
    this.#count = new BigUint64Array(map.buffer, 0, 1);
    this.#durable = durable;
  }

  get length(): number {
    return Number(this.#count[0]);
  }

  record(index: number): Uint8Array {
    const at = HEADER + index * RECORD;
    return this.#map.bytes.subarray(at, at + RECORD);
  }

  append(record: Uint8Array): void {
    const at = this.record(this.length);
    at.set(record);
    if (this.#durable) this.#map.persist(at);
    this.#setLength(this.length + 1);
  }

  clear(): void {
    this.#setLength(0);
  }

  #setLength(length: number): void {
    this.#count[0] = BigInt(length);
    if (this.#durable) this.#map.persist(this.#count);
  }
}

const record = new BigUint64Array(RECORD / 8);

/** No two rounds and no two places in a log have the same record. */
function makeRecord(round: number, index: number): Uint8Array {
  const word = BigInt(round) << 32n | BigInt(index);
  for (let i = 0; i < record.length; i++) record[i] = word * BigInt(i + 1);
  return new Uint8Array(record.buffer);
}

/** How many records of the round the log begins with. */
function countIntact(log: RecordLog, round: number): number {
  const capacity = Math.floor((SIZE - HEADER) / RECORD);
  const length = Math.min(log.length, capacity);
  for (let index = 0; index < length; index++) {
    const expected = makeRecord(round, index);
    if (!log.record(index).every((byte, i) => byte === expected[i])) {
      return index;
    }
  }
  return length;
}

/** One write, one line: several processes share the port. */
function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const [medium, path, mode, roundText, last] = Deno.args;
const round = Number(roundText);
if (mode === "pretend") Deno.env.set("PMEM2_FORCE_GRANULARITY", "CACHE_LINE");
using map = Pmem2Map.open(path!, { length: SIZE });
const log = new RecordLog(map, mode !== "forget");

report(
  `${medium} found ${
    countIntact(log, round - 1)
  } of ${log.length} ${map.granularity}`,
);
if (last !== "yes") {
  log.clear();
  for (let index = 0;; index++) {
    log.append(makeRecord(round, index));
    report(`${medium} acknowledged ${index + 1}`);
  }
}
