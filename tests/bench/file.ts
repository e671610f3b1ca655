/**
 * Files: opened, mapped, read, appended to.
 *
 * @module
 */

import { Pmem2Map } from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import { benchDirectory, fastDirectory, type Peers } from "./peers.ts";

const MIB = 1024 ** 2;
const RECORD = 64;
const record = new Uint8Array(RECORD).fill(0x5a);

export async function* open({ c, bun }: Peers): AsyncGenerator<Comparison> {
  using emulation = emulatePmem("page", { directory: fastDirectory });
  await c.run("granularity", "PAGE");
  for (
    const [label, size] of [["4 KiB", 4096], ["64 MiB", 64 * MIB]] as const
  ) {
    const path = emulation.path(label.replace(" ", "_"));
    Pmem2Map.open(path, { createNew: true, size }).close();
    const count = 20;
    yield {
      name: `open, map, write, close, ${label}`,
      against: "C",
      goal: { times: size === 4096 ? 1.6 : 1.4 },
      theirs: c.measure("open", count, path),
      ours: timed(count, (times) => {
        for (let i = 0; i < times; i++) {
          using map = Pmem2Map.open(path);
          map.write(record);
        }
      }),
    };
    if (bun === null) continue;
    yield {
      name: `open, map, store by a view, close, ${label}`,
      against: "Bun.mmap",
      goal: size === 4096 ? null : { times: 1 },
      theirs: bun.measure("open", count, path),
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
  const size = 256 * MIB;
  using emulation = emulatePmem("page", { directory: fastDirectory });
  const path = emulation.path("file");
  {
    using map = Pmem2Map.open(path, { createNew: true, size });
    map.fill(1, 0, size, { flush: false });
    const heap = new Uint8Array(size);
    yield {
      name: "fill and sum 256 MiB through bytes",
      against: "a Uint8Array",
      goal: { times: 1.05 },
      rounds: 7,
      theirs: timed(1, () => fillAndSum(heap)),
      ours: timed(1, () => fillAndSum(map.bytes)),
    };
  }
  yield {
    name: "search 256 MiB of a file that is cached",
    against: "Deno.readFileSync",
    goal: { times: 1 / 2 },
    rounds: 7,
    theirs: timed(1, () => search(Deno.readFileSync(path))),
    ours: timed(1, () => {
      using map = Pmem2Map.open(path);
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

export async function* append({ loops }: Peers): AsyncGenerator<Comparison> {
  const size = 16 * MIB;
  for (const granularity of ["page", "byte"] as const) {
    const medium = granularity === "page" ? "disk" : "tmpfs";
    const directory = medium === "disk" ? benchDirectory : fastDirectory;
    using emulation = emulatePmem(granularity, { directory });
    const name = `append a record of 64 bytes, ${granularity}, ${medium}`;
    const count = medium === "disk" ? 1 : 5000;

    const path = emulation.path("ours");
    using map = Pmem2Map.open(path, { createNew: true, size });
    map.fill(0);
    let end = 0;
    const ours = timed(count, (times) => {
      for (let i = 0; i < times; i++) {
        map.write(record, end);
        end = (end + RECORD) % size;
      }
    });

    using theirs = Pmem2Map.open(emulation.path("theirs"), {
      createNew: true,
      size,
    });
    theirs.fill(0);
    const { unsafeHandle } = theirs;
    let theirEnd = 0;
    yield {
      name,
      against: "C",
      goal: medium === "disk" ? { times: 1.05 } : { plus: 60 },
      theirs: inC(count, () => {
        const start = BigInt(theirEnd);
        theirEnd = (theirEnd + count * RECORD) % size;
        return loops.write_data(
          unsafeHandle,
          start,
          record,
          BigInt(RECORD),
          BigInt(count),
        );
      }),
      ours,
    };

    const open = { write: true, create: true, append: true };
    using file = Deno.openSync(emulation.path("file"), open);
    yield {
      name,
      against: "FsFile.write, syncData",
      goal: medium === "disk" ? null : { times: 1 / 5 },
      theirs: timed(medium === "disk" ? count : 500, (times) => {
        for (let i = 0; i < times; i++) {
          file.writeSync(record);
          file.syncDataSync();
        }
      }),
      ours,
    };
  }
}
