/**
 * A reservation as one memory: views, copies and flushes across its maps, and what
 * they take inside of one.
 *
 * @module
 */

import { type Pmem2Map, Pmem2VmReservation } from "@pmem2/pmem2";

import { Log } from "../../examples/durable_log.ts";
import { forceGranularity } from "../support/force_granularity.ts";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import { Directory, media } from "./medium.ts";
import { fastDirectory, type Peers } from "./peers.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Files side by side that fill a reservation, at cache-line granularity. */
class Files implements Disposable {
  readonly reservation: Pmem2VmReservation;
  readonly maps: Pmem2Map[];
  readonly #emulation: ReturnType<typeof forceGranularity>;

  constructor(count: number, size: number) {
    const directory = fastDirectory;
    this.#emulation = forceGranularity("cache-line", { directory });
    this.reservation = new Pmem2VmReservation(count * size);
    this.maps = Array.from({ length: count }, (_, i) =>
      this.reservation.map(
        this.#emulation.path(String(i)),
        { createNew: true, size },
      ));
    this.reservation.fill(1);
  }

  [Symbol.dispose](): void {
    this.reservation[Symbol.dispose]();
    this.#emulation[Symbol.dispose]();
  }
}

export async function* reservation(
  { loops }: Peers,
): AsyncGenerator<Comparison> {
  yield* views();
  using files = new Files(2, MIB);
  const { reservation, maps } = files;
  const [first, second] = maps as [Pmem2Map, Pmem2Map];
  const data = new Uint8Array(64).fill(0x5a);
  const each = (call: (offset: number) => void) =>
    timed(2000, (times) => {
      for (let i = 0, offset = 0; i < times; i++) {
        call(offset);
        offset = (offset + 64) % (16 * KIB);
      }
    });
  const against = "the map's own";
  const goal = { plus: 250 };
  yield {
    name: "read 64 bytes of a reservation's map",
    against,
    goal,
    theirs: each((offset) => second.read(data, offset)),
    ours: each((offset) => reservation.read(data, MIB + offset)),
  };
  yield {
    name: "write 64 bytes to a reservation's map, cache-line",
    against,
    goal,
    theirs: each((offset) => second.write(data, offset)),
    ours: each((offset) => reservation.write(data, MIB + offset)),
  };
  yield {
    name: "persist 64 bytes of a reservation's map, cache-line",
    against,
    goal,
    theirs: each((offset) => second.persist(offset, 64)),
    ours: each((offset) => reservation.persist(MIB + offset, 64)),
  };
  const page = new Uint8Array(4 * KIB).fill(0x5a);
  const [one, other] = [first.unsafeHandle, second.unsafeHandle];
  yield {
    name: "write 4 KiB across a border, cache-line",
    against: "C's two memcpy_fn",
    goal: { times: 1.6 },
    theirs: inC(
      500,
      () => loops.write_across(one, other, page, 4096n, 500n),
    ),
    ours: timed(500, (times) => {
      for (let i = 0; i < times; i++) reservation.write(page, MIB - 2 * KIB);
    }),
  };
  yield* growing();
}

/** So that no view is left out as nobody needs it. */
export let seen = 0;

function* views(): Generator<Comparison> {
  {
    using files = new Files(64, 64 * KIB);
    const { reservation } = files;
    const size = 64 * KIB;
    yield {
      name: "view across a border, the same maps again",
      against: null,
      goal: { at: 200 },
      theirs: null,
      ours: timed(5000, (times) => {
        for (let i = 0; i < times; i++) {
          seen += reservation.view(5 * size - 100, 200).length;
        }
      }),
    };
    let random = 1;
    yield {
      name: "view across borders, of 64 maps any",
      against: null,
      goal: null,
      theirs: null,
      ours: timed(5000, (times) => {
        for (let i = 0; i < times; i++) {
          random = (random * 1103515245 + 12345) % 2 ** 31;
          const from = (random >> 8) % (60 * size);
          seen += reservation.view(from, 3 * size).length;
        }
      }),
    };
  }
  {
    using files = new Files(1, 512 * KIB);
    const count = 200;
    using reservation = new Pmem2VmReservation(count * 512 * KIB);
    const path = files.maps[0]!.path!;
    yield {
      name: "view of 1 MiB across a border, maps that have none yet",
      against: null,
      goal: { at: 1500 },
      theirs: null,
      // What it takes to map them isn't counted.
      ours: () => {
        for (const map of reservation) map.close();
        for (let i = 0; i < count; i++) reservation.map(path);
        // Who is whose neighbor is known from then on.
        for (const _ of reservation);
        const start = performance.now();
        for (let i = 1; i < count; i++) {
          reservation.view((i - 1) * 512 * KIB, MIB);
        }
        return (performance.now() - start) * 1e6 / (count - 1);
      },
    };
  }
  using files = new Files(64, 4 * MIB);
  const heap = new Uint8Array(256 * MIB);
  const view = files.reservation.view();
  yield {
    name: "fill and sum 256 MiB through a view of 64 files",
    against: "a Uint8Array",
    goal: { times: 1.05 },
    rounds: 7,
    theirs: timed(1, () => fillAndSum(heap)),
    ours: timed(1, () => fillAndSum(view)),
  };
}

function fillAndSum(bytes: Uint8Array): void {
  bytes.fill(3);
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += bytes[i]!;
  if (sum !== bytes.length * 3) throw new Error("Wrong sum");
}

/** What it costs a log that it may grow: at each round it has grown already. */
function* growing(): Generator<Comparison> {
  const record = new Uint8Array(64).fill(0x5a);
  const limit = 64 * MIB;
  for (const medium of media()) {
    using directory = new Directory(medium);
    using fixed = Log.open(directory.path("fixed"), {
      create: true,
      size: limit,
      limit,
    });
    using log = Log.open(directory.path("growing"), { create: true });
    const count = medium.onDisk ? 20 : 500;
    const append = (log: Log) =>
      timed(count, (times) => {
        for (let i = 0; i < times; i++) log.append(record);
      });
    yield {
      name: `append 64 bytes to a log that grows, ${medium.name}`,
      against: "one of a fixed size",
      goal: { times: 1.05 },
      theirs: append(fixed),
      ours: append(log),
    };
  }
}
