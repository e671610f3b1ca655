/**
 * Making stores durable, and copies that are.
 *
 * @module
 */

import { type Granularity, Pmem2Map } from "@pmem2/pmem2";
import { forceGranularity } from "../support/force_granularity.ts";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import { Directory, media } from "./medium.ts";
import { fastDirectory, type Peers } from "./peers.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const granularities: readonly Granularity[] = ["byte", "cache-line", "page"];

/** A file that is mapped at a granularity. */
function mapFile(
  granularity: Granularity,
  size: number,
): { map: Pmem2Map } & Disposable {
  const emulation = forceGranularity(granularity, { directory: fastDirectory });
  const map = Pmem2Map.open(emulation.path("file"), { createNew: true, size });
  map.fill(1);
  return {
    map,
    [Symbol.dispose]() {
      map.close();
      emulation[Symbol.dispose]();
    },
  };
}

const lengths = [
  ["64 B", 64],
  ["4 KiB", 4 * KIB],
  ["64 KiB", 64 * KIB],
  ["1 MiB", MIB],
] as const;

/** How often each is done in a round. */
const counts: Record<number, number> = {
  64: 20_000,
  [4 * KIB]: 2000,
  [64 * KIB]: 200,
  [MIB]: 20,
};

export async function* persist(peers: Peers): AsyncGenerator<Comparison> {
  for (const granularity of granularities) {
    using file = mapFile(granularity, 64 * KIB);
    yield* persistOf(peers, file.map, `${granularity}, tmpfs`, 50_000);
  }
  const disk = media().find(({ onDisk }) => onDisk)!;
  using directory = new Directory(disk);
  using map = Pmem2Map.open(directory.path("file"), {
    createNew: true,
    size: 64 * KIB,
  });
  map.fill(1);
  yield* persistOf(peers, map, `page, ${disk.name}`, 1);
}

async function* persistOf(
  { loops }: Peers,
  map: Pmem2Map,
  medium: string,
  count: number,
): AsyncGenerator<Comparison> {
  const { unsafeHandle, granularity } = map;
  const onDisk = count === 1;
  let offset = 0;
  const ours = timed(count, (times) => {
    for (let i = 0; i < times; i++) {
      // What is clean costs no disk anything.
      if (onDisk) map.fill(i & 0xff, offset, 1, NO_FLUSH);
      map.persist(offset, 64);
      offset = (offset + 64) % (64 * KIB);
    }
  });
  yield {
    name: `persist 64 bytes, ${medium}`,
    against: "C",
    goal: onDisk
      ? null
      : granularity === "page"
      ? { times: 0.9 }
      : { plus: 10 },
    rounds: onDisk ? 51 : undefined,
    theirs: inC(count, () => {
      if (onDisk) map.fill(1, 0, 1, NO_FLUSH);
      return loops.persist(unsafeHandle, 64n, BigInt(count));
    }),
    ours,
  };
  if (onDisk) return;
  using library = openPersistFn(unsafeHandle);
  const base = map.address;
  yield {
    name: `persist 64 bytes, ${medium}`,
    against: "Deno.UnsafeFnPointer",
    goal: granularity === "byte" ? { times: 1 / 50 } : null,
    theirs: timed(500, (times) => {
      for (let i = 0, offset = 0; i < times; i++) {
        const address = base + BigInt(offset);
        library.persist(Deno.UnsafePointer.create(address), 64n);
        offset = (offset + 64) % (64 * KIB);
      }
    }),
    ours,
  };
}

const NO_FLUSH = { flush: false };

/** What one would write without this module. */
function openPersistFn(handle: bigint) {
  const library = Deno.dlopen("libpmem2.so.1", {
    pmem2_get_persist_fn: { parameters: ["u64"], result: "pointer" },
  });
  const definition = {
    parameters: ["pointer", "usize"],
    result: "void",
  } as const;
  const fn = new Deno.UnsafeFnPointer(
    library.symbols.pmem2_get_persist_fn(handle) as Deno.PointerObject<
      typeof definition
    >,
    definition,
  );
  return {
    persist: (address: Deno.PointerValue, size: bigint) =>
      fn.call(address, size),
    [Symbol.dispose]: () => library.close(),
  };
}

function writeGoal(granularity: Granularity, length: number) {
  switch (length) {
    case 64:
      return { plus: granularity === "cache-line" ? 80 : 60 };
    case 4 * KIB:
      return {
        times: { "byte": 1.5, "cache-line": 1.35, "page": 1 }[granularity],
      };
    case 64 * KIB:
      return { times: granularity === "cache-line" ? 1.15 : 1.1 };
    default:
      return { times: 1.1 };
  }
}

export async function* write({ loops }: Peers): AsyncGenerator<Comparison> {
  for (const granularity of granularities) {
    for (const [label, length] of lengths) {
      // Small ones stay in the CPU's cache, where nothing hides what a call takes.
      const size = Math.max(16 * KIB, 2 * length);
      using file = mapFile(granularity, size);
      const { map } = file;
      const { unsafeHandle } = map;
      const count = counts[length]!;
      const [bytes, times] = [BigInt(length), BigInt(count)];
      // How fast a copy is depends on where its source happens to lie: each round
      // has another one, for both.
      const sources = Array.from(
        { length: 8 },
        () => new Uint8Array(length).fill(0x5a),
      );
      let round = 0;
      const next = () => sources[(round++ >> 1) % sources.length]!;
      yield {
        name: `write ${label}, ${granularity}, tmpfs`,
        against: "C",
        goal: writeGoal(granularity, length),
        theirs: inC(
          count,
          () => loops.write_data(unsafeHandle, 0n, next(), bytes, times),
        ),
        ours: timed(count, (times) => {
          const data = next();
          for (let i = 0, offset = 0; i < times; i++) {
            map.write(data, offset);
            offset = (offset + length) % size;
          }
        }),
      };
      if (length < MIB) continue;
      yield {
        name: `fill ${label}, ${granularity}, tmpfs`,
        against: "C",
        goal: { times: 1.1 },
        theirs: inC(count, () => loops.fill(unsafeHandle, bytes, times)),
        ours: timed(count, (times) => {
          for (let i = 0; i < times; i++) map.fill(i & 0xff, 0, length);
        }),
      };
      yield {
        name: `move ${label}, ${granularity}, tmpfs`,
        against: "C",
        goal: { times: 1.1 },
        theirs: inC(count, () => loops.move(unsafeHandle, bytes, times)),
        ours: timed(count, (times) => {
          for (let i = 0; i < times; i++) {
            map.move((i & 1) ? 0 : 64, (i & 1) ? 64 : 0, length);
          }
        }),
      };
    }
  }
}
