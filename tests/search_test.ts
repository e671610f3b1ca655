import { type Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

const PAGES = 16;
const SIZE = PAGES * PAGE;

/** A reservation of 16 pages with maps of anonymous memory: [page, pages]. */
function reserve(...places: [number, number][]): Disposable & {
  reservation: Pmem2VmReservation;
  maps: Pmem2Map[];
} {
  const reservation = new Pmem2VmReservation(SIZE);
  const maps = places.map(([page, pages]) => {
    using source = Pmem2Source.anonymous(pages * PAGE);
    return reservation.map(source, { at: page * PAGE });
  });
  return {
    reservation,
    maps,
    [Symbol.dispose]: () => reservation[Symbol.dispose](),
  };
}

Deno.test("the searches find nothing in an empty reservation", () => {
  using made = reserve();
  const { reservation } = made;
  assertEquals(reservation.findFirst(), null);
  assertEquals(reservation.findLast(), null);
  for (const offset of [0, 1, SIZE - 1, SIZE, SIZE + 1]) {
    for (const length of [undefined, 0, 1, SIZE, Number.MAX_SAFE_INTEGER]) {
      assertEquals(reservation.find(offset, length), null);
    }
  }
});

Deno.test("the searches find the only map", () => {
  for (const page of [0, 7, PAGES - 1]) {
    using made = reserve([page, 1]);
    const { reservation, maps: [map] } = made;
    assertStrictEquals(reservation.findFirst(), map);
    assertStrictEquals(reservation.findLast(), map);
    assertEquals(reservation.findNext(map!), null);
    assertEquals(reservation.findPrev(map!), null);
    assertStrictEquals(reservation.find(0, SIZE), map);
  }
});

Deno.test("the searches find the only map if it takes all of it", () => {
  using made = reserve([0, PAGES]);
  const { reservation, maps: [map] } = made;
  assertStrictEquals(reservation.findFirst(), map);
  assertStrictEquals(reservation.findLast(), map);
  assertStrictEquals(reservation.find(SIZE - 1), map);
  assertEquals(reservation.findNext(map!), null);
});

Deno.test("findFirst(), findNext(), findPrev() and findLast() go in address order", () => {
  using made = reserve([9, 2], [0, 1], [14, 2], [5, 1], [1, 3]);
  const { reservation, maps } = made;
  const ordered = maps.toSorted((a, b) => a.offset - b.offset);
  assertStrictEquals(reservation.findFirst(), ordered[0]);
  assertStrictEquals(reservation.findLast(), ordered[4]);
  // Twice: the second time the answer is guessed.
  for (let round = 0; round < 2; round++) {
    ordered.forEach((map, i) => {
      assertStrictEquals(reservation.findNext(map), ordered[i + 1] ?? null);
      assertStrictEquals(reservation.findPrev(map), ordered[i - 1] ?? null);
    });
  }
});

Deno.test("findNext() and findPrev() follow every change", () => {
  using made = reserve([0, 1], [8, 1]);
  const { reservation, maps: [first, last] } = made;
  using source = Pmem2Source.anonymous(PAGE);
  for (let round = 0; round < 3; round++) {
    assertStrictEquals(reservation.findNext(first!), last);
    assertStrictEquals(reservation.findPrev(last!), first);
    const middle = reservation.map(source, { at: (3 + round) * PAGE });
    assertStrictEquals(reservation.findNext(first!), middle);
    assertStrictEquals(reservation.findPrev(last!), middle);
    assertStrictEquals(reservation.findNext(middle), last);
    assertStrictEquals(reservation.findPrev(middle), first);
    middle.close();
  }
  last!.close();
  assertEquals(reservation.findNext(first!), null);
  const again = reservation.map(source, { at: 8 * PAGE });
  assertStrictEquals(reservation.findNext(first!), again);
  assertStrictEquals(reservation.findLast(), again);
  first!.close();
  assertEquals(reservation.findPrev(again), null);
  assertStrictEquals(reservation.findFirst(), again);
});

Deno.test("find() hits what intersects, and the earliest of several", () => {
  using made = reserve([2, 2], [4, 1], [8, 3]);
  const { reservation, maps: [a, b, c] } = made;
  const expected: [number, number | undefined, Pmem2Map | null | undefined][] =
    [
      [0, undefined, null],
      [0, 2 * PAGE, null],
      [0, 2 * PAGE + 1, a],
      [2 * PAGE - 1, 1, null],
      [2 * PAGE - 1, 2, a],
      [2 * PAGE, undefined, a],
      [4 * PAGE - 1, undefined, a],
      [4 * PAGE - 1, 2, a],
      // a and b touch.
      [4 * PAGE, undefined, b],
      [4 * PAGE, PAGE, b],
      [5 * PAGE - 1, SIZE, b],
      [5 * PAGE, undefined, null],
      [5 * PAGE, 3 * PAGE, null],
      [5 * PAGE, 3 * PAGE + 1, c],
      [0, SIZE, a],
      [3 * PAGE, SIZE, a],
      [11 * PAGE - 1, 1, c],
      [11 * PAGE, SIZE, null],
      [SIZE - 1, 1, null],
    ];
  for (const [offset, length, map] of expected) {
    assertStrictEquals(
      reservation.find(offset, length),
      map ?? null,
      `${offset} + ${length}`,
    );
  }
});

Deno.test("find() with length 0 hits the map that contains the offset", () => {
  using made = reserve([2, 1], [3, 1]);
  const { reservation, maps: [a, b] } = made;
  assertEquals(reservation.find(0, 0), null);
  assertEquals(reservation.find(2 * PAGE - 1, 0), null);
  assertStrictEquals(reservation.find(2 * PAGE, 0), a);
  assertStrictEquals(reservation.find(3 * PAGE - 1, 0), a);
  assertStrictEquals(reservation.find(3 * PAGE, 0), b);
  assertEquals(reservation.find(4 * PAGE, 0), null);
});

Deno.test("find() sees nothing at the end and past it", () => {
  using made = reserve([PAGES - 1, 1]);
  const { reservation, maps: [map] } = made;
  assertStrictEquals(reservation.find(SIZE - 1), map);
  assertStrictEquals(reservation.find(SIZE - 1, SIZE), map);
  assertStrictEquals(reservation.find(0, Number.MAX_SAFE_INTEGER), map);
  assertStrictEquals(
    reservation.find(SIZE - 1, Number.MAX_SAFE_INTEGER),
    map,
  );
  for (const offset of [SIZE, SIZE + 1, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
    for (const length of [undefined, 0, 1, PAGE, Number.MAX_SAFE_INTEGER]) {
      assertEquals(reservation.find(offset, length), null);
    }
  }
});

Deno.test("find() hits the bytes of a file, and not the rest of its last page", () => {
  using scratch = new Scratch();
  using reservation = new Pmem2VmReservation(SIZE);
  const size = PAGE + 904;
  const map = reservation.map(scratch.file("a", size), { at: 0 });
  assertEquals(map.size, size);
  assertStrictEquals(reservation.find(size - 1), map);
  assertEquals(reservation.find(size), null);
  assertEquals(reservation.find(2 * PAGE - 1), null);
  // Taken all the same.
  assertEquals([...reservation.gaps()], [{
    offset: 2 * PAGE,
    size: SIZE - 2 * PAGE,
  }]);
  using source = Pmem2Source.anonymous(PAGE);
  assertEquals(reservation.map(source).offset, 2 * PAGE);
  assertEquals(reservation.findNext(map)!.offset, 2 * PAGE);
});

Deno.test("the searches give each map as the one object that it is", () => {
  using made = reserve([1, 1], [4, 2]);
  const { reservation, maps: [a, b] } = made;
  for (let round = 0; round < 2; round++) {
    assertStrictEquals(reservation.findFirst(), a);
    assertStrictEquals(reservation.findLast(), b);
    assertStrictEquals(reservation.find(PAGE), a);
    assertStrictEquals(reservation.findNext(a!), b);
    assertStrictEquals(reservation.findPrev(b!), a);
    assertStrictEquals([...reservation][1], b);
    assertStrictEquals([...reservation.maps({ reverse: true })][1], a);
  }
  reservation.findFirst()!.close();
  assertEquals(a!.closed, true);
});

Deno.test("findNext() and findPrev() refuse what is no map of the reservation", () => {
  using made = reserve([1, 1]);
  using other = reserve([1, 1], [4, 1]);
  using source = Pmem2Source.anonymous(PAGE);
  const { reservation, maps: [map] } = made;
  map!.close();
  for (const method of ["findNext", "findPrev"] as const) {
    const direction = method === "findNext" ? "next" : "previous";
    for (const stranger of other.maps) {
      assertThrows(
        () => reservation[method](stranger),
        TypeError,
        `Cannot find the ${direction} map as the map is not in this reservation`,
      );
    }
    assertThrows(
      () => reservation[method](map!),
      TypeError,
      `Cannot find the ${direction} map as the map is closed`,
    );
    for (const value of [null, undefined, {}, 0, 1n, source, reservation]) {
      assertThrows(
        () => reservation[method](value as Pmem2Map),
        TypeError,
        `Cannot find the ${direction} map as map must be a Pmem2Map: received`,
      );
    }
  }
});
