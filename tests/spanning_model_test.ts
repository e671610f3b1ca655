import {
  type Pmem2Map,
  Pmem2VmReservation,
  type StoreOptions,
} from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals } from "@std/assert";
import { forceGranularity } from "./support/force_granularity.ts";
import { PAGE } from "./support/page.ts";
import { Random } from "./support/random.ts";
import { Scratch } from "./support/scratch.ts";
import { assertSameBytes, granularities } from "./support/store_checks.ts";

const PAGES = 24;

/** A file, and what it is to hold. */
interface File {
  readonly path: string;
  readonly content: Uint8Array<ArrayBuffer>;
  readonly granularity: typeof granularities[number];
  mapped: Mapped | null;
}

interface Mapped {
  readonly map: Pmem2Map;
  readonly file: File;
  readonly at: number;
  readonly sourceOffset: number;
  readonly length: number;
}

/** What happens to a view: it's compared once more when a map was closed. */
interface Kept {
  readonly view: Uint8Array<ArrayBuffer>;
  readonly offset: number;
  readonly length: number;
  readonly under: Mapped[];
}

/**
 * A reservation beside a plain array of its size, and the files that are mapped
 * into it. What lies behind a file's end in its last page is left alone: how long
 * that memory holds what it's given is the file system's to say.
 */
class Trial implements Disposable {
  readonly #random: Random;
  readonly #resources = new DisposableStack();
  readonly #reservation: Pmem2VmReservation;
  readonly #files: File[] = [];
  readonly #model = new Uint8Array(PAGES * PAGE);
  #maps: Mapped[] = [];
  #kept: Kept[] = [];
  readonly done: Record<string, number> = {};

  constructor(seed: number, kinds: readonly typeof granularities[number][]) {
    this.#random = new Random(seed);
    const scratch = this.#resources.use(new Scratch());
    for (const [i, size] of [1, 2, 5, 3, 1, 4, 2, 1.3, 3.7].entries()) {
      const granularity = kinds[i % kinds.length]!;
      const content = new Uint8Array(Math.round(size * PAGE));
      for (let at = 0; at < content.length; at++) content[at] = at + i;
      const path = scratch.path(`${i}`);
      Deno.writeFileSync(path, content);
      this.#files.push({ path, content, granularity, mapped: null });
    }
    this.#reservation = this.#resources.use(
      new Pmem2VmReservation(PAGES * PAGE),
    );
  }

  async step(): Promise<void> {
    const operations = [
      this.map,
      this.map,
      this.map,
      this.close,
      this.write,
      this.write,
      this.writeView,
      this.fill,
      this.move,
      this.store,
      this.store,
      this.view,
      this.flush,
      this.flushAsync,
      this.walk,
    ];
    const operation = this.#random.pick(operations);
    this.done[operation.name] = (this.done[operation.name] ?? 0) + 1;
    await operation.call(this);
    this.#compare();
  }

  map(): void {
    const random = this.#random;
    const file = random.pick(this.#files);
    if (file.mapped !== null) return;
    const pages = Math.floor(file.content.length / PAGE);
    const window = pages > 1 && random.chance(0.5);
    const sourceOffset = window ? PAGE * random.below(pages) : 0;
    const length = window
      ? PAGE * (1 + random.below(pages - sourceOffset / PAGE))
      : file.content.length;
    const extent = Math.ceil(length / PAGE);
    // More often than not side by side with another.
    const at = this.#somewhere();
    const place = random.chance(0.3) ? PAGE * random.below(PAGES) : at + PAGE;
    const free = this.#gapAt(place, extent);
    if (free === null) return;
    // Real functions and emulated media do for all of them what is durable.
    using _medium = random.chance(0.8)
      ? forceGranularity(file.granularity)
      : emulatePmem(file.granularity);
    const map = this.#reservation.map(
      file.path,
      window ? { at: free, offset: sourceOffset, length } : { at: free },
    );
    assertEquals(map.granularity, file.granularity);
    const mapped = { map, file, at: free, sourceOffset, length };
    file.mapped = mapped;
    this.#maps.push(mapped);
    this.#model.set(
      file.content.subarray(sourceOffset, sourceOffset + length),
      free,
    );
  }

  /** The first place from there on where so many pages are free. */
  #gapAt(from: number, pages: number): number | null {
    const taken = new Set<number>();
    for (const { at, length } of this.#maps) {
      for (let i = at; i < at + length; i += PAGE) taken.add(i);
    }
    for (let at = from; at + pages * PAGE <= PAGES * PAGE; at += PAGE) {
      let free = 0;
      while (free < pages && !taken.has(at + free * PAGE)) free++;
      if (free === pages) return at;
    }
    return null;
  }

  close(): void {
    if (this.#maps.length === 0 || this.#random.chance(0.5)) return;
    const mapped = this.#random.pick(this.#maps);
    mapped.map.close();
    mapped.file.mapped = null;
    this.#maps = this.#maps.filter((other) => other !== mapped);
    for (const { view, under } of this.#kept) {
      if (under.includes(mapped)) assertEquals(view.length, 0);
    }
    this.#kept = this.#kept.filter(({ under }) => !under.includes(mapped));
  }

  /** Where a map starts, if there are any. */
  #somewhere(): number {
    return this.#maps.length > 0 ? this.#random.pick(this.#maps).at : 0;
  }

  /** A range that is more often than not mapped, and crosses a border. */
  #range(): { offset: number; length: number } {
    const random = this.#random;
    const { size } = this.#reservation;
    const before = random.below(random.pick([4, 300, PAGE, 3 * PAGE]));
    const offset = Math.max(0, this.#somewhere() - before);
    const longest = size - offset;
    const length = random.below(random.pick([4, 600, 2 * PAGE, 6 * PAGE]));
    return { offset, length: Math.min(length, longest) };
  }

  /** What a range meets: its maps, the first offset that is free, files' ends. */
  #look(offset: number, length: number) {
    const end = offset + length;
    const under = this.#maps.filter((mapped) =>
      mapped.at < end && offset < pagesEnd(mapped)
    ).sort((a, b) => a.at - b.at);
    let free: number | null = offset;
    let behindEnd = false;
    for (const mapped of under) {
      if (mapped.at > free) break;
      free = pagesEnd(mapped);
      const mappedEnd = mapped.at + mapped.length;
      behindEnd ||= mappedEnd < Math.min(end, pagesEnd(mapped));
    }
    if (free >= end) free = null;
    return { under, free, behindEnd };
  }

  /** Does it, or sees it refused; whether it was done. */
  #attempt(offset: number, length: number, action: () => void): boolean {
    const { free } = this.#look(offset, length);
    let error: unknown;
    try {
      action();
    } catch (thrown) {
      error = thrown;
    }
    if (free === null || length === 0) {
      if (error !== undefined) throw error;
      return true;
    }
    if (!(error instanceof RangeError)) throw error ?? new Error("Not refused");
    assert(error.message.includes(`: offset ${free} is free`), error.message);
    return false;
  }

  #options(): StoreOptions | undefined {
    const random = this.#random;
    if (random.chance(0.4)) return undefined;
    const flags = [true, false];
    return {
      flush: random.pick(flags),
      drain: random.pick(flags),
      temporal: random.pick([undefined, true, false]),
    };
  }

  write(): void {
    const { offset, length } = this.#range();
    const data = new Uint8Array(length);
    for (let i = 0; i < length; i++) data[i] = this.#random.below(256);
    const done = this.#attempt(
      offset,
      length,
      () => this.#reservation.write(data, offset, this.#options()),
    );
    if (done) this.#model.set(data, offset);
  }

  /** From a view on the same memory, which may overlap. */
  writeView(): void {
    const { offset, length } = this.#range();
    const { free, behindEnd } = this.#look(offset, length);
    if (free !== null || behindEnd) return;
    const view = this.#reservation.view(offset, length);
    const to = Math.max(0, offset + this.#random.below(3 * PAGE) - PAGE);
    if (to + length > PAGES * PAGE) return;
    const done = this.#attempt(
      to,
      length,
      () => this.#reservation.write(view, to, this.#options()),
    );
    if (done) this.#model.copyWithin(to, offset, offset + length);
  }

  fill(): void {
    const { offset, length } = this.#range();
    const value = this.#random.below(256);
    const done = this.#attempt(
      offset,
      length,
      () => this.#reservation.fill(value, offset, length, this.#options()),
    );
    if (done) this.#model.fill(value, offset, offset + length);
  }

  move(): void {
    const from = this.#range();
    const to = this.#range();
    const length = Math.min(from.length, to.length);
    if (this.#look(from.offset, length).behindEnd) return;
    if (this.#look(from.offset, length).free !== null && length > 0) return;
    const done = this.#attempt(
      to.offset,
      length,
      () =>
        this.#reservation.move(
          to.offset,
          from.offset,
          length,
          this.#options(),
        ),
    );
    if (done) {
      this.#model.copyWithin(to.offset, from.offset, from.offset + length);
    }
  }

  /** Through a view, made durable in one way or another. */
  store(): void {
    const { offset, length } = this.#range();
    let view!: Uint8Array<ArrayBuffer>;
    const done = this.#attempt(offset, length, () => {
      view = this.#reservation.view(offset, length);
    });
    if (!done) return;
    assertEquals(view.length, length);
    for (let i = 0; i < length; i += 1 + this.#random.below(50)) {
      view[i] = this.#model[offset + i] = this.#random.below(256);
    }
    if (this.#random.chance(0.3)) this.#reservation.persist(view);
    const { under } = this.#look(offset, length);
    if (length > 0) this.#kept.push({ view, offset, length, under });
    if (this.#kept.length > 20) this.#kept.shift();
  }

  view(): void {
    for (const { view, offset, length, under } of this.#kept) {
      const expected = this.#model.slice(offset, offset + length);
      const actual = new Uint8Array(view);
      for (const mapped of under) leaveOut(mapped, offset, expected, actual);
      assertSameBytes(actual, expected, "a view");
    }
  }

  flush(): void {
    const { offset, length } = this.#range();
    this.#reservation.flush(offset, length);
    this.#reservation.persist(offset, length);
    this.#reservation.drain();
    if (this.#random.chance(0.2)) this.#reservation.deepFlush(offset, length);
  }

  async flushAsync(): Promise<void> {
    const { offset, length } = this.#range();
    await Promise.all([
      this.#reservation.persistAsync(offset, length),
      this.#reservation.deepFlushAsync(offset, length),
    ]);
  }

  /** Neighbors that are known must not stay neighbors. */
  walk(): void {
    const offsets = [...this.#reservation].map(({ offset }) => offset);
    const expected = this.#maps.map(({ at }) => at).sort((a, b) => a - b);
    assertEquals(offsets, expected);
  }

  #compare(): void {
    const bytes = new Uint8Array(this.#model.length);
    for (const mapped of this.#maps) {
      const { at, length, file, sourceOffset } = mapped;
      const actual = bytes.subarray(at, at + length);
      this.#reservation.read(actual, at);
      const expected = this.#model.subarray(at, at + length);
      assertSameBytes(actual, expected, file.path);
      file.content.set(expected, sourceOffset);
    }
    // What is side by side is read at once, too.
    const { offset, length } = this.#range();
    const { free, behindEnd } = this.#look(offset, length);
    if (free !== null || behindEnd) return;
    const across = new Uint8Array(length);
    this.#reservation.read(across, offset);
    assertSameBytes(
      across,
      this.#model.subarray(offset, offset + length),
      "a range",
    );
  }

  /** The files are as they should be. */
  finish(): void {
    this.#reservation.close({ maps: true });
    for (const { view } of this.#kept) assertEquals(view.length, 0);
    for (const { path, content } of this.#files) {
      assertSameBytes(Deno.readFileSync(path), content, path);
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

function pagesEnd({ at, length }: Mapped): number {
  return at + Math.ceil(length / PAGE) * PAGE;
}

/** Makes alike what lies behind the end of a file. */
function leaveOut(
  mapped: Mapped,
  offset: number,
  ...arrays: Uint8Array[]
): void {
  const start = Math.max(mapped.at + mapped.length - offset, 0);
  const end = pagesEnd(mapped) - offset;
  if (start >= end) return;
  for (const array of arrays) array.fill(0, start, end);
}

const kinds = [
  ...granularities.map((granularity) => [granularity]),
  [...granularities],
];
for (const [i, kind] of kinds.entries()) {
  Deno.test(`a reservation of ${kind.join(", ")} maps is the memory that its model is`, async () => {
    using trial = new Trial(i + 1, kind);
    for (let step = 0; step < 2000; step++) {
      try {
        await trial.step();
      } catch (error) {
        throw new Error(`Step ${step}`, { cause: error });
      }
    }
    trial.finish();
    for (const [name, count] of Object.entries(trial.done)) {
      assert(count > 20, `${name} was done ${count} times`);
    }
  });
}
