/**
 * Files: opened, mapped, read, appended to.
 *
 * @module
 */

import { DatabaseSync } from "node:sqlite";
import { Pmem2Map } from "@pmem2/pmem2";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import { Directory, media } from "./medium.ts";
import type { Peers } from "./peers.ts";

const MIB = 1024 ** 2;
const RECORD = 64;
const record = new Uint8Array(RECORD).fill(0x5a);

export async function* open({ loops, bun }: Peers): AsyncGenerator<Comparison> {
  for (const medium of media()) {
    using directory = new Directory(medium);
    const path = directory.path("4_KiB");
    Pmem2Map.open(path, { createNew: true, size: 4096 }).close();
    const count = medium.onDisk ? 1 : 20;
    const name = new TextEncoder().encode(`${path}\0`);
    yield {
      name: `open, map, write, close, 4 KiB, ${medium.name}`,
      against: "C",
      goal: { times: 1.45 },
      theirs: inC(count, () => loops.open_store_close(name, BigInt(count))),
      ours: timed(count, (times) => {
        for (let i = 0; i < times; i++) {
          using map = Pmem2Map.open(path);
          map.write(record);
        }
      }),
    };
  }
  if (bun === null) return;
  const medium = media()[0]!;
  for (
    const [label, size] of [["4 KiB", 4096], ["64 MiB", 64 * MIB]] as const
  ) {
    using directory = new Directory(medium);
    const path = directory.path("file");
    // Bun leaves thousands of mappings, which slow down whoever maps the same file.
    const theirPath = directory.path("theirs");
    for (const each of [path, theirPath]) {
      Pmem2Map.open(each, { createNew: true, size }).close();
    }
    const count = 20;
    yield {
      name: `open, map, store by a view, close, ${label}, ${medium.name}`,
      against: "Bun.mmap",
      goal: size === 4096 ? null : { times: 1 },
      theirs: bun.measure("open", count, theirPath),
      ours: timed(count, (times) => {
        for (let i = 0; i < times; i++) {
          using map = Pmem2Map.open(path);
          map.bytes.fill(0x5a, 0, RECORD);
        }
      }),
    };
  }
}

export async function* view(_peers: Peers): AsyncGenerator<Comparison> {
  const medium = media()[0]!;
  {
    const size = 256 * MIB;
    using directory = new Directory(medium);
    using map = Pmem2Map.open(directory.path("file"), {
      createNew: true,
      size,
    });
    const heap = new Uint8Array(size);
    yield {
      name: `fill and sum 256 MiB through bytes, ${medium.name}`,
      against: "a Uint8Array",
      goal: { times: 1.05 },
      rounds: 7,
      theirs: timed(1, () => fillAndSum(heap)),
      ours: timed(1, () => fillAndSum(map.bytes)),
    };
  }
  using directory = new Directory(medium);
  const path = directory.path("file");
  {
    const size = 1024 * MIB;
    using map = Pmem2Map.open(path, { createNew: true, size });
    map.fill(1, 0, size, { flush: false });
  }
  yield {
    name: `search 1 GiB of a cached file, ${medium.name}`,
    against: "Deno.readFileSync",
    goal: { times: 0.35 },
    rounds: 5,
    theirs: timed(1, () => search(Deno.readFileSync(path))),
    ours: timed(1, () => {
      using map = Pmem2Map.open(path, { sharing: "private" });
      search(map.bytes);
    }),
  };
}

function fillAndSum(bytes: Uint8Array): void {
  bytes.fill(3);
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += bytes[i]!;
  if (sum !== bytes.length * 3) throw new Error("Wrong sum");
}

/** For what isn't there: reads all of it. */
function search(bytes: Uint8Array): void {
  if (bytes.indexOf(255) !== -1) throw new Error("Found");
}

/** What people would take for durable records instead. */
class Database implements Disposable {
  readonly #database: DatabaseSync;
  readonly #insert: ReturnType<DatabaseSync["prepare"]>;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    // Its best case: a log of its own, and a sync for each transaction.
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.#database.exec("CREATE TABLE records (data BLOB)");
    this.#insert = this.#database.prepare("INSERT INTO records VALUES (?)");
  }

  append(batch: number): void {
    this.#database.exec("BEGIN");
    for (let i = 0; i < batch; i++) this.#insert.run(record);
    this.#database.exec("COMMIT");
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

export async function* append({ loops }: Peers): AsyncGenerator<Comparison> {
  const size = 16 * MIB;
  for (const medium of media()) {
    using directory = new Directory(medium);
    const of = (batch: number) =>
      `append ${batch === 1 ? "a record" : `${batch} records`}, ${medium.name}`;
    const open = (name: string) =>
      Pmem2Map.open(directory.path(name), { createNew: true, size });
    using map = open("ours");
    map.fill(0);
    let end = 0;
    const append = (batch: number) => {
      if (end + batch * RECORD > size) end = 0;
      const start = end;
      for (let i = 0; i < batch; i++, end += RECORD) {
        map.write(record, end, batch === 1 ? undefined : NO_FLUSH);
      }
      if (batch > 1) map.persist(start, end - start);
    };

    using theirs = open("theirs");
    theirs.fill(0);
    const { unsafeHandle } = theirs;
    let theirEnd = 0;
    const rounds = medium.onDisk ? 51 : undefined;
    yield {
      name: of(1),
      against: "C",
      goal: medium.onDisk ? { times: 1.05 } : null,
      rounds,
      theirs: inC(1, () => {
        const start = BigInt(theirEnd);
        theirEnd = (theirEnd + RECORD) % size;
        const length = BigInt(RECORD);
        return loops.write_data(unsafeHandle, start, record, length, 1n);
      }),
      ours: timed(1, () => append(1)),
    };

    const options = { write: true, create: true, append: true };
    using file = Deno.openSync(directory.path("file"), options);
    using database = new Database(directory.path("database"));
    for (const batch of [1, 16, 256]) {
      const data = new Uint8Array(batch * RECORD).fill(0x5a);
      const ours = timed(1, () => append(batch));
      yield {
        name: of(batch),
        against: "FsFile.write, syncData",
        goal: null,
        rounds,
        theirs: timed(1, () => {
          file.writeSync(data);
          file.syncDataSync();
        }),
        ours,
      };
      yield {
        name: of(batch),
        against: "node:sqlite",
        goal: medium.onDisk && batch === 256 ? { times: 0.5 } : null,
        rounds,
        theirs: timed(1, () => database.append(batch)),
        ours,
      };
    }
  }
}

const NO_FLUSH = { flush: false };
