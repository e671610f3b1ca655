/**
 * Walks and searches of a reservation.
 *
 * @module
 */

import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import { fastDirectory, type Peers } from "./peers.ts";
import { PAGE } from "../support/page.ts";

/** Pages side by side, in a reservation that they fill. */
function reserve(source: Pmem2Source, order: number[]): Pmem2VmReservation {
  const reservation = new Pmem2VmReservation(order.length * PAGE);
  const offsets = source.fd === null ? () => 0 : (i: number) => i * PAGE;
  for (const [i, place] of order.entries()) {
    reservation.map(source, {
      offset: offsets(i),
      length: PAGE,
      at: place * PAGE,
    });
  }
  return reservation;
}

/** Windows of a file, mapped in no order. */
function windows(path: string, count: number): Pmem2VmReservation {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  Deno.truncateSync(path, count * PAGE);
  using source = Pmem2Source.open(path);
  return reserve(source, order);
}

/** Anonymous pages, mapped one behind the other. */
function pages(count: number): Pmem2VmReservation {
  using source = Pmem2Source.anonymous(PAGE);
  return reserve(source, Array.from({ length: count }, (_, i) => i));
}

const walkGoals: Record<number, Comparison["goal"]> = {
  1000: { times: 1.2 },
  20_000: { times: 1.2 },
  60_000: { times: 1.2 },
};
const findGoals: Record<number, Comparison["goal"]> = {
  1000: { times: 1.2 },
  20_000: { times: 1.4 },
};

export async function* walk(peers: Peers): AsyncGenerator<Comparison> {
  const path = Deno.makeTempFileSync({ dir: fastDirectory });
  try {
    for (const count of [10, 100, 1000, 20_000, 60_000]) {
      {
        using reservation = windows(path, count);
        yield* walkOf(peers, reservation, count, "windows of a file");
      }
      if (count !== 1000) continue;
      using reservation = pages(count);
      yield* walkOf(peers, reservation, count, "anonymous maps");
    }
  } finally {
    Deno.removeSync(path);
  }
}

async function* walkOf(
  { loops }: Peers,
  reservation: Pmem2VmReservation,
  count: number,
  medium: string,
): AsyncGenerator<Comparison> {
  const { unsafeHandle, size } = reservation;
  const rounds = count < 20_000 ? undefined : 21;
  const maps = `${count.toLocaleString("en")} ${medium}`;

  const walks = Math.ceil(20_000 / count);
  yield {
    name: `walk ${maps}, a step`,
    against: "C",
    goal: walkGoals[count] ?? null,
    rounds,
    theirs: inC(
      walks * count,
      () => loops.walk(unsafeHandle, BigInt(size), BigInt(walks)),
    ),
    ours: timed(walks, (times) => {
      for (let i = 0; i < times; i++) {
        let sum = 0;
        for (const map of reservation) sum += map.size;
        if (sum !== size) throw new Error("The walk missed a map");
      }
    }, count),
  };

  const searches = 2000;
  const offsets = Float64Array.from(
    { length: searches },
    () => Math.floor(Math.random() * size),
  );
  const sizes = BigUint64Array.from(offsets, BigInt);
  const total = searches * PAGE;
  yield {
    name: `find among ${maps}`,
    against: "C",
    goal: findGoals[count] ?? null,
    theirs: inC(
      searches,
      () => loops.find(unsafeHandle, sizes, BigInt(searches), BigInt(total)),
    ),
    ours: timed(searches, (times) => {
      let sum = 0;
      for (let i = 0; i < times; i++) {
        sum += reservation.find(offsets[i]!)!.size;
      }
      if (sum !== total) throw new Error("Not found");
    }),
  };

  if (count !== 1000) return;
  const list = [...reservation];
  const handles = BigUint64Array.from(list, (map) => map.unsafeHandle);
  yield {
    name: `findNext among ${maps}`,
    against: "C",
    goal: { plus: 20 },
    theirs: inC(
      searches,
      () =>
        loops.find_next(unsafeHandle, handles, BigInt(count), BigInt(searches)),
    ),
    ours: timed(searches, (times) => {
      for (let i = 0; i < times; i++) {
        reservation.findNext(list[i % (count - 1)]!);
      }
    }),
  };
}

export async function* place({ c }: Peers): AsyncGenerator<Comparison> {
  const count = 10_000;
  yield {
    name: "map a page into a reservation",
    against: "C",
    goal: { times: 1.3 },
    rounds: 7,
    theirs: c.measure("reserve", count),
    ours: () => {
      using reservation = new Pmem2VmReservation(count * PAGE);
      using source = Pmem2Source.anonymous(PAGE);
      return timed(count, (times) => {
        for (let i = 0; i < times; i++) {
          reservation.map(source, { at: i * PAGE });
        }
      })();
    },
  };
  await c.run("release");
}
