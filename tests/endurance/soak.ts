/**
 * Opens, maps, persists and closes for a long time, and sees whether anything
 * grows: descriptors, mappings, pthread keys, native memory or JavaScript's.
 *
 *     deno task test:soak [MAPS [RESERVATIONS]]
 *
 * What grows up to a bound, by design, is brought there first, or the bound is set:
 *
 * - V8's young generation grows to 64 MiB where much is allocated, and stays so. The
 *   task sets it to 1 MiB.
 * - Maps are placed in arenas, each of which is larger than the one before. The last one
 *   is used again and again.
 * - Maps that handed out views wait to be unmapped, 256 at most.
 *
 * @module
 */

import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";
import {
  freeKeys,
  mappings,
  memory,
  openDescriptors,
} from "../support/native_process.ts";
import { Scratch } from "../support/scratch.ts";
import { PAGE } from "../support/page.ts";

const maps = Number(Deno.args[0] ?? 200_000);
const reservations = Number(Deno.args[1] ?? 100_000);

const MIB = 2 ** 20;

/** Only where V8 was told to show it; else its heap says little. */
const { gc } = globalThis as { gc?: () => void };

/** What may not grow, and by how much it may all the same. */
const tolerances = {
  "descriptors": 0,
  // V8 and the allocator map and unmap as they like.
  "mappings": 40,
  "addresses (MiB)": 128,
  "pthread keys in use": 0,
  "resident (MiB)": 16,
  "JavaScript heap (MiB)": gc === undefined ? 32 : 1,
};
type Figures = Record<keyof typeof tolerances, number>;

function figures(): Figures {
  gc?.();
  gc?.();
  return {
    "descriptors": openDescriptors(),
    "mappings": mappings().length,
    "addresses (MiB)": memory("VmSize") / 1024,
    "pthread keys in use": 1024 - freeKeys(),
    "resident (MiB)": memory("VmRSS") / 1024,
    "JavaScript heap (MiB)": Deno.memoryUsage().heapUsed / MIB,
  };
}

/** One way or another from a file to durable bytes, and back. */
function mapCycle(path: string, i: number): void {
  if (i % 16 === 0) {
    assertThrows(() => Pmem2Map.open(path, { offset: 1 }), Pmem2Error);
  }
  if (i % 2 === 0) {
    using map = Pmem2Map.open(path);
    map.bytes[i % PAGE] = i;
    map.persist(map.bytes.subarray(0, 64));
  } else {
    using source = Pmem2Source.open(path);
    using map = Pmem2Map.from(source);
    map.fill(i % 256, 0, 64);
    map.persist(0, 64);
  }
}

const data = new Uint8Array(100);

function reservationCycle(source: Pmem2Source, i: number): void {
  const reservation = new Pmem2VmReservation(PAGE * (4 + i % 8));
  const first = reservation.map(source, { at: 2 * PAGE });
  reservation.map(source).write(data);
  for (const map of reservation) map.persist();
  if (i % 8 === 0) first.bytes[0] = i;
  if (i % 3 === 0) first.close();
  if (i % 4 === 0) {
    reservation.findFirst()!.close();
    reservation.shrink(0, PAGE);
  }
  if (i % 16 === 0) {
    assertThrows(() => reservation.map(source, { at: 1 }), Pmem2Error);
  }
  reservation.close({ maps: true });
  // One that outlives its maps must forget them.
  lasting.map(source).close();
}

/** As many as would use up libpmem2's keys, an error, and all is well. */
function manyAtOnce(source: Pmem2Source): void {
  const open = Array.from({ length: 1100 }, () => Pmem2Map.from(source));
  assertThrows(() => new Pmem2VmReservation(1), Pmem2Error);
  for (const map of open) map.close();
}

/** Uses up all arenas but the last one. */
function reachLastArena(): void {
  using source = Pmem2Source.anonymous(2 ** 30);
  const before = memory("VmSize");
  for (let i = 0; i < 24; i++) Pmem2Map.from(source).close();
  console.log(
    `Arenas: ${((memory("VmSize") - before) / 2 ** 20).toFixed(1)} GiB`,
  );
}

/** Does it all; whether nothing has grown. */
function soak(
  name: string,
  cycles: number,
  cycle: (i: number) => void,
): boolean {
  // What is compiled, cached and pooled once is no leak.
  for (let i = 0; i < Math.min(cycles / 4, 5000); i++) cycle(i);
  const before = figures();
  const start = performance.now();
  for (let i = 0; i < cycles; i++) cycle(i);
  const seconds = (performance.now() - start) / 1000;
  const after = figures();
  console.log(`${name}: ${cycles} cycles in ${seconds.toFixed(1)} s`);
  let steady = true;
  for (const key of Object.keys(tolerances) as (keyof Figures)[]) {
    const grown = after[key] - before[key];
    const within = grown <= tolerances[key];
    steady &&= within;
    const digits = key.endsWith(")") ? 1 : 0;
    console.log(
      `  ${key.padEnd(22)} ${before[key].toFixed(digits).padStart(9)} → ${
        after[key].toFixed(digits).padStart(9)
      }${within ? "" : "  GROWN"}`,
    );
  }
  return steady;
}

using scratch = new Scratch();
const path = scratch.file("file", PAGE);
using source = Pmem2Source.open(path);
using anonymous = Pmem2Source.anonymous(PAGE);
using lasting = new Pmem2VmReservation(4 * PAGE);
manyAtOnce(source);
reachLastArena();
const keys = freeKeys();
const steady = [
  soak("Maps", maps, (i) => mapCycle(path, i)),
  soak(
    "Reservations",
    reservations,
    (i) => reservationCycle(i % 2 === 0 ? source : anonymous, i),
  ),
];
manyAtOnce(anonymous);
assertEquals(freeKeys(), keys);
if (steady.includes(false)) Deno.exitCode = 1;
