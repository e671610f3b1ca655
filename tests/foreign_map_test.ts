import { type Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { ForeignCode } from "./support/foreign_code.ts";
import { run } from "./support/subprocess.ts";
import { assertRefused } from "./support/refusal.ts";
import { PAGE } from "./support/page.ts";

/** A reservation of 8 pages, and other native code that works on it. */
function setUp(): Disposable & {
  reservation: Pmem2VmReservation;
  foreign: ForeignCode;
  source: Pmem2Source;
} {
  const source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(8 * PAGE);
  const foreign = new ForeignCode();
  return {
    reservation,
    foreign,
    source,
    [Symbol.dispose]() {
      foreign[Symbol.dispose]();
      reservation[Symbol.dispose]();
      source.close();
    },
  };
}

Deno.test("a map that other native code made is found, walked and read", () => {
  using all = setUp();
  const { reservation, foreign, source } = all;
  const own = reservation.map(source, { at: 4 * PAGE });
  const pointer = foreign.map(reservation, PAGE, 5000);
  const map = reservation.findFirst()!;
  assertEquals(map.unsafeHandle, pointer);
  assertEquals([map.offset, map.size], [PAGE, 5000]);
  assertEquals(map.address, reservation.address + BigInt(PAGE));
  assertEquals(map.granularity, "byte");
  assertEquals([map.path, map.writable, map.closed], [null, true, false]);
  assertStrictEquals(map.reservation, reservation);
  assertStrictEquals(reservation.find(PAGE), map);
  assertStrictEquals(reservation.findNext(map), own);
  assertStrictEquals(reservation.findPrev(own), map);
  assertEquals([...reservation], [map, own]);
  assertEquals([...reservation.maps({ reverse: true })], [own, map]);
  assertEquals([...reservation.gaps()].map(({ offset }) => offset), [
    0,
    3 * PAGE,
    5 * PAGE,
  ]);
  map.write(new Uint8Array([1, 2, 3]), 4000);
  const bytes = new Uint8Array(3);
  map.read(bytes, 4000);
  assertEquals([...bytes], [1, 2, 3]);
  assertEquals(map.bytes[4001], 2);
  map.persist(map.bytes);
  assert(Deno.inspect(reservation).includes("2 maps"));
});

Deno.test("a map that other native code made is refused to close", () => {
  using all = setUp();
  const { reservation, foreign, source } = all;
  const own = reservation.map(source, { at: 4 * PAGE });
  foreign.map(reservation, PAGE, PAGE);
  const map = reservation.findFirst()!;
  for (const close of ["close", Symbol.dispose] as const) {
    assertThrows(
      () => map[close](),
      TypeError,
      "as it belongs to the native code that made it",
    );
  }
  assertThrows(
    () => reservation.close({ maps: true }),
    TypeError,
    "as its map at offset 4096 cannot be closed: it belongs to the native code",
  );
  assertEquals([map.closed, own.closed, reservation.closed], [
    false,
    false,
    false,
  ]);
  assertRefused(
    () => reservation.close(),
    "PMEM2_E_VM_RESERVATION_NOT_EMPTY",
  );
});

Deno.test("a map is gone once its maker has deleted it", () => {
  using all = setUp();
  const { reservation, foreign, source } = all;
  const uses: ((map: Pmem2Map) => unknown)[] = [
    (map) => map.size,
    (map) => map.address,
    (map) => map.unsafeHandle,
    (map) => map.read(new Uint8Array(1)),
    (map) => map.write(new Uint8Array(1)),
    (map) => map.fill(0),
    (map) => map.move(0, 1, 1),
    (map) => map.persist(),
    (map) => map.flush(),
    (map) => map.drain(),
    (map) => map.deepFlush(),
    (map) => map.bytes,
    (map) => reservation.findNext(map),
    (map) => reservation.findPrev(map),
  ];
  for (const use of uses) {
    const pointer = foreign.map(reservation, PAGE, PAGE);
    const map = reservation.findFirst()!;
    foreign.delete(pointer);
    assertThrows(() => use(map), TypeError, "as the map is closed");
    assertEquals(map.closed, true);
    map.close();
    assertEquals(reservation.findFirst(), null);
  }
  // The place is free again.
  assertEquals(reservation.map(source, { at: PAGE }).offset, PAGE);
});

Deno.test("closed tells that the maker has deleted a map", () => {
  using all = setUp();
  const { reservation, foreign } = all;
  const pointer = foreign.map(reservation, PAGE, PAGE);
  const map = reservation.findFirst()!;
  foreign.delete(pointer);
  assertEquals(Deno.inspect(map), "Pmem2Map (closed)");
  assertEquals(map.closed, true);
  const other = foreign.map(reservation, PAGE, PAGE);
  foreign.delete(other);
});

Deno.test("views of a map that its maker deleted are emptied", () => {
  using all = setUp();
  const { reservation, foreign } = all;
  const pointer = foreign.map(reservation, PAGE, PAGE);
  const map = reservation.findFirst()!;
  const { bytes, buffer } = map;
  foreign.delete(pointer);
  assertStrictEquals(map.bytes, bytes);
  assertEquals([bytes.length, buffer.byteLength], [0, 0]);

  const again = foreign.map(reservation, PAGE, PAGE);
  const views = reservation.findFirst()!.bytes;
  foreign.delete(again);
  reservation.close();
  assertEquals(views.length, 0);
});

Deno.test("a map in the place of one that is gone is another one", () => {
  using all = setUp();
  const { reservation, foreign, source } = all;
  // C gives both the same address for their struct.
  const pointer = foreign.map(reservation, PAGE, PAGE);
  const first = reservation.findFirst()!;
  first.bytes[0] = 1;
  foreign.delete(pointer);
  const longer = foreign.map(reservation, PAGE, 2 * PAGE);
  const second = reservation.findFirst()!;
  assertNotStrictEquals(second, first);
  assertEquals([first.closed, first.bytes.length], [true, 0]);
  assertEquals([second.closed, second.size], [false, 2 * PAGE]);
  foreign.delete(longer);

  foreign.map(reservation, PAGE, 2 * PAGE, { write: false });
  const third = reservation.findFirst()!;
  assertNotStrictEquals(third, second);
  assertEquals([third.writable, second.closed], [false, true]);
  assertThrows(() => third.write(new Uint8Array(1)), TypeError, "not writable");
  assertEquals(reservation.map(source).offset, 0);
  assertEquals([...reservation].length, 2);
});

Deno.test("a map that was noticed to be gone does not come back", () => {
  using all = setUp();
  const { reservation, foreign } = all;
  const pointer = foreign.map(reservation, PAGE, PAGE);
  const first = reservation.findFirst()!;
  foreign.delete(pointer);
  assertEquals(first.closed, true);
  foreign.map(reservation, PAGE, PAGE);
  const second = reservation.findFirst()!;
  assertNotStrictEquals(second, first);
  assertEquals([first.closed, second.closed], [true, false]);
  assertStrictEquals(reservation.findLast(), second);
});

Deno.test("a map of other native code has the protection that it was given", () => {
  using all = setUp();
  const { reservation, foreign } = all;
  const bytes = new Uint8Array(1);
  for (const read of [true, false]) {
    for (const write of [true, false]) {
      const pointer = foreign.map(reservation, PAGE, PAGE, { read, write });
      const map = reservation.findFirst()!;
      assertEquals(map.writable, write);
      if (read) map.read(bytes);
      else assertThrows(() => map.read(bytes), TypeError, "not readable");
      if (write) map.write(bytes);
      else assertThrows(() => map.write(bytes), TypeError, "not writable");
      foreign.delete(pointer);
    }
  }
});

Deno.test("a map of other native code is not one of ours that was closed", () => {
  using all = setUp();
  const { reservation, foreign, source } = all;
  for (let round = 0; round < 10; round++) {
    const own = reservation.map(source, { at: PAGE });
    own.close();
    // C gives it the address of the one that was just closed.
    const pointer = foreign.map(reservation, PAGE, PAGE);
    const map = reservation.findFirst()!;
    assertNotStrictEquals(map, own);
    assertEquals([map.closed, map.unsafeHandle], [false, pointer]);
    assertThrows(() => map.close(), TypeError, "native code that made it");
    foreign.delete(pointer);
    const again = reservation.map(source, { at: PAGE });
    assertStrictEquals(reservation.findFirst(), again);
    again.close();
  }
});

Deno.test("other native code may map and delete during a walk", () => {
  for (const reverse of [false, true]) {
    using all = setUp();
    const { reservation, foreign, source } = all;
    const pointers = new Map(
      [1, 3, 5].map((page) => [
        page * PAGE,
        foreign.map(reservation, page * PAGE, PAGE),
      ]),
    );
    const own = reservation.map(source, { at: 4 * PAGE });
    const offsets: number[] = [];
    for (const map of reservation.maps({ reverse })) {
      offsets.push(map.offset);
      const pointer = pointers.get(map.offset);
      if (pointer !== undefined) foreign.delete(pointer);
      else own.close();
    }
    const expected = [PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE];
    assertEquals(offsets, reverse ? expected.reverse() : expected);
    assertEquals([...reservation], []);
  }
});

Deno.test("a place that other native code has emptied is found again", () => {
  using all = setUp();
  const { reservation, foreign, source } = all;
  const pointer = foreign.map(reservation, 0, 2 * PAGE);
  using rest = Pmem2Source.anonymous(5 * PAGE);
  const map = reservation.map(rest);
  assertEquals(map.offset, 2 * PAGE);
  assertEquals(reservation.map(source).offset, 7 * PAGE);
  assertThrows(() => reservation.map(source), RangeError);
  foreign.delete(pointer);
  assertEquals(reservation.map(source).offset, 0);
});

Deno.test("a map that other native code has deleted keeps none that came later", async () => {
  const { code, stderr } = await run(
    `
    import { type Pmem2Map, Pmem2VmReservation } from "@pmem2/pmem2";
    import { assert } from "@std/assert";
    import { ForeignCode } from "./tests/support/foreign_code.ts";
    const { gc } = globalThis as unknown as { gc(): void };
    using foreign = new ForeignCode();
    using reservation = new Pmem2VmReservation(64 * 4096);
    let last = foreign.map(reservation, 0, 4096);
    const first = reservation.find(0)!;
    const seen: WeakRef<Pmem2Map>[] = [];
    for (let i = 1; i < 2000; i++) {
      const next = foreign.map(reservation, (i % 64) * 4096, 4096);
      const maps = [...reservation];
      reservation.findNext(maps[0]!);
      reservation.findPrev(maps[1]!);
      seen.push(...maps.map((map) => new WeakRef(map)));
      foreign.delete(last);
      assert(maps.some((map) => map.closed));
      last = next;
    }
    await new Promise((resolve) => setTimeout(resolve));
    gc();
    const alive = new Set(seen.map((ref) => ref.deref()));
    assert(alive.size < 500, \`\${alive.size} are alive\`);
    assert(first.closed);
    foreign.delete(last);
  `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals(code, 0, stderr);
});
