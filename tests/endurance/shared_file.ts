/**
 * A file that several processes use at once, while this one opens it again and
 * again in every way, also such as are refused: one appends records to it, one
 * stores through a map of it, one looks for new files and writes into them.
 * Nothing that was acknowledged may be lost.
 *
 *     shared_file.ts FOLDER [OPENS]
 *
 * @module
 */

import { Pmem2Error, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { limitFileSize } from "../support/native_process.ts";

/** The map's part of the file, where nothing is appended. */
const MAPPED = 64 * 1024;
/** Two words: which it is, and that it's whole. */
const RECORD = 16;
const CHECK = 0x9e3779b97f4a7c15n;
/** A new file of its own every so many opens. */
const NEW_EVERY = 100;
/** No file may get longer, for this process. */
const LIMIT = 200 * 2 ** 20;

/** Appends records, and acknowledges each by a line. */
function append(path: string): void {
  using file = Deno.openSync(path, { append: true });
  const words = new BigUint64Array(RECORD / 8);
  const bytes = new Uint8Array(words.buffer);
  for (let i = 1n; !isOrphan(); i++) {
    words[0] = i;
    words[1] = i ^ CHECK;
    if (file.writeSync(bytes) !== RECORD) throw new Error("torn");
    acknowledge(i);
    // For the file not to grow too large.
    if (i % 4n === 0n) sleep(1);
  }
}

/** Stores numbers all over the map, persists them, and acknowledges them. */
function store(path: string): void {
  using map = Pmem2Map.open(path, { length: MAPPED });
  const words = new BigUint64Array(map.buffer);
  const step = 64;
  for (let round = 1n; !isOrphan(); round++) {
    for (let i = 0; i < words.length; i += step) {
      words[i] = round;
      // What is to be read back is what nobody has put back meanwhile.
      if (words[i] !== round) throw new Error(`word ${i} was undone at once`);
    }
    map.persist();
    for (let i = 0; i < words.length; i += step) {
      if (words[i] !== round) throw new Error(`word ${i} was undone`);
    }
    acknowledge(round);
  }
}

/** Writes into each new file as soon as it's there, and acknowledges that. */
function find(folder: string): void {
  for (let next = 0; !isOrphan();) {
    for (let i = next; i < next + 4; i++) {
      try {
        using file = Deno.openSync(`${folder}/new${i}`, { write: true });
        file.writeSync(new TextEncoder().encode("acknowledged"));
        file.syncDataSync();
        acknowledge(BigInt(i));
        next = i + 1;
        break;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    sleep(1);
  }
}

const line = new TextEncoder();
function acknowledge(number: bigint): void {
  Deno.stdout.writeSync(line.encode(`${number}\n`));
}

const parent = Deno.ppid;
/** Whether nobody is left to end it. */
function isOrphan(): boolean {
  return Deno.ppid !== parent;
}

const waiting = new Int32Array(new SharedArrayBuffer(4));
function sleep(milliseconds: number): void {
  Atomics.wait(waiting, 0, 0, milliseconds);
}

/** Another process that does its part, and what it has acknowledged. */
class Part {
  readonly #process: Deno.ChildProcess;
  readonly #lines: Promise<string[]>;

  constructor(name: string, path: string) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", import.meta.filename!, name, path],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = new Response(this.#process.stdout).text()
      .then((text) => text.split("\n").slice(0, -1));
  }

  /** Ends it; all that it has acknowledged. */
  async end(): Promise<bigint[]> {
    this.#process.kill("SIGKILL");
    const { signal, code } = await this.#process.status;
    if (signal !== "SIGKILL") throw new Error(`ended by itself with ${code}`);
    return (await this.#lines).map(BigInt);
  }
}

/** Opens the file in one of many ways, of which some are refused. */
function openAnyhow(path: string, i: number): void {
  const { size } = Deno.statSync(path);
  switch (i % 8) {
    case 0:
      // It may be longer than this by then, or get so.
      return Pmem2Source.open(path, { size: size + 4096 * (i % 3) }).close();
    case 1:
      return refused(() => Pmem2Map.open(path, { size: size + 2 ** 50 }));
    case 5:
      return refused(() => Pmem2Map.open(path, { size: LIMIT + 1 }));
    case 2:
      return refused(() => Pmem2Map.open(path, { size, granularity: "byte" }));
    case 3:
      return Pmem2Map.open(path, { create: true, size: MAPPED }).close();
    default:
      return Pmem2Map.open(path, { size, length: MAPPED }).close();
  }
}

function refused(open: () => Disposable): void {
  try {
    open()[Symbol.dispose]();
  } catch (error) {
    if (error instanceof Pmem2Error) return;
    throw error;
  }
}

/** The records in the rest of the file, which zeros may come between. */
function recordsIn(path: string): Set<bigint> {
  const bytes = Deno.readFileSync(path).subarray(MAPPED);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found = new Set<bigint>();
  for (let at = 0; at + RECORD <= bytes.length;) {
    const number = view.getBigUint64(at, true);
    if (number !== 0n && view.getBigUint64(at + 8, true) === (number ^ CHECK)) {
      found.add(number);
      at += RECORD;
    } else {
      at++;
    }
  }
  return found;
}

async function main(folder: string, opens: number): Promise<void> {
  const path = `${folder}/shared`;
  Pmem2Source.open(path, { createNew: true, size: MAPPED }).close();
  limitFileSize(LIMIT);
  const parts = ["append", "store"].map((name) => new Part(name, path));
  const finder = new Part("find", folder);
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (let i = 0; i < opens; i++) {
    openAnyhow(path, i);
    // Or nobody reads what is acknowledged, and the others wait for that.
    if (i % 16 === 0) await new Promise((resolve) => setTimeout(resolve));
    if (i % NEW_EVERY > 0) continue;
    const made = `${folder}/new${i / NEW_EVERY}`;
    const options = { createNew: true, size: 4096 } as const;
    refused(() => Pmem2Map.open(made, { ...options, granularity: "byte" }));
  }
  const [appended, rounds] = await Promise.all(parts.map((part) => part.end()));
  const files = await finder.end();
  const records = recordsIn(path);
  const lost = appended!.filter((number) => !records.has(number));
  const emptied = files.filter((number) => {
    try {
      return !Deno.readTextFileSync(`${folder}/new${number}`)
        .startsWith("acknowledged");
    } catch {
      return true;
    }
  });
  const words = new BigUint64Array(Deno.readFileSync(path).buffer, 0, 1);
  const figures = {
    opens,
    records: appended!.length,
    "records lost": lost.length,
    rounds: rounds!.length,
    "rounds lost": words[0]! >= (rounds!.at(-1) ?? 0n) ? 0 : 1,
    "new files": files.length,
    "new files lost": emptied.length,
  };
  console.log(JSON.stringify(figures));
  const losses = lost.length + emptied.length + figures["rounds lost"];
  if (losses > 0) Deno.exit(1);
}

if (import.meta.main) {
  const [first, second] = Deno.args;
  switch (first) {
    case "append":
      append(second!);
      break;
    case "store":
      store(second!);
      break;
    case "find":
      find(second!);
      break;
    default:
      await main(first!, Number(second ?? 2000));
  }
}
