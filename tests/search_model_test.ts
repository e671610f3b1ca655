import { type Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Random } from "./support/random.ts";
import { assertRefused } from "./support/refusal.ts";
import { PAGE } from "./support/page.ts";

interface Entry {
  readonly map: Pmem2Map;
  /** Addresses, so that they hold when the head is cut off. */
  readonly from: number;
  readonly size: number;
}

/** What a reservation should be like: a sorted list, searched from the start. */
class Model {
  entries: Entry[] = [];
  /** The first byte, counted from where the reservation once started. */
  start = 0;
  size: number;

  constructor(size: number) {
    this.size = size;
  }

  get end(): number {
    return this.start + this.size;
  }

  /** Where the pages of an entry end. */
  pagesEnd({ from, size }: Entry): number {
    return from + Math.ceil(size / PAGE) * PAGE;
  }

  add(map: Pmem2Map, offset: number, size: number): void {
    this.entries.push({ map, from: this.start + offset, size });
    this.entries.sort((a, b) => a.from - b.from);
  }

  find(offset: number, length: number): Pmem2Map | null {
    if (offset >= this.size) return null;
    const from = this.start + offset;
    const to = Math.min(from + Math.max(length, 1), this.end);
    const hit = this.entries.find((entry) =>
      entry.from < to && entry.from + entry.size > from
    );
    return hit?.map ?? null;
  }

  gaps(): { offset: number; size: number }[] {
    const gaps: { offset: number; size: number }[] = [];
    let position = this.start;
    for (const entry of this.entries) {
      if (entry.from > position) {
        const size = entry.from - position;
        gaps.push({ offset: position - this.start, size });
      }
      position = this.pagesEnd(entry);
    }
    if (position < this.end) {
      const size = this.end - position;
      gaps.push({ offset: position - this.start, size });
    }
    return gaps;
  }

  /** Whether a range of whole pages is free. */
  isFree(offset: number, size: number): boolean {
    const end = offset + Math.ceil(size / PAGE) * PAGE;
    return this.gaps().some((gap) =>
      gap.offset <= offset && end <= gap.offset + gap.size
    );
  }

  window(from: number, to: number | undefined): Pmem2Map[] {
    const low = this.start + from;
    const high = to === undefined ? Infinity : this.start + to;
    if (high <= low) return [];
    return this.entries
      .filter((entry) => entry.from < high && entry.from + entry.size > low)
      .map(({ map }) => map);
  }
}

/** Does random things to a reservation and to the model, and compares. */
class Trial {
  readonly random: Random;
  readonly reservation: Pmem2VmReservation;
  readonly model: Model;

  constructor(seed: number, address: bigint) {
    this.random = new Random(seed);
    const size = (1 + this.random.below(40)) * PAGE;
    this.reservation = new Pmem2VmReservation(size, { address });
    this.model = new Model(size);
  }

  /** An offset that tends to be next to a boundary. */
  offset(): number {
    const { random, model } = this;
    const pages = model.size / PAGE;
    return Math.max(
      0,
      random.below(pages + 2) * PAGE + [0, 0, 1, -1, 904][random.below(5)]!,
    );
  }

  map(): void {
    const { random, reservation, model } = this;
    // A quarter of them end within a page.
    const size = (1 + random.below(4)) * PAGE -
      (random.below(4) === 0 ? 3192 : 0);
    using source = Pmem2Source.anonymous(size);
    const at = random.below(3) === 0
      ? undefined
      : random.below(model.size / PAGE + 2) * PAGE;
    if (at === undefined) {
      const gap = model.gaps().find((gap) => gap.size >= size);
      if (gap === undefined) {
        const longest = Math.max(0, ...model.gaps().map((gap) => gap.size));
        assertThrows(
          () => reservation.map(source),
          RangeError,
          `as no gap is large enough for ${size} bytes: the largest has ${longest}`,
        );
      } else {
        const map = reservation.map(source);
        assertEquals(map.offset, gap.offset, "first fit");
        model.add(map, gap.offset, size);
      }
    } else if (at + Math.ceil(size / PAGE) * PAGE > model.size) {
      assertThrows(() => reservation.map(source, { at }), RangeError);
    } else if (model.isFree(at, size)) {
      model.add(reservation.map(source, { at }), at, size);
    } else {
      assertRefused(
        () => reservation.map(source, { at }),
        "PMEM2_E_MAPPING_EXISTS",
      );
    }
  }

  close(): void {
    const { random, model } = this;
    if (model.entries.length === 0) return;
    const [entry] = model.entries.splice(random.below(model.entries.length), 1);
    entry!.map.close();
  }

  extend(): void {
    if (this.model.size > 100 * PAGE) return;
    const size = this.random.below(5) * PAGE;
    this.reservation.extend(size);
    this.model.size += size;
  }

  shrink(): void {
    const { random, reservation, model } = this;
    const size = random.below(4) * PAGE;
    const offset = random.below(2) === 0 ? 0 : model.size - size;
    const shrink = () => reservation.shrink(offset, size);
    if (offset < 0 || size > model.size) {
      assertThrows(shrink, RangeError);
    } else if (size === 0) {
      const what = offset === 0 ? "LENGTH" : "OFFSET";
      assertRefused(shrink, `PMEM2_E_${what}_OUT_OF_RANGE`);
    } else if (size === model.size) {
      assertRefused(shrink, "PMEM2_E_NOSUPP");
    } else if (!model.isFree(offset, size)) {
      assertRefused(shrink, "PMEM2_E_VM_RESERVATION_NOT_EMPTY");
    } else {
      shrink();
      if (offset === 0) model.start += size;
      model.size -= size;
    }
  }

  search(): void {
    const { random, reservation, model } = this;
    const [offset, length] = [this.offset(), this.offset()];
    assertStrictEquals(reservation.find(offset), model.find(offset, 1));
    assertStrictEquals(
      reservation.find(offset, length),
      model.find(offset, length),
      `find(${offset}, ${length})`,
    );
    assertStrictEquals(reservation.find(offset, 0), model.find(offset, 0));
    const { entries } = model;
    assertStrictEquals(reservation.findFirst(), entries.at(0)?.map ?? null);
    assertStrictEquals(reservation.findLast(), entries.at(-1)?.map ?? null);
    if (entries.length === 0) return;
    const i = random.below(entries.length);
    const { map, from } = entries[i]!;
    assertEquals(map.offset, from - model.start);
    assertStrictEquals(
      reservation.findNext(map),
      entries[i + 1]?.map ?? null,
    );
    assertStrictEquals(
      reservation.findPrev(map),
      i === 0 ? null : entries[i - 1]!.map,
    );
  }

  walk(): void {
    const { random, reservation, model } = this;
    assertEquals([...reservation.gaps()], model.gaps());
    const from = this.offset();
    const to = random.below(3) === 0 ? undefined : this.offset();
    const expected = model.window(from, to);
    same([...reservation], model.window(0, undefined));
    same([...reservation.maps({ from, to })], expected);
    same(
      [...reservation.maps({ from, to, reverse: true })],
      expected.toReversed(),
    );
  }

  /** Closes and makes maps during a walk, in either direction. */
  changingWalk(): void {
    const { random, reservation, model } = this;
    const reverse = random.below(2) === 0;
    const sign = reverse ? -1 : 1;
    let position = -Infinity;
    const seen = new Set<Pmem2Map>();
    for (const map of reservation.maps({ reverse })) {
      assertEquals(seen.has(map), false, "no map twice");
      seen.add(map);
      const entry = model.entries.find((entry) => entry.map === map);
      assertEquals(entry !== undefined, true, "a map that is there");
      assertEquals(sign * entry!.from > position, true, "in order");
      // Nothing that was there is left out.
      const skipped = model.entries.filter(({ from }) =>
        sign * from > position && sign * from < sign * entry!.from
      );
      assertEquals(skipped.filter(({ map }) => !this.#new.has(map)), []);
      position = sign * entry!.from;
      this.#new.clear();
      for (let changes = random.below(4); changes > 0; changes--) {
        const before = new Set(model.entries.map(({ map }) => map));
        [
          this.map,
          this.close,
          this.close,
          this.extend,
          this.shrink,
        ][random.below(5)]!
          .call(this);
        for (const { map } of model.entries) {
          if (!before.has(map)) this.#new.add(map);
        }
      }
    }
    this.#new.clear();
  }
  /** Made since the last step, overlapping what the walk stood on, maybe. */
  readonly #new = new Set<Pmem2Map>();

  step(): void {
    const { map, close, extend, shrink, search, walk, changingWalk } = this;
    [
      map,
      map,
      map,
      map,
      close,
      close,
      extend,
      shrink,
      search,
      search,
      walk,
      changingWalk,
    ][this.random.below(12)]!.call(this);
  }
}

function same(actual: Pmem2Map[], expected: Pmem2Map[]): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((map, i) => assertStrictEquals(map, expected[i]));
}

for (let seed = 1; seed <= 12; seed++) {
  Deno.test(`reservations are what a model says, seed ${seed}`, () => {
    const trial = new Trial(seed, 0x1000_0000_0000n);
    using _reservation = trial.reservation;
    for (let i = 0; i < 600; i++) {
      try {
        trial.step();
        if (i % 10 === 0) trial.search();
      } catch (error) {
        throw new Error(`seed ${seed}, step ${i}`, { cause: error });
      }
    }
    trial.walk();
  });
}
