/**
 * What memory_test.ts checks of `write`, `move` and `fill` both with libffi and,
 * in a process that may not open it, without.
 *
 * @module
 */

import {
  type Granularity,
  Pmem2Map,
  Pmem2Source,
  type StoreOptions,
} from "@pmem2/pmem2";
import { forceGranularity } from "./force_granularity.ts";
import { assert, assertEquals, AssertionError } from "@std/assert";
import { Buffer } from "node:buffer";
import { dirtyBytes } from "./dirty_pages.ts";
import { type RecordedCall, Recorder } from "./recorder.ts";

export const granularities: Granularity[] = ["byte", "cache-line", "page"];
const choices = [undefined, true, false];

/** Every combination of flags. */
export const combinations: StoreOptions[] = [true, false].flatMap((flush) =>
  [true, false].flatMap((drain) =>
    choices.flatMap((temporal) =>
      choices.map((writeCombining) => ({
        flush,
        drain,
        temporal,
        writeCombining,
      }))
    )
  )
);

interface Store {
  name: "write" | "move" | "fill";
  /** Stores to [`offset`, `offset + length`). */
  run(
    map: Pmem2Map,
    offset: number,
    length: number,
    options: StoreOptions,
  ): void;
  /** The same to an ordinary array. */
  expect(bytes: Uint8Array, offset: number, length: number): void;
}

const pattern = Uint8Array.from({ length: 65_536 }, (_, i) => 1 + i % 253);

/** The three operations; `move` takes from where the map starts. */
export const stores: Store[] = [{
  name: "write",
  run: (map, offset, length, options) =>
    map.write(pattern.subarray(7, 7 + length), offset, options),
  expect: (bytes, offset, length) =>
    bytes.set(pattern.subarray(7, 7 + length), offset),
}, {
  name: "move",
  run: (map, offset, length, options) => map.move(offset, 3, length, options),
  expect: (bytes, offset, length) => bytes.copyWithin(offset, 3, 3 + length),
}, {
  name: "fill",
  run: (map, offset, length, options) =>
    map.fill(0xa5, offset, length, options),
  expect: (bytes, offset, length) => bytes.fill(0xa5, offset, offset + length),
}];

/** Asserts that two arrays are the same; faster than `assertEquals`. */
export function assertSameBytes(
  actual: Uint8Array,
  expected: Uint8Array,
  what: string,
): void {
  assertEquals(actual.length, expected.length, what);
  if (
    Buffer.from(actual.buffer, actual.byteOffset, actual.length).equals(
      expected,
    )
  ) return;
  const i = expected.findIndex((byte, i) => byte !== actual[i]);
  throw new AssertionError(
    `${what}: byte ${i} is ${actual[i]} and not ${expected[i]}`,
  );
}

const show = (...parts: unknown[]) => JSON.stringify(parts);

/** Every combination stores the same bytes, there and nowhere else. */
export function checkBytes(directory: string, granularity: Granularity): void {
  using pmem = forceGranularity(granularity, { directory });
  const path = pmem.path("file");
  Deno.writeFileSync(path, pattern.subarray(0, 12_288));
  const expected = Deno.readFileSync(path);
  const actual = new Uint8Array(expected.length);
  {
    using map = Pmem2Map.open(path);
    assertEquals(map.granularity, granularity);
    for (const { name, run, expect } of stores) {
      for (const options of combinations) {
        for (const [offset, length] of [[1, 1], [61, 200], [2049, 8192]]) {
          run(map, offset!, length!, options);
          expect(expected, offset!, length!);
          map.read(actual);
          assertSameBytes(
            actual,
            expected,
            show(name, options, offset, length),
          );
        }
        map.write(pattern.subarray(0, map.size));
        expected.set(pattern.subarray(0, map.size));
      }
    }
    run(map, 100, 50);
  }
  assertSameBytes(Deno.readFileSync(path), expected, "the file");

  function run(map: Pmem2Map, offset: number, length: number): void {
    map.fill(1, offset, length, { drain: false });
    map.drain();
    expected.fill(1, offset, offset + length);
  }
}

/** At page granularity what is flushed is clean, and nothing else is. */
export function checkPages(directory: string): void {
  using pmem = forceGranularity("page", { directory });
  const page = pageSize();
  using map = Pmem2Map.open(pmem.path("file"), {
    createNew: true,
    size: 8 * page,
  });
  map.fill(1);
  for (const { name, run } of stores) {
    for (const options of combinations) {
      const what = show(name, options);
      map.persist();
      assertEquals(dirtyBytes(map.address), 0, what);
      // Another page is dirty too, and stays so.
      map.fill(2, 7 * page, 1, { flush: false });
      run(map, 2 * page + 5, page, options);
      if (options.drain === false) map.drain();
      const left = options.flush ? page : 3 * page;
      assertEquals(dirtyBytes(map.address), left, what);
    }
  }
}

/** At the finer granularities the CPU is all there is to wait for. */
export function checkNoSync(directory: string): void {
  for (const granularity of ["byte", "cache-line"] as const) {
    using pmem = forceGranularity(granularity, { directory });
    const page = pageSize();
    using map = Pmem2Map.open(pmem.path("file"), {
      createNew: true,
      size: 4 * page,
    });
    for (const { name, run } of stores) {
      for (const options of combinations) run(map, page, page, options);
      assert(dirtyBytes(map.address) >= page, show(granularity, name));
    }
  }
}

function pageSize(): number {
  using source = Pmem2Source.anonymous(1);
  return source.alignment;
}

/** PMEM2_F_MEM_*, from libpmem2.h. */
const MEM = {
  NODRAIN: 1 << 0,
  NONTEMPORAL: 1 << 1,
  TEMPORAL: 1 << 2,
  WC: 1 << 3,
  WB: 1 << 4,
  NOFLUSH: 1 << 5,
};
const HINTS = MEM.NONTEMPORAL | MEM.TEMPORAL | MEM.WC | MEM.WB;

function hintsOf({ temporal, writeCombining }: StoreOptions): number {
  return (temporal === undefined
    ? 0
    : temporal
    ? MEM.TEMPORAL
    : MEM.NONTEMPORAL) |
    (writeCombining === undefined ? 0 : writeCombining ? MEM.WC : MEM.WB);
}

/** What is msync'd of a range: its pages, the last one as far as wanted. */
function syncOf(address: bigint, length: number): RecordedCall {
  const before = Number(address % BigInt(pageSize()));
  const MS_SYNC = 4;
  return {
    name: "msync",
    address: address - BigInt(before),
    length: before + length,
    flags: MS_SYNC,
  };
}

/** Each way to flush calls the function that it is named after, once, or msync. */
function checkFlushes(map: Pmem2Map, recorder: Recorder): void {
  const [address, length] = [map.address + 70n, 5000];
  const none = { address: 0n, length: 0, flags: 0 };
  map.persist();
  recorder.take();
  map.persist(70, 5000);
  map.flush(70, 5000);
  map.drain();
  const sync = syncOf(address, length);
  assertEquals(
    recorder.take(),
    map.granularity === "page" ? [sync, sync] : [
      { name: "persist", address, length, flags: 0 },
      { name: "flush", address, length, flags: 0 },
      { name: "drain", ...none },
    ],
    map.granularity,
  );
}

const isCopy = ({ name }: RecordedCall) => name.startsWith("mem");

/**
 * What is flushed and whether it's waited for, by libpmem2's functions, is what
 * the options say, at each granularity. PMEM2_LIBRARY is the recorder.
 *
 * @param libffi Whether hints can be passed on.
 */
export function checkCalls(directory: string, libffi: boolean): void {
  const recorder = new Recorder();
  // What memmove_fn does is right for memcpy_fn, too.
  const functions = {
    write: ["memcpy", "memmove"],
    move: ["memmove"],
    fill: ["memset"],
  };
  for (const granularity of granularities) {
    using pmem = forceGranularity(granularity, { directory });
    using map = Pmem2Map.open(pmem.path("file"), {
      createNew: true,
      size: 65_536,
    });
    checkFlushes(map, recorder);
    for (const { name, run } of stores) {
      for (const options of combinations) {
        for (const [offset, length] of [[5, 3], [70, 200], [4097, 20_000]]) {
          recorder.take();
          run(map, offset!, length!, options);
          const calls = recorder.take();
          const what = show(granularity, name, options, offset);
          const address = map.address + BigInt(offset!);

          if (granularity === "page") {
            const synced = [syncOf(address, length!)];
            assertEquals(calls, options.flush ? synced : [], what);
            continue;
          }
          const flushes = calls.filter((call) =>
            call.name === "persist" || call.name === "flush" ||
            isCopy(call) && !(call.flags & MEM.NOFLUSH)
          );
          assertEquals(
            flushes.map(({ address, length }) => [address, length]),
            options.flush ? [[address, length]] : [],
            what,
          );
          const drains = calls.filter((call) =>
            call.name === "persist" || call.name === "drain" ||
            isCopy(call) && !(call.flags & (MEM.NOFLUSH | MEM.NODRAIN))
          );
          assertEquals(
            drains.length,
            options.flush && options.drain ? 1 : 0,
            what,
          );
          const hints = hintsOf(options);
          const copies = calls.filter(isCopy);
          if (libffi && hints !== 0) assertEquals(copies.length, 1, what);
          for (const copy of copies) {
            assert(functions[name].includes(copy.name), what);
            assertEquals(copy.flags & HINTS, hints, what);
          }
          assertEquals(copies.length > 0 && !libffi, false, what);
        }
      }
    }
  }
}

if (import.meta.main) {
  const [check, directory] = Deno.args;
  if (check === "calls") {
    checkCalls(directory!, Deno.args[2] === "libffi");
  } else {
    for (const granularity of granularities) {
      checkBytes(directory!, granularity);
    }
    if (check === "pages") {
      checkPages(directory!);
      checkNoSync(directory!);
    }
  }
  console.log("checked");
}
