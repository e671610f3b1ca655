import {
  type Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
  type WalkOptions,
} from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

const PAGES = 16;

/** A reservation of 16 pages, with maps of one page at some of them. */
class Pages implements Disposable {
  readonly reservation = new Pmem2VmReservation(PAGES * PAGE);
  readonly #source = Pmem2Source.anonymous(PAGE);

  constructor(pages: number[]) {
    for (const page of pages) this.map(page);
  }

  map(page: number): Pmem2Map {
    return this.reservation.map(this.#source, { at: page * PAGE });
  }

  close(page: number): void {
    this.reservation.find(page * PAGE)!.close();
  }

  /** Walks, and does something at each map; the pages of the maps. */
  walk(
    options: WalkOptions,
    visit: (page: number, map: Pmem2Map) => void = () => {},
  ): number[] {
    const pages: number[] = [];
    for (const map of this.reservation.maps(options)) {
      const page = map.offset / PAGE;
      pages.push(page);
      visit(page, map);
    }
    return pages;
  }

  [Symbol.dispose](): void {
    this.#source.close();
    this.reservation[Symbol.dispose]();
  }
}

const DIRECTIONS = [{ reverse: false }, { reverse: true }];

/** In the order of the direction. */
function along(reverse: boolean, pages: number[]): number[] {
  return reverse ? pages.toReversed() : pages;
}

Deno.test("a walk over nothing is done", () => {
  using all = new Pages([]);
  for (const options of DIRECTIONS) assertEquals(all.walk(options), []);
  assertEquals([...all.reservation], []);
});

Deno.test("a walk goes in address order, whatever the order of mapping", () => {
  using all = new Pages([9, 0, 15, 4, 5, 1]);
  assertEquals(all.walk({}), [0, 1, 4, 5, 9, 15]);
  assertEquals(all.walk({ reverse: true }), [15, 9, 5, 4, 1, 0]);
  assertEquals([...all.reservation].map(({ offset }) => offset / PAGE), [
    0,
    1,
    4,
    5,
    9,
    15,
  ]);
});

Deno.test("a walk is an iterator with an iterator's helpers", () => {
  using all = new Pages([1, 2, 3, 4]);
  const { reservation } = all;
  const walk = reservation.maps();
  assertEquals(walk[Symbol.iterator](), walk);
  assertEquals(walk.next().value!.offset, PAGE);
  assertEquals(walk.drop(1).map((map) => map.offset).toArray(), [
    3 * PAGE,
    4 * PAGE,
  ]);
  assertEquals(walk.next(), { done: true, value: undefined });
  assertEquals([...reservation.maps().take(2)].length, 2);
});

Deno.test("a walk that is done stays done", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([4]);
    const walk = all.reservation.maps({ reverse });
    assertEquals([...walk].length, 1);
    all.map(3);
    all.map(5);
    assertEquals(walk.next(), { done: true, value: undefined });
    all.close(4);
    assertEquals(walk.next(), { done: true, value: undefined });
  }
});

Deno.test("walks don't disturb each other", () => {
  using all = new Pages([1, 2, 3]);
  const seen: number[][] = [];
  all.walk({}, (page) => {
    all.walk({ reverse: true }, (other) => seen.push([page, other]));
  });
  assertEquals(seen.length, 9);
  assertEquals(seen.at(-1), [3, 1]);
});

Deno.test("the current map may be closed during a walk", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([0, 1, 5, 9, 15]);
    const pages = all.walk({ reverse }, (_, map) => map.close());
    assertEquals(pages, along(reverse, [0, 1, 5, 9, 15]));
    assertEquals([...all.reservation], []);
  }
});

Deno.test("the next map may be closed during a walk", () => {
  for (const { reverse } of DIRECTIONS) {
    for (const current of [false, true]) {
      using all = new Pages([1, 3, 5, 7, 9]);
      const pages = all.walk({ reverse }, (page, map) => {
        if (current) map.close();
        const next = page + (reverse ? -2 : 2);
        if (next === 3 || next === 7) all.close(next);
      });
      assertEquals(pages, along(reverse, [1, 5, 9]));
    }
  }
});

Deno.test("all maps may be closed during a walk", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([1, 3, 5]);
    const pages = all.walk({ reverse }, () => {
      for (const map of all.reservation) map.close();
    });
    assertEquals(pages, [reverse ? 5 : 1]);
  }
});

Deno.test("what is mapped ahead during a walk is walked", () => {
  for (const { reverse } of DIRECTIONS) {
    for (const current of [false, true]) {
      using all = new Pages([8]);
      const step = reverse ? -1 : 1;
      const pages = all.walk({ reverse }, (page, map) => {
        if (current) map.close();
        if (page !== 8 + 3 * step) all.map(page + step);
      });
      assertEquals(pages, [8, 8 + step, 8 + 2 * step, 8 + 3 * step]);
    }
  }
});

Deno.test("what is mapped behind during a walk is not walked", () => {
  for (const { reverse } of DIRECTIONS) {
    for (const current of [false, true]) {
      using all = new Pages([8, reverse ? 2 : 14]);
      const pages = all.walk({ reverse }, (page, map) => {
        if (current) map.close();
        if (page === 8) all.map(reverse ? 9 : 7);
      });
      assertEquals(pages, [reverse ? 8 : 8, reverse ? 2 : 14]);
    }
  }
});

Deno.test("no walk meets what is mapped where the current map was", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([4, 5, 6]);
    const pages = all.walk({ reverse }, (page, map) => {
      map.close();
      all.map(page);
    });
    assertEquals(pages, along(reverse, [4, 5, 6]));
    assertEquals(all.walk({}), [4, 5, 6]);
  }
});

Deno.test("a walk covers what intersects from and to", () => {
  using scratch = new Scratch();
  using all = new Pages([0, 3, 4, 10]);
  const { reservation } = all;
  reservation.map(scratch.file("a", 5000), { at: 6 * PAGE });
  const cases: [number | undefined, number | undefined, number[]][] = [
    [undefined, undefined, [0, 3, 4, 6, 10]],
    [0, PAGES * PAGE, [0, 3, 4, 6, 10]],
    [0, Number.MAX_SAFE_INTEGER, [0, 3, 4, 6, 10]],
    [0, 0, []],
    [5 * PAGE, PAGE, []],
    [0, 1, [0]],
    [PAGE, 3 * PAGE, []],
    [PAGE - 1, 3 * PAGE, [0]],
    [PAGE, 3 * PAGE + 1, [3]],
    [4 * PAGE - 1, 4 * PAGE + 1, [3, 4]],
    [4 * PAGE, 5 * PAGE, [4]],
    // The map of 5,000 bytes ends before its second page does.
    [6 * PAGE + 4999, 10 * PAGE, [6]],
    [6 * PAGE + 5000, 10 * PAGE, []],
    [6 * PAGE + 5000, undefined, [10]],
    [undefined, 6 * PAGE, [0, 3, 4]],
    [10 * PAGE, undefined, [10]],
    [11 * PAGE, undefined, []],
    [PAGES * PAGE, undefined, []],
    [Number.MAX_SAFE_INTEGER, undefined, []],
  ];
  for (const [from, to, expected] of cases) {
    for (const { reverse } of DIRECTIONS) {
      assertEquals(
        all.walk({ from, to, reverse }),
        along(reverse, expected),
        `${from} to ${to}, ${reverse}`,
      );
    }
  }
});

Deno.test("from and to hold during a walk, whatever is mapped", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([4, 7]);
    const pages = all.walk(
      { from: 4 * PAGE, to: 8 * PAGE, reverse },
      (page, map) => {
        map.close();
        if (page !== 4 && page !== 7) return;
        for (const page of [1, 3, 8, 12]) {
          if (all.reservation.find(page * PAGE) === null) all.map(page);
        }
      },
    );
    assertEquals(pages, along(reverse, [4, 7]));
  }
});

Deno.test("from and to are addresses when the head is cut off", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([4, 6, 8, 10]);
    const { reservation } = all;
    const walk = reservation.maps({ from: 6 * PAGE, to: 9 * PAGE, reverse });
    const { address } = reservation;
    reservation.shrink(0, 3 * PAGE);
    const pages = walk.map((map) => Number(map.address - address) / PAGE);
    assertEquals([...pages], along(reverse, [6, 8]));
  }
});

Deno.test("a walk goes on when the head before it is cut off", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([0, 4, 8, 12]);
    const { reservation } = all;
    const { address } = reservation;
    const pages: number[] = [];
    for (const map of reservation.maps({ reverse, from: 2 })) {
      pages.push(Number(map.address - address) / PAGE);
      map.close();
      if (pages.length === 2) {
        // All of it up to the last map that is left, or behind it.
        if (!reverse) reservation.shrink(0, 8 * PAGE);
        else reservation.shrink(7 * PAGE, 9 * PAGE);
      }
    }
    assertEquals(pages, along(reverse, [0, 4, 8, 12]));
  }
});

Deno.test("a walk whose part is cut off is done", () => {
  for (const { reverse } of DIRECTIONS) {
    using all = new Pages([1, 12]);
    const { reservation } = all;
    const walk = reservation.maps({ from: 0, to: 4 * PAGE, reverse });
    const rest = reservation.maps({ from: 0, to: 2 * PAGE, reverse });
    assertEquals(walk.next().value!.offset, PAGE);
    all.close(1);
    reservation.shrink(0, 8 * PAGE);
    assertEquals(walk.next().done, true);
    assertEquals(rest.next().done, true);
    assertEquals([...reservation].length, 1);
  }
});

Deno.test("a walk without to goes up to the end that there is", () => {
  const reservation = new Pmem2VmReservation(PAGE, {
    address: 0x1800_0000_0000n,
  });
  using _ = reservation;
  using source = Pmem2Source.anonymous(PAGE);
  reservation.map(source);
  const offsets: number[] = [];
  for (const map of reservation) {
    offsets.push(map.offset);
    if (map.offset < 3 * PAGE) {
      reservation.extend(PAGE);
      reservation.map(source, { at: map.offset + PAGE });
    }
  }
  assertEquals(offsets, [0, PAGE, 2 * PAGE, 3 * PAGE]);
});

Deno.test("a walk whose reservation was closed is done", () => {
  for (const { reverse } of DIRECTIONS) {
    for (const steps of [0, 1, 2]) {
      const all = new Pages([1, 2, 3]);
      const walk = all.reservation.maps({ reverse });
      for (let i = 0; i < steps; i++) assert(!walk.next().done);
      const gaps = all.reservation.gaps();
      if (steps > 0) gaps.next();
      all[Symbol.dispose]();
      assertEquals(walk.next(), { done: true, value: undefined });
      assertEquals(walk.next(), { done: true, value: undefined });
      assertEquals(gaps.next(), { done: true, value: undefined });
    }
  }
});

Deno.test("a walk is of a reservation that is open", () => {
  const reservation = new Pmem2VmReservation(PAGE);
  reservation.close();
  for (
    const walk of [
      () => reservation.maps(),
      () => reservation[Symbol.iterator](),
      () => [...reservation],
    ]
  ) {
    assertThrows(
      walk,
      TypeError,
      "Cannot walk the reservation as the reservation is closed",
    );
  }
  assertThrows(
    () => reservation.gaps(),
    TypeError,
    "Cannot walk the gaps as the reservation is closed",
  );
});

Deno.test("a walk stays in order when a map comes to lie around the one that it stood on", () => {
  const page = PAGE;
  using source = Pmem2Source.anonymous(page);
  using wide = Pmem2Source.anonymous(4 * page);
  using reservation = new Pmem2VmReservation(16 * page);
  const first = reservation.map(source, { at: 5 * page });
  reservation.map(source, { at: 12 * page });
  const seen: number[] = [];
  for (const map of reservation) {
    seen.push(map.offset / page);
    if (map !== first) continue;
    first.close();
    reservation.map(wide, { at: 4 * page });
  }
  assertEquals(seen, [5, 12]);
});
