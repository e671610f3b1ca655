/**
 * Lets three processes at a time append to a log that grows from a page to 64 MiB,
 * kills them at random moments,
 * and checks that all they acknowledged is there, and nothing torn.
 *
 * Usage: deno run --allow-all tests/endurance/kill.ts [ROUNDS]
 */

import { Log } from "../../examples/log.ts";
import { exists } from "../support/exists.ts";
import { PAGE } from "../support/page.ts";
import { LARGEST, makeRecord } from "./kill_writer.ts";
import { Scratch } from "../support/scratch.ts";
import { command } from "../support/subprocess.ts";

const WRITERS = 3;
/** Within so many milliseconds after its first record a writer is killed. */
const LATEST_KILL = 60;

/** A log that writers are killed at, and what is known to be in it. */
export class Series {
  readonly #scratch: Scratch;
  #path: string;
  /** At least so many records of each writer. */
  readonly #acknowledged = new Map<string, number>();
  #round = 0;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
    this.#path = scratch.path("log");
  }

  /** The size of the log's file, 0 if there is none. */
  get size(): number {
    return exists(this.#path) ? Deno.statSync(this.#path).size : 0;
  }

  /** Begins with another log, of a page. */
  renew(): void {
    Deno.removeSync(this.#path);
    this.#acknowledged.clear();
    this.#path = this.#scratch.path(`log${this.#round}`);
  }

  /** Kills all writers of a round once; how many records of theirs are there. */
  async next(): Promise<{ acknowledged: number; found: number }> {
    if (this.size >= LARGEST) this.renew();
    this.#round++;
    const names = Array.from(
      { length: WRITERS },
      (_, i) => `${this.#round}-${i}`,
    );
    const counts = await Promise.all(
      names.map((name) => writeUntilKilled(this.#path, name)),
    );
    for (const [i, name] of names.entries()) {
      this.#acknowledged.set(name, counts[i]!);
    }
    // As a new process would, which knows nothing of what is mapped here.
    using log = Log.open(this.#path);
    const found = checkRecords(log, this.#acknowledged);
    // What was found once must be found for good.
    for (const [name, count] of found) this.#acknowledged.set(name, count);
    const sum = (counts: number[]) => counts.reduce((sum, n) => sum + n, 0);
    return {
      acknowledged: sum(counts),
      found: sum(names.map((name) => found.get(name)!)),
    };
  }
}

/** How many records the writer acknowledged until it was killed. */
async function writeUntilKilled(path: string, name: string): Promise<number> {
  const child = command("tests/endurance/kill_writer.ts", {
    args: [path, name],
  }).spawn();
  const errors = new Response(child.stderr).text();
  let kill: ReturnType<typeof setTimeout> | undefined;
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    kill ??= setTimeout(
      () => child.kill("SIGKILL"),
      Math.random() * LATEST_KILL,
    );
  }
  clearTimeout(kill);
  const { signal } = await child.status;
  if (signal !== "SIGKILL") {
    throw new Error(`A writer ended by itself: ${await errors}`);
  }
  await errors;
  // The last line may be cut short.
  return Number(output.split("\n").at(-2) ?? 0);
}

/**
 * How many records of each writer there are; throws if one is damaged or out of
 * order, or if there are fewer of a writer than it acknowledged.
 */
export function checkRecords(
  records: Iterable<Uint8Array>,
  acknowledged: ReadonlyMap<string, number>,
): Map<string, number> {
  const found = new Map([...acknowledged.keys()].map((name) => [name, 0]));
  for (const record of records) {
    const start = new TextDecoder().decode(record.subarray(0, 32));
    const [name, index] = start.split(" ");
    const count = found.get(name!);
    const expected = count === undefined ? null : makeRecord(name!, count);
    if (
      expected?.length !== record.length ||
      !expected.every((byte, i) => byte === record[i])
    ) {
      throw new Error(`Found record ${index} of ${name} out of place, or torn`);
    }
    found.set(name!, count! + 1);
  }
  for (const [name, count] of acknowledged) {
    if (found.get(name)! >= count) continue;
    throw new Error(
      `Found ${found.get(name)} records of ${name}: it acknowledged ${count}`,
    );
  }
  return found;
}

if (import.meta.main) {
  const rounds = Number(Deno.args[0] ?? 100);
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    console.error(
      "Usage: deno run --allow-all tests/endurance/kill.ts [ROUNDS]",
    );
    Deno.exit(1);
  }
  using scratch = new Scratch();
  const series = new Series(scratch);
  let total = 0;
  let cut = 0;
  let grown = 0;
  for (let round = 1; round <= rounds; round++) {
    const before = series.size;
    const { acknowledged, found } = await series.next();
    grown += Math.max(Math.log2(series.size / (before || PAGE)), 0);
    console.log(
      `Round ${round}: ${acknowledged} acknowledged, ${found} found, ${series.size} bytes`,
    );
    // Most kills are to meet a log that grows.
    if (round % 4 === 0 && round < rounds / 2) series.renew();
    total += acknowledged;
    if (found > acknowledged) cut++;
  }
  console.log(
    `Kept all ${total} acknowledged records; ${cut} rounds ended between a record and its acknowledgement; the files doubled ${
      Math.round(grown)
    } times`,
  );
}
