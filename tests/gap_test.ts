import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

/** A reservation of 16 pages with maps of anonymous memory: [page, bytes]. */
function reserve(...places: [number, number][]): Pmem2VmReservation {
  const reservation = new Pmem2VmReservation(16 * PAGE);
  for (const [page, size] of places) {
    using source = Pmem2Source.anonymous(size);
    reservation.map(source, { at: page * PAGE });
  }
  return reservation;
}

/** The gaps as [page, pages]. */
function gaps(reservation: Pmem2VmReservation): number[][] {
  return [...reservation.gaps()]
    .map(({ offset, size }) => [offset / PAGE, size / PAGE]);
}

/** Maps anonymous memory where it fits first; its page. */
function place(reservation: Pmem2VmReservation, size: number): number {
  using source = Pmem2Source.anonymous(size);
  return reservation.map(source).offset / PAGE;
}

Deno.test("Pmem2VmReservation.gaps() are the free ranges in address order", () => {
  using empty = reserve();
  assertEquals(gaps(empty), [[0, 16]]);
  using full = reserve([0, 16 * PAGE]);
  assertEquals(gaps(full), []);
  using ends = reserve([0, PAGE], [15, PAGE]);
  assertEquals(gaps(ends), [[1, 14]]);
  using some = reserve([9, PAGE], [2, 2 * PAGE], [4, PAGE]);
  assertEquals(gaps(some), [[0, 2], [5, 4], [10, 6]]);
});

Deno.test("Pmem2VmReservation.gaps() has whole pages", () => {
  using reservation = reserve([0, 1], [2, PAGE + 1], [6, PAGE + 904], [
    8,
    PAGE,
  ]);
  assertEquals(gaps(reservation), [[1, 1], [4, 2], [9, 7]]);
});

Deno.test("Pmem2VmReservation.gaps() goes on over what there is", () => {
  using reservation = reserve([2, PAGE], [6, PAGE], [10, PAGE]);
  const seen: number[][] = [];
  for (const { offset, size } of reservation.gaps()) {
    seen.push([offset / PAGE, size / PAGE]);
    if (offset === 0) reservation.find(6 * PAGE)!.close();
    if (offset === 3 * PAGE) {
      reservation.shrink(0, 2 * PAGE);
      reservation.find(8 * PAGE)!.close();
    }
  }
  // After the head was cut off, the offsets are two pages less.
  assertEquals(seen, [[0, 2], [3, 7], [8, 6]]);
});

Deno.test("Pmem2VmReservation.gaps() follows the head that is cut off", () => {
  using reservation = reserve([8, PAGE]);
  const walk = reservation.gaps();
  reservation.shrink(0, 4 * PAGE);
  assertEquals(walk.next().value, { offset: 0, size: 4 * PAGE });
  assertEquals(walk.next().value, { offset: 5 * PAGE, size: 7 * PAGE });
  assertEquals(walk.next(), { done: true, value: undefined });
});

Deno.test("Pmem2VmReservation.gaps() goes on at the new head", () => {
  using reservation = reserve([4, PAGE], [10, PAGE]);
  const walk = reservation.gaps();
  assertEquals(walk.next().value, { offset: 0, size: 4 * PAGE });
  reservation.find(4 * PAGE)!.close();
  reservation.shrink(0, 8 * PAGE);
  assertEquals(walk.next().value, { offset: 0, size: 2 * PAGE });
  assertEquals(walk.next().value, { offset: 3 * PAGE, size: 5 * PAGE });
  assertEquals(walk.next(), { done: true, value: undefined });
});

Deno.test("Pmem2VmReservation.map() takes the first gap that fits", () => {
  using reservation = reserve([1, PAGE], [4, PAGE], [8, PAGE]);
  assertEquals(gaps(reservation), [[0, 1], [2, 2], [5, 3], [9, 7]]);
  assertEquals(place(reservation, 3 * PAGE), 5);
  assertEquals(place(reservation, 2 * PAGE), 2);
  assertEquals(place(reservation, PAGE), 0);
  assertEquals(place(reservation, PAGE), 9);
  reservation.find(PAGE)!.close();
  assertEquals(place(reservation, 2 * PAGE), 10);
  assertEquals(place(reservation, 1), 1);
  assertEquals(place(reservation, PAGE + 1), 12);
  reservation.findFirst()!.close();
  assertEquals(place(reservation, PAGE), 0);
});

Deno.test("Pmem2VmReservation.map() counts whole pages", () => {
  using reservation = new Pmem2VmReservation(4 * PAGE);
  assertEquals(place(reservation, 1), 0);
  const size = PAGE + 1000;
  assertEquals(place(reservation, size), 1);
  using source = Pmem2Source.anonymous(size);
  assertThrows(
    () => reservation.map(source),
    RangeError,
    `Cannot map into the reservation as no gap is large enough for ${size} bytes: the largest has ${PAGE}`,
  );
  assertEquals(place(reservation, PAGE), 3);
  assertThrows(
    () => place(reservation, 1),
    RangeError,
    "as no gap is large enough for 1 bytes: the largest has 0",
  );
});

Deno.test("Pmem2VmReservation.map() places what is left of a file", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 3 * PAGE);
  using reservation = reserve([2, PAGE]);
  assertEquals(reservation.map(path).offset, 3 * PAGE);
  assertEquals(reservation.map(path, { offset: PAGE }).offset, 0 * PAGE);
  assertEquals(reservation.map(path, { length: PAGE }).offset, 6 * PAGE);
  assertEquals(gaps(reservation), [[7, 9]]);
});

Deno.test("Pmem2VmReservation.map() finds the place of a failed map again", () => {
  using scratch = new Scratch();
  using reservation = reserve();
  using source = Pmem2Source.open(scratch.file("a", 4 * PAGE), {
    write: false,
  });
  for (let round = 0; round < 3; round++) {
    assertThrows(() => reservation.map(source), Error, "PMEM2_E_NO_ACCESS");
    assertEquals(gaps(reservation), [[0, 16]]);
  }
  assertEquals(reservation.map(source, { write: false }).offset, 0);
  assertEquals(gaps(reservation), [[4, 12]]);
});

Deno.test("Pmem2VmReservation.map() fills a reservation to the last page", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(200 * PAGE);
  for (let page = 0; page < 200; page++) {
    assertEquals(reservation.map(source).offset, page * PAGE);
  }
  assertEquals(gaps(reservation), []);
  for (const page of [199, 0, 77]) {
    reservation.find(page * PAGE)!.close();
    assertEquals(reservation.map(source).offset, page * PAGE);
  }
});
