/**
 * Walks and searches of a reservation.
 *
 * @module
 */

import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import type { Peers } from "./peers.ts";
import { PAGE } from "../support/page.ts";

/** Pages side by side, in a reservation that they fill. */
function reserve(count: number): Pmem2VmReservation {
  const reservation = new Pmem2VmReservation(count * PAGE);
  using source = Pmem2Source.anonymous(PAGE);
  for (let i = 0; i < count; i++) reservation.map(source, { at: i * PAGE });
  return reservation;
}

const walkGoals: Record<number, Comparison["goal"]> = {
  10: { plus: 20 },
  1000: { times: 1.15 },
  20_000: { times: 1.15 },
  60_000: { times: 1.15 },
};
const findGoals: Record<number, Comparison["goal"]> = {
  1000: { times: 1.2 },
  20_000: { times: 1.3 },
};

export async function* walk({ loops }: Peers): AsyncGenerator<Comparison> {
  for (const count of [10, 100, 1000, 20_000, 60_000]) {
    using reservation = reserve(count);
    const { unsafeHandle } = reservation;
    const rounds = count < 20_000 ? undefined : 21;
    const maps = `${count.toLocaleString("en")} maps`;

    const walks = Math.ceil(20_000 / count);
    yield {
      name: `walk ${maps}, a step`,
      against: "C",
      goal: walkGoals[count] ?? null,
      rounds,
      theirs: inC(
        walks * count,
        () => loops.walk(unsafeHandle, BigInt(count), BigInt(walks)),
      ),
      ours: timed(walks, (times) => {
        for (let i = 0; i < times; i++) {
          let seen = 0;
          for (const _ of reservation) seen++;
          if (seen !== count) throw new Error("The walk missed a map");
        }
      }, count),
    };

    const searches = 2000;
    const offsets = Float64Array.from(
      { length: searches },
      () => Math.floor(Math.random() * count * PAGE),
    );
    const sizes = BigUint64Array.from(offsets, BigInt);
    yield {
      name: `find among ${maps}`,
      against: "C",
      goal: findGoals[count] ?? null,
      theirs: inC(
        searches,
        () => loops.find(unsafeHandle, sizes, BigInt(searches)),
      ),
      ours: timed(searches, (times) => {
        for (let i = 0; i < times; i++) {
          if (reservation.find(offsets[i]!) === null) {
            throw new Error("Not found");
          }
        }
      }),
    };

    if (count !== 1000) continue;
    const list = [...reservation];
    const handles = BigUint64Array.from(list, (map) => map.unsafeHandle);
    yield {
      name: `findNext among ${maps}`,
      against: "C",
      goal: { plus: 20 },
      theirs: inC(
        searches,
        () =>
          loops.find_next(
            unsafeHandle,
            handles,
            BigInt(count),
            BigInt(searches),
          ),
      ),
      ours: timed(searches, (times) => {
        for (let i = 0; i < times; i++) {
          reservation.findNext(list[i % (count - 1)]!);
        }
      }),
    };
  }
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
