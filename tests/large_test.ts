import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { dirtyBytes, dirtyPagesObstacle } from "./support/dirty_pages.ts";
import { forceGranularity } from "./support/force_granularity.ts";
import { Scratch } from "./support/scratch.ts";
import { testUnless } from "./support/test_unless.ts";

// Of address space: the file has holes, and of the memory hardly a page is used.
const SIZE = 6 * 2 ** 30;
const FAR = 2 ** 32;
/** Where something is stored, and what 32 bits would make of it. */
const places = [FAR - 1, FAR, FAR + 4097, SIZE - 4096, SIZE - 8];

/** Makes a file without blocks; its path. */
function sparseFile(scratch: Scratch, name: string, size = SIZE): string {
  const path = scratch.path(name);
  using file = Deno.openSync(path, { createNew: true, write: true });
  file.truncateSync(size);
  return path;
}

/** Reads from the file, not through a map. */
function readFile(path: string, offset: number, length: number): number[] {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  assertEquals(file.readSync(bytes), length);
  return [...bytes];
}

function read(map: Pmem2Map, offset: number, length: number): number[] {
  const bytes = new Uint8Array(length);
  map.read(bytes, offset);
  return [...bytes];
}

for (const granularity of ["byte", "cache-line", "page"] as const) {
  Deno.test(`a map of 6 GiB of a file is right past 4 GiB at ${granularity} granularity`, async () => {
    using scratch = new Scratch();
    using _pmem = forceGranularity(granularity, {
      directory: scratch.directory,
    });
    const path = sparseFile(scratch, "file");
    using map = Pmem2Map.open(path);
    assertEquals([map.size, map.granularity], [SIZE, granularity]);

    for (const how of [undefined, { temporal: false }, { flush: false }]) {
      for (const [i, at] of places.entries()) {
        map.write(Uint8Array.of(10 + i, 20 + i, 30 + i), at, how);
        assertEquals(read(map, at, 3), [10 + i, 20 + i, 30 + i]);
        assertEquals(readFile(path, at, 3), [10 + i, 20 + i, 30 + i]);
        map.fill(99, at + 1, 1, how);
        assertEquals(readFile(path, at, 3), [10 + i, 99, 30 + i]);
        map.move(at + 4, at, 3, how);
        assertEquals(readFile(path, at + 4, 3), [10 + i, 99, 30 + i]);
        map.move(100, at, 3, how);
        assertEquals(readFile(path, 100, 3), [10 + i, 99, 30 + i]);
        map.move(at, 200, 3, how);
        assertEquals(readFile(path, at, 3), [0, 0, 0]);
        map.move(at, 100, 3, how);
        map.persist(at, 3);
        map.flush(at, 3);
        map.drain();
        map.deepFlush(at, 3);
        await map.persistAsync(at, 3);
        await map.deepFlushAsync(at, 3);
      }
    }
    // To the end, by default.
    map.fill(7, SIZE - 4);
    assertEquals(readFile(path, SIZE - 5, 5).slice(1), [7, 7, 7, 7]);
    map.persist(SIZE - 4);
    map.deepFlush(SIZE - 4);
    // Nothing went where 32 bits would have put it.
    for (const at of places) {
      assertEquals(readFile(path, at % FAR + 5000, 8), Array(8).fill(0));
      if (at > FAR) {
        assertEquals(readFile(path, at - FAR, 8), Array(8).fill(0));
      }
    }
    assertEquals(readFile(path, 0, 8), Array(8).fill(0));
    const { blocks } = Deno.statSync(path);
    assert(blocks! * 512 < 2 ** 24, `${blocks} blocks`);
  });
}

testUnless(
  dirtyPagesObstacle(),
  "what is flushed past 4 GiB is what lies there",
  async () => {
    using scratch = new Scratch();
    using _pmem = forceGranularity("page", { directory: scratch.directory });
    using source = Pmem2Source.open(sparseFile(scratch, "file"));
    const page = source.alignment;
    using map = Pmem2Map.from(source);
    const ways: [string, (offset: number, length: number) => unknown][] = [
      ["persist", (offset, length) => map.persist(offset, length)],
      ["flush", (offset, length) => map.flush(offset, length)],
      ["deepFlush", (offset, length) => map.deepFlush(offset, length)],
      ["persistAsync", (offset, length) => map.persistAsync(offset, length)],
      [
        "deepFlushAsync",
        (offset, length) => map.deepFlushAsync(offset, length),
      ],
      ["write", (offset, length) => map.write(new Uint8Array(length), offset)],
      ["fill", (offset, length) => map.fill(0, offset, length)],
      ["move", (offset, length) => map.move(offset, FAR, length)],
    ];
    for (const [name, act] of ways) {
      map.fill(1, 0, 1, { flush: false });
      map.fill(1, FAR, 1, { flush: false });
      map.fill(1, FAR + 2 ** 30, 1, { flush: false });
      assertEquals(dirtyBytes(map.address), 3 * page, name);
      await act(FAR, 1);
      assertEquals(dirtyBytes(map.address), 2 * page, name);
      await act(FAR + 2 ** 30, page);
      assertEquals(dirtyBytes(map.address), page, name);
      map.persist(0, 1);
      assertEquals(dirtyBytes(map.address), 0, name);
    }
    // One range of more than 4 GiB.
    map.fill(1, 0, 1, { flush: false });
    map.fill(1, FAR + 2 ** 30, 1, { flush: false });
    map.persist(page, FAR + 2 ** 30);
    assertEquals(dirtyBytes(map.address), page);
    map.persist();
    assertEquals(dirtyBytes(map.address), 0);
  },
);

Deno.test("the views of a map of 6 GiB reach past 4 GiB", () => {
  using scratch = new Scratch();
  const path = sparseFile(scratch, "file");
  using map = Pmem2Map.open(path);
  const { bytes, buffer } = map;
  assertEquals([bytes.length, buffer.byteLength], [SIZE, SIZE]);
  for (const at of places) {
    bytes[at] = 42;
    assertEquals(readFile(path, at, 1), [42]);
    new DataView(buffer, at, 8).setUint16(2, 0x0102);
    assertEquals(readFile(path, at + 2, 2), [1, 2]);
  }
  // A view tells its place.
  const view = new Uint32Array(buffer, FAR + 4096, 4);
  view[3] = 7;
  map.persist(view);
  map.flush(view);
  map.deepFlush(view);
  assertEquals(readFile(path, FAR + 4096 + 12, 1), [7]);
  map.write(bytes.subarray(FAR + 4096 + 12, FAR + 4096 + 13), FAR + 9000);
  assertEquals(readFile(path, FAR + 9000, 1), [7]);
  map.close();
  assertEquals([bytes.length, view.length, buffer.byteLength], [0, 0, 0]);
});

Deno.test("offsets past the end of a map of 6 GiB are refused", async () => {
  using scratch = new Scratch();
  using map = Pmem2Map.open(sparseFile(scratch, "file"));
  const byte = Uint8Array.of(1);
  const actions: (() => unknown)[] = [
    () => map.read(byte, SIZE),
    () => map.write(byte, SIZE),
    () => map.write(byte, SIZE + FAR),
    () => map.move(SIZE, 0, 1),
    () => map.move(0, SIZE, 1),
    () => map.move(FAR, 0, FAR),
    () => map.fill(1, SIZE - 1, 2),
    () => map.fill(1, FAR, FAR),
    () => map.persist(FAR, FAR),
    () => map.flush(SIZE + 1),
    () => map.deepFlush(FAR, FAR),
  ];
  for (const action of actions) assertThrows(action, RangeError);
  for (const name of ["persistAsync", "deepFlushAsync"] as const) {
    const [result] = await Promise.allSettled([map[name](FAR, FAR)]);
    assertEquals(result!.status, "rejected");
  }
});

Deno.test("a source of 6 GiB is read and written past 4 GiB, and mapped from there", () => {
  using scratch = new Scratch();
  const path = sparseFile(scratch, "file");
  using source = Pmem2Source.open(path);
  assertEquals(source.size, SIZE);
  for (const at of places) {
    source.write(Uint8Array.of(5, 6), at);
    assertEquals(readFile(path, at, 2), [5, 6]);
    const back = new Uint8Array(2);
    source.read(back, at);
    assertEquals([...back], [5, 6]);
  }
  assertThrows(() => source.write(new Uint8Array(1), SIZE), RangeError);
  assertEquals(source.size, SIZE);
  const offset = FAR + 2 ** 30;
  using map = Pmem2Map.from(source, { offset, length: 2 ** 21 });
  map.write(Uint8Array.of(1, 2), 4096);
  assertEquals(readFile(path, offset + 4096, 2), [1, 2]);
  using rest = Pmem2Map.from(source, { offset });
  assertEquals(rest.size, SIZE - offset);
  assertEquals(read(rest, 4096, 2), [1, 2]);
});

/** Whether the kernel promises so much memory that it may not have. */
function memoryObstacle(): string | null {
  const policy = Deno.readTextFileSync("/proc/sys/vm/overcommit_memory").trim();
  const { total, swapTotal } = Deno.systemMemoryInfo();
  if (policy === "1" || policy === "0" && total + swapTotal > SIZE) return null;
  return "the kernel promises no 6 GiB";
}

testUnless(
  memoryObstacle(),
  "a map of 6 GiB of anonymous memory is right past 4 GiB",
  async () => {
    using source = Pmem2Source.anonymous(SIZE);
    using map = Pmem2Map.from(source);
    assertEquals([source.size, map.size], [SIZE, SIZE]);
    for (const [i, at] of places.entries()) {
      map.write(Uint8Array.of(1 + i, 2, 3), at);
      map.fill(9, at + 1, 1);
      map.move(at + 3, at, 2);
      assertEquals(read(map, at, 5), [1 + i, 9, 3, 1 + i, 9]);
      map.persist(at, 5);
      await map.persistAsync(at, 5);
    }
    assertEquals(map.bytes[FAR + 4097], 3);
    assertEquals(read(map, 0, 8), Array(8).fill(0));
    assertEquals(read(map, 4097, 8), Array(8).fill(0));
  },
);

Deno.test("a reservation of 16 GiB finds its maps and gaps past 4 GiB", () => {
  using scratch = new Scratch();
  const MIB = 2 ** 20;
  using small = Pmem2Source.open(sparseFile(scratch, "small", 2 * MIB));
  using large = Pmem2Source.open(sparseFile(scratch, "large"));
  const size = 4 * FAR;
  using reservation = new Pmem2VmReservation(size);
  assertEquals(reservation.size, size);
  const far = reservation.map(small, { at: FAR + 2 * MIB });
  const huge = reservation.map(large, { at: 2 * FAR });
  const last = reservation.map(small, { at: size - 2 * MIB });
  const first = reservation.map(small);
  assertEquals(
    [first, far, huge, last].map(({ offset }) => offset),
    [0, FAR + 2 * MIB, 2 * FAR, size - 2 * MIB],
  );
  for (const map of [far, huge, last]) {
    assertEquals(map.address, reservation.address + BigInt(map.offset));
  }
  assertEquals([...reservation], [first, far, huge, last]);
  assertEquals([...reservation.gaps()], [
    { offset: 2 * MIB, size: FAR },
    { offset: FAR + 4 * MIB, size: FAR - 4 * MIB },
    { offset: 2 * FAR + SIZE, size: 2 * FAR - SIZE - 2 * MIB },
  ]);

  assertEquals(reservation.find(FAR + 2 * MIB), far);
  assertEquals(reservation.find(FAR + 4 * MIB - 1), far);
  assertEquals(reservation.find(FAR + 4 * MIB), null);
  assertEquals(reservation.find(2 * MIB), null, "where 32 bits would look");
  assertEquals(reservation.find(2 * MIB, FAR), null);
  assertEquals(reservation.find(2 * MIB, FAR + 1), far);
  assertEquals(reservation.find(2 * FAR + SIZE - 1), huge);
  assertEquals(reservation.find(2 * FAR + SIZE), null);
  assertEquals(reservation.find(size - 1), last);
  assertEquals(reservation.find(size), null);
  assertEquals(reservation.findNext(far), huge);
  assertEquals(reservation.findPrev(last), huge);
  const walk = (
    from: number,
    to?: number,
  ) => [...reservation.maps({ from, ...(to === undefined ? {} : { to }) })];
  assertEquals(walk(FAR + 4 * MIB), [huge, last]);
  assertEquals(walk(1, 2 * FAR), [first, far]);

  // What is longer than any gap, and what only the far one holds.
  assertThrows(() => reservation.map(large), RangeError, "gap");
  huge.close();
  const again = reservation.map(large);
  assertEquals(again.offset, FAR + 4 * MIB);
  again.write(Uint8Array.of(3), FAR + 5);
  assertEquals(readFile(large.path!, FAR + 5, 1), [3]);
  far.write(Uint8Array.of(4), 0);
  assertEquals(read(last, 0, 1), [4]);
  reservation.close({ maps: true });
});
