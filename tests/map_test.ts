import {
  type MapOptions,
  type OpenOptions,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { forceGranularity } from "./support/force_granularity.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { mappingAt } from "./support/native_process.ts";
import { PAGE } from "./support/page.ts";

function anonymous(size = PAGE): Pmem2Map {
  using source = Pmem2Source.anonymous(size);
  return Pmem2Map.from(source);
}

/** Whether an address is mapped in this process. */
/** Whether a file is mapped there; reserved memory is nobody's. */
function isMapped(address: bigint): boolean {
  return (mappingAt(address)?.path ?? "") !== "";
}

Deno.test("Pmem2Map.open() opens and maps a file", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  using map = Pmem2Map.open(path);
  assertEquals(map.size, 5000);
  assertEquals(map.path, path);
  assertEquals(map.address % BigInt(PAGE), 0n);
  assertEquals(map.reservation, null);
  assertEquals(map.offset, 0);
  assertEquals(map.writable, true);
  assertEquals(map.closed, false);
  const bytes = new Uint8Array(5000);
  map.read(bytes);
  assertEquals(bytes, Deno.readFileSync(path));
});

Deno.test("Pmem2Map.open() takes a URL, and creates and grows a file", () => {
  using scratch = new Scratch();
  const url = new URL(`file://${scratch.path("a")}`);
  {
    using map = Pmem2Map.open(url, { createNew: true, size: 2 * PAGE });
    assertEquals(map.size, 2 * PAGE);
    assertEquals(map.path, scratch.path("a"));
    map.bytes[PAGE] = 1;
    map.persist();
  }
  using map = Pmem2Map.open(url, { size: 3 * PAGE, mode: 0o600 });
  assertEquals(map.size, 3 * PAGE);
  assertEquals(map.bytes[PAGE], 1);
  assertThrows(
    () => Pmem2Map.open(url, { createNew: true }),
    Deno.errors.AlreadyExists,
  );
});

Deno.test("Pmem2Map.open() opens the file for writing only if it has to", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", PAGE);
  const openedForWriting = (options: OpenOptions & MapOptions) => {
    const { openSync } = Deno;
    let write: boolean | undefined;
    Deno.openSync = (path, options) => {
      write = options!.write;
      return openSync(path, options);
    };
    try {
      Pmem2Map.open(path, options).close();
    } finally {
      Deno.openSync = openSync;
    }
    return write;
  };
  assertEquals(openedForWriting({}), true);
  assertEquals(openedForWriting({ write: true, sharing: "shared" }), true);
  assertEquals(openedForWriting({ write: false }), false);
  assertEquals(openedForWriting({ sharing: "private" }), false);
  assertEquals(openedForWriting({ write: false, create: true }), true);
  assertEquals(openedForWriting({ sharing: "private", size: PAGE }), true);
});

Deno.test("Pmem2Map.from() maps a source again and again", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("a", PAGE));
  using first = Pmem2Map.from(source);
  using second = Pmem2Map.from(source);
  assertNotEquals(first.address, second.address);
  first.bytes[5] = 77;
  assertEquals(second.bytes[5], 77);
  assertEquals(first.path, source.path);
});

Deno.test("Pmem2Map.from() gives every map of anonymous memory its own", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using first = Pmem2Map.from(source);
  using second = Pmem2Map.from(source);
  assertEquals(first.bytes.every((byte) => byte === 0), true);
  first.bytes[5] = 77;
  assertEquals(second.bytes[5], 0);
  assertEquals(first.granularity, "byte");
  assertEquals(first.path, null);
});

Deno.test("Pmem2Map.granularity is the map's own", () => {
  for (const granularity of ["byte", "cache-line", "page"] as const) {
    using pmem = emulatePmem(granularity);
    using map = Pmem2Map.open(pmem.path("a"), { create: true, size: PAGE });
    assertEquals(map.granularity, granularity);
    using copy = Pmem2Map.open(pmem.path("a"), { sharing: "private" });
    assertEquals(copy.granularity, "byte");
  }
});

Deno.test("Pmem2Map.unsafeHandle is a pointer of its own", () => {
  using first = anonymous();
  using second = anonymous();
  assert(first.unsafeHandle > 0n);
  assertNotEquals(first.unsafeHandle, second.unsafeHandle);
});

Deno.test("Pmem2Map.read() copies the bytes that are there", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  const file = Deno.readFileSync(path);
  using map = Pmem2Map.open(path, { write: false });
  for (
    const [offset, length] of [
      [0, 5000],
      [0, 1],
      [1, 7],
      [4095, 2],
      [4999, 1],
      [100, 64],
      [100, 65],
      [0, 0],
      [5000, 0],
    ] as const
  ) {
    const bytes = new Uint8Array(length);
    map.read(bytes, offset);
    assertEquals(bytes, file.slice(offset, offset + length));
  }
  const around = new Uint8Array(12).fill(255);
  map.read(around.subarray(4, 8), 4990);
  assertEquals([...around], [
    ...[255, 255, 255, 255],
    ...file.slice(4990, 4994),
    ...[255, 255, 255, 255],
  ]);
  const shared = new Uint8Array(new SharedArrayBuffer(100));
  map.read(shared, 4096);
  assertEquals([...shared], [...file.slice(4096, 4196)]);
});

Deno.test("Pmem2Map.read() refuses what is past the end", () => {
  using map = anonymous(5000);
  for (
    const [length, offset] of [[5001, 0], [1, 5000], [2, 4999], [0, 5001]]
  ) {
    const target = new Uint8Array(length!).fill(7);
    assertThrows(
      () => map.read(target, offset),
      RangeError,
      "Cannot read from the map as offset",
    );
    assert(target.every((byte) => byte === 7));
  }
});

Deno.test("Pmem2Map.persist() and flush() take a range or a view", () => {
  for (const granularity of ["byte", "cache-line", "page"] as const) {
    using pmem = forceGranularity(granularity);
    const path = pmem.path("a");
    using map = Pmem2Map.open(path, { create: true, size: 3 * PAGE + 5 });
    for (const method of ["persist", "flush"] as const) {
      map.bytes.fill(map.bytes[0]! + 1);
      map[method]();
      map[method](undefined, undefined);
      map[method](0);
      map[method](1, 1);
      map[method](3 * PAGE + 4, 1);
      map[method](PAGE - 1, PAGE + 2);
      map[method](0, map.size);
      map[method](map.size);
      map[method](map.size, 0);
      map[method](map.bytes);
      map[method](map.bytes.subarray(7, 7));
      map[method](new BigUint64Array(map.buffer, 8, 2));
      map[method](new DataView(map.buffer, 5, 9));
      map.drain();
      assertEquals(Deno.readFileSync(path), map.bytes);
    }
  }
});

Deno.test("Pmem2Map.persist() works on a map that can't be written to", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", PAGE);
  using readOnly = Pmem2Map.open(path, { write: false });
  using writeOnly = Pmem2Map.open(path, { read: false });
  for (const map of [readOnly, writeOnly]) {
    map.persist();
    map.flush(0, 1);
    map.drain();
  }
});

Deno.test("Pmem2Map.persist() and flush() refuse what is out of range", () => {
  using map = anonymous(5000);
  for (const method of ["persist", "flush"] as const) {
    for (
      const [offset, length] of [
        [5001, undefined],
        [5001, 0],
        [0, 5001],
        [4999, 2],
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [0, NaN],
        [2 ** 53, 0],
      ] as const
    ) {
      assertThrows(
        () => map[method](offset, length),
        RangeError,
        `Cannot ${method} as `,
      );
    }
  }
});

Deno.test("Pmem2Map.close() unmaps the memory, once", () => {
  using scratch = new Scratch();
  const map = Pmem2Map.open(scratch.file("a", 64 * PAGE));
  const { address } = map;
  assert(isMapped(address));
  map.close();
  assert(map.closed);
  assert(!isMapped(address));
  using other = anonymous();
  map.close();
  map[Symbol.dispose]();
  assert(!other.closed);
  other.read(new Uint8Array(1));
});

Deno.test("Pmem2Map is closed at the end of a using's block", () => {
  let escaped: Pmem2Map;
  {
    using map = anonymous();
    escaped = map;
    assertEquals(map.closed, false);
  }
  assertEquals(escaped.closed, true);
});

Deno.test("a map in a reservation gives its place back", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(2 * PAGE);
  const map = reservation.map(source, { at: PAGE });
  assertEquals(map.offset, PAGE);
  assertStrictEquals(map.reservation, reservation);
  map.close();
  assertEquals(reservation.findFirst(), null);
  assertEquals(reservation.map(source, { at: PAGE }).offset, PAGE);
});

Deno.test("a map can't be constructed", () => {
  for (const argument of [undefined, null, {}, 1n, 7]) {
    assertThrows(
      () => Reflect.construct(Pmem2Map, [argument]),
      TypeError,
      "Cannot construct a Pmem2Map: use Pmem2Map.open",
    );
    assertThrows(
      () => Reflect.construct(Pmem2Source, [argument]),
      TypeError,
      "Cannot construct a Pmem2Source: use Pmem2Source.open",
    );
  }
});

Deno.test("a map of a granularity that isn't there is refused whole", () => {
  using pmem = emulatePmem("page");
  const path = pmem.path("a");
  Deno.writeFileSync(path, new Uint8Array(PAGE));
  const { message } = assertRefused(
    () => Pmem2Map.open(path, { granularity: "byte" }),
    "PMEM2_E_GRANULARITY_NOT_SUPPORTED",
    "pmem2_map_new",
  );
  assertMatch(message, /granularity/);
});
