/**
 * What a call takes with many other maps around.
 *
 * @module
 */

import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { type Comparison, timed } from "./comparison.ts";
import { inC } from "./loops.ts";
import { Directory, media } from "./medium.ts";
import type { Peers } from "./peers.ts";
import { PAGE } from "../support/page.ts";

export async function* around({ loops }: Peers): AsyncGenerator<Comparison> {
  const medium = media()[0]!;
  using directory = new Directory(medium);
  const path = directory.path("file");
  Pmem2Map.open(path, { createNew: true, size: 16 * PAGE }).close();
  const name = new TextEncoder().encode(`${path}\0`);
  for (const count of [0, 100, 1000, 5000, 20_000, 60_000]) {
    using _others = others(path, count);
    const among = `${count.toLocaleString("en")} maps around, ${medium.name}`;
    const rounds = 31;
    yield {
      name: `open and close with ${among}`,
      against: "C",
      goal: null,
      rounds,
      theirs: inC(20, () => loops.open_store_close(name, 20n)),
      ours: timed(20, (times) => {
        for (let i = 0; i < times; i++) Pmem2Map.open(path).close();
      }),
    };
    if (count > 5000) continue;
    using map = Pmem2Map.open(path);
    const { unsafeHandle } = map;
    yield {
      name: `persist with ${among}`,
      against: "C",
      goal: null,
      rounds,
      theirs: inC(2000, () => loops.persist(unsafeHandle, 64n, 2000n)),
      ours: timed(2000, (times) => {
        for (let i = 0; i < times; i++) map.persist((i & 1023) * 64, 64);
      }),
    };
  }
}

/** What a view takes with many maps under it. */
export async function* under(_peers: Peers): AsyncGenerator<Comparison> {
  const medium = media()[0]!;
  using directory = new Directory(medium);
  const path = directory.path("file");
  Pmem2Map.open(path, { createNew: true, size: 16 * PAGE }).close();
  for (const count of [1, 10, 100, 1000, 10_000]) {
    using reservation = others(path, count);
    const size = count * PAGE;
    yield {
      name: `new view of ${count.toLocaleString("en")} maps, ${medium.name}`,
      against: null,
      goal: null,
      rounds: 31,
      theirs: null,
      ours: () => {
        // A view lasts as long as its maps.
        reservation.findLast()!.close();
        reservation.map(path, { length: PAGE, at: size - PAGE });
        const start = performance.now();
        if (reservation.view(0, size).length !== size) throw new Error("Short");
        return (performance.now() - start) * 1e6;
      },
    };
  }
}

/** Pages of a file, side by side. */
function others(path: string, count: number): Pmem2VmReservation {
  const reservation = new Pmem2VmReservation((count + 1) * PAGE);
  using source = Pmem2Source.open(path);
  for (let i = 0; i < count; i++) {
    const offset = (i & 15) * PAGE;
    reservation.map(source, { offset, length: PAGE, at: i * PAGE });
  }
  return reservation;
}
