/**
 * Goes to the limits: tens of thousands of maps in one reservation, and the
 * kernel's own limit of mappings.
 *
 *     deno run -A --v8-flags=… tests/endurance/limits.ts [MAPS]
 *
 * V8 itself ends the process if it needs memory where there is none. With the
 * flags that are in subprocess.ts it needs none for a while.
 *
 * @module
 */

import {
  Pmem2Error,
  type Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import {
  mappings,
  memory,
  native,
  nativeMaps,
} from "../support/native_process.ts";
import { Random } from "../support/random.ts";
import { Scratch } from "../support/scratch.ts";
import { PAGE } from "../support/page.ts";

const count = Number(Deno.args[0] ?? 60_000);
const limit = Number(Deno.readTextFileSync("/proc/sys/vm/max_map_count"));
/** What V8, the allocator and this program need beside the maps. */
const SPARE = 3000;

/** Milliseconds that an action takes, and what it returns. */
function timed<T>(name: string, action: () => T): T {
  const start = performance.now();
  const result = action();
  const ms = performance.now() - start;
  console.log(`${name.padEnd(44)} ${ms.toFixed(0).padStart(7)} ms`);
  return result;
}

/** Alternating pages of two sources, as the kernel joins what is alike. */
function fill(
  reservation: Pmem2VmReservation,
  sources: Pmem2Source[],
  count: number,
): Pmem2Map[] {
  const maps: Pmem2Map[] = [];
  for (let i = 0; i < count; i++) {
    maps.push(reservation.map(sources[i % sources.length]!, { at: i * PAGE }));
  }
  return maps;
}

function manyMaps(count: number, sources: Pmem2Source[]): void {
  if (count > limit - SPARE) {
    console.log(`${count} maps are too many for vm.max_map_count = ${limit}`);
    count = limit - SPARE;
  }
  const before = memory("VmSize");
  const reservation = new Pmem2VmReservation(count * PAGE);
  const maps = timed(
    `${count} maps with \`at\``,
    () => fill(reservation, sources, count),
  );
  console.log(`  ${mappings().length} mappings in the process`);

  const walked = timed("walk forwards", () => [...reservation]);
  assertEquals(walked.length, count);
  assert(walked.every((map, i) => map === maps[i]));
  const back = timed(
    "walk backwards",
    () => [...reservation.maps({ reverse: true })],
  );
  assert(back.every((map, i) => map === maps[count - 1 - i]));
  timed("find each", () => {
    for (let i = 0; i < count; i++) {
      assert(reservation.find(i * PAGE) === maps[i]);
    }
  });
  timed("persist each", () => {
    for (const map of reservation) map.persist(0, 64);
  });
  assertEquals([...reservation.gaps()], []);
  assertEquals(nativeMaps(reservation.unsafeHandle).length, count);

  const random = new Random(1);
  const gone = new Set<number>();
  timed("close a tenth at random", () => {
    while (gone.size < count / 10) {
      const i = random.below(count);
      if (gone.has(i)) continue;
      gone.add(i);
      maps[i]!.close();
    }
  });
  timed("fill the gaps again, without `at`", () => {
    for (const i of [...gone].sort((a, b) => a - b)) {
      maps[i] = reservation.map(sources[i % sources.length]!);
      assertEquals(maps[i]!.offset, i * PAGE);
    }
  });
  timed("close all", () => reservation.close({ maps: true }));
  assert(maps.every(({ closed }) => closed));
  checkGone(before);
}

/** Nothing of the maps is mapped any more; V8 may have grown. */
function checkGone(before: number): void {
  const left = mappings()
    .filter(({ path }) => path.startsWith(`${scratch.directory}/`));
  assertEquals(left, []);
  assert(memory("VmSize") - before < 2 ** 18, "addresses were left");
}

/**
 * Mappings of somebody else's, nearly as many as the kernel allows. Not maps: at
 * the limit V8 itself can't go on for long, with so many objects to look after.
 */
function crowd(): Disposable {
  const { mmap, munmap } = native();
  const PRIVATE_ANONYMOUS = 0x22, FIXED = 0x10, PROT_READ = 1;
  const size = BigInt(limit * PAGE);
  const area = mmap(0n, size, 0, PRIVATE_ANONYMOUS, -1, 0n);
  let page = area;
  // V8 takes some for itself meanwhile, so the last ones are counted anew.
  for (const left of [2000, LEFT]) {
    const end = page + BigInt((limit - countMappings() - left) * PAGE);
    // Every other page, so that each counts twice.
    for (; page < end; page += BigInt(2 * PAGE)) {
      mmap(page, BigInt(PAGE), PROT_READ, PRIVATE_ANONYMOUS | FIXED, -1, 0n);
    }
  }
  return {
    [Symbol.dispose]: () => {
      munmap(area, size);
    },
  };
}

/** How many mappings are left then. */
const LEFT = 40;

/** Without an object for each of them. */
function countMappings(): number {
  const newline = 10;
  const text = Deno.readFileSync("/proc/self/maps");
  let count = 0;
  for (let at = text.indexOf(newline); at >= 0; count++) {
    at = text.indexOf(newline, at + 1);
  }
  return count;
}

/** Maps until the kernel refuses; then everything is whole, and can be closed. */
function toTheLimit(source: Pmem2Source): void {
  const before = memory("VmSize");
  const reservation = new Pmem2VmReservation(LEFT * 4 * PAGE);
  const maps: Pmem2Map[] = [];
  let refusal: unknown;
  let stuck = 0;
  {
    using _others = timed(`all mappings but ${LEFT}`, crowd);
    try {
      for (let at = 0;; at += 2 * PAGE) {
        maps.push(reservation.map(source, { at }));
      }
    } catch (error) {
      refusal = error;
    }
    // At the limit nothing is lost, whether it can be closed there or not.
    let i = 0;
    for (const map of reservation) assert(map === maps[i++]);
    assertEquals(i, maps.length);
    for (const map of maps.slice(0, 8)) {
      try {
        map.close();
      } catch (error) {
        assertEquals((error as Pmem2Error).code, "ENOMEM");
        assert(!map.closed);
        stuck++;
      }
    }
  }
  if (!(refusal instanceof Pmem2Error)) throw refusal;
  assertEquals([refusal.code, refusal.call], ["ENOMEM", "pmem2_map_new"]);
  assert(maps.length > 0);
  console.log(
    `  refused after ${maps.length} maps more; ${stuck} of 8 could not be closed there`,
  );
  const byte = new Uint8Array(1);
  for (const map of reservation) map.read(byte);
  reservation.close({ maps: true });
  assert(maps.every(({ closed }) => closed));
  checkGone(before);
  using again = new Pmem2VmReservation(PAGE);
  again.map(source).fill(1);
}

using scratch = new Scratch();
using first = Pmem2Source.open(scratch.file("first", PAGE));
using second = Pmem2Source.open(scratch.file("second", PAGE));
manyMaps(count, [first, second]);
toTheLimit(first);
