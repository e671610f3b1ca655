import {
  type Granularity,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import {
  type CrashOptions,
  type EmulatedPmem,
  emulatePmem,
} from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { PAGE } from "./support/page.ts";
import { exists } from "./support/exists.ts";
import { Random, randomBytes } from "./support/random.ts";
import { Scratch } from "./support/scratch.ts";
import { assertSameBytes, granularities } from "./support/store_checks.ts";

const SIZE = 4 * PAGE;

function open(pmem: EmulatedPmem, name = "file"): Pmem2Map {
  return Pmem2Map.open(pmem.path(name), { create: true, size: SIZE });
}

/** Cuts the power, and tells what a file holds then. */
function after(
  pmem: EmulatedPmem,
  options?: CrashOptions,
  name = "file",
): Uint8Array {
  pmem.crash(options);
  return Deno.readFileSync(pmem.path(name));
}

/** What is there after stores to some places, and something, and a power cut. */
function survivors(
  granularity: Granularity,
  places: readonly number[],
  act: (map: Pmem2Map) => void,
): number[] {
  using pmem = emulatePmem(granularity);
  const map = open(pmem);
  for (const at of places) map.bytes[at] = 7;
  act(map);
  const bytes = after(pmem);
  return places.filter((at) => bytes[at] === 7);
}

Deno.test("EmulatedPmem.crash() leaves whole cache lines of what was persisted", () => {
  const places = [0, 63, 64, 127, 128, 191, 192, PAGE];
  const cases: [act: (map: Pmem2Map) => void, kept: number[]][] = [
    [() => {}, []],
    [(map) => map.persist(), places],
    [(map) => map.persist(0, 1), [0, 63]],
    [(map) => map.persist(64, 64), [64, 127]],
    [(map) => map.persist(127, 2), [64, 127, 128, 191]],
    [(map) => map.persist(70, 0), []],
    [(map) => map.persist(map.bytes.subarray(190, 191)), [128, 191]],
    [(map) => map.flush(0, 1), []],
    [(map) => map.drain(), []],
    [(map) => {
      map.flush(0, 1);
      map.flush(130, 1);
      map.drain();
    }, [0, 63, 128, 191]],
    // What is stored is flushed, and a persist drains.
    [(map) => map.write(Uint8Array.of(1), 65), [64, 127]],
    [(map) => map.write(Uint8Array.of(1), 65, { drain: false }), []],
    [(map) => map.write(Uint8Array.of(1), 65, { flush: false }), []],
    [(map) => {
      map.fill(1, 65, 1, { drain: false });
      map.move(129, 1, 1);
    }, [64, 127, 128, 191]],
    [(map) => {
      map.fill(1, 65, 1, { flush: false });
      map.persist(129, 1);
    }, [128, 191]],
    [(map) => map.deepFlush(0, 64), [0, 63]],
    // That one is not a drain.
    [(map) => {
      map.flush(128, 1);
      map.deepFlush(0, 64);
    }, [0, 63]],
  ];
  for (const [act, kept] of cases) {
    assertEquals(survivors("cache-line", places, act), kept, `${act}`);
  }
});

Deno.test("EmulatedPmem.crash() leaves whole pages of what was flushed at page granularity", () => {
  const places = [0, 64, PAGE - 1, PAGE, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE];
  const first = [0, 64, PAGE - 1];
  const cases: [act: (map: Pmem2Map) => void, kept: number[]][] = [
    [() => {}, []],
    [(map) => map.persist(), places],
    [(map) => map.persist(1, 1), first],
    // There it's msync that flushes, and it waits.
    [(map) => map.flush(1, 1), first],
    [(map) => map.drain(), []],
    [(map) => map.deepFlush(1, 1), first],
    [(map) => map.write(Uint8Array.of(1), 1, { drain: false }), first],
    [(map) => map.write(Uint8Array.of(1), 1, { flush: false }), []],
    [(map) => map.fill(1, 2 * PAGE - 2, 1), [PAGE, 2 * PAGE - 1]],
    [(map) => map.persist(PAGE - 1, 2), [...first, PAGE, 2 * PAGE - 1]],
  ];
  for (const [act, kept] of cases) {
    assertEquals(survivors("page", places, act), kept, `${act}`);
  }
});

Deno.test("EmulatedPmem.crash() leaves all that was stored at byte granularity", () => {
  const places = [0, 63, 64, PAGE, SIZE - 1];
  for (
    const act of [
      () => {},
      (map: Pmem2Map) => map.persist(0, 1),
      (map: Pmem2Map) => map.close(),
    ]
  ) assertEquals(survivors("byte", places, act), places);
});

Deno.test("EmulatedPmem.crash() keeps the content of the time of the flush", () => {
  using pmem = emulatePmem("cache-line");
  const map = open(pmem);
  map.bytes[0] = 1;
  map.flush(0, 1);
  map.bytes[0] = 2;
  map.drain();
  assertEquals(after(pmem)[0], 1);

  // What is flushed last is there last.
  const again = open(pmem);
  again.bytes[0] = 3;
  again.flush(0, 1);
  again.bytes[0] = 1;
  again.flush(0, 1);
  again.drain();
  assertEquals(after(pmem)[0], 1);

  const third = open(pmem);
  third.bytes[0] = 4;
  third.flush(0, 1);
  third.bytes[0] = 5;
  third.deepFlush(0, 1);
  third.drain();
  assertEquals(after(pmem)[0], 5);
});

Deno.test("EmulatedPmem.crash() knows that a drain covers what was flushed in all files", () => {
  using pmem = emulatePmem("cache-line");
  for (
    const drain of [
      (map: Pmem2Map) => map.drain(),
      (map: Pmem2Map) => map.persist(0, 1),
      (map: Pmem2Map) => map.write(Uint8Array.of(1)),
    ]
  ) {
    const [first, second] = [open(pmem, "first"), open(pmem, "second")];
    first.bytes[0]!++;
    first.flush(0, 1);
    const { 0: value } = first.bytes;
    drain(second);
    assertEquals(after(pmem, {}, "first")[0], value);
  }
});

Deno.test("EmulatedPmem.crash() takes an asynchronous flush for durable when it resolves, as it was when it was called", async () => {
  for (const name of ["persistAsync", "deepFlushAsync"] as const) {
    for (const granularity of ["cache-line", "page"] as const) {
      using pmem = emulatePmem(granularity);
      const map = open(pmem);
      map.bytes[0] = 1;
      const promise = map[name](0, 1);
      map.bytes[0] = 2;
      assertThrows(() => pmem.crash(), TypeError, "flush is pending");
      assertEquals([map.closed, map.bytes[0]], [false, 2]);
      await promise;
      assertEquals(after(pmem)[0], 1, `${name}, ${granularity}`);
    }
  }
});

Deno.test("asynchronous flushes of emulated memory resolve in the order of their calls", async () => {
  using pmem = emulatePmem("cache-line");
  using map = open(pmem);
  const order: number[] = [];
  const ways = [map.persistAsync, map.deepFlushAsync].map((way) =>
    way.bind(map)
  );
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    await ways[i % 2]!(0, i % 2 === 0 ? SIZE : 1);
    order.push(i);
  }));
  assertEquals(order, Array.from({ length: 20 }, (_, i) => i));
});

Deno.test("EmulatedPmem.crash() closes all maps of files in its directory, and no others", () => {
  using scratch = new Scratch();
  using pmem = emulatePmem("cache-line");
  const path = pmem.path("file");
  Deno.writeFileSync(path, new Uint8Array(SIZE));
  Deno.mkdirSync(pmem.path("folder"));
  Deno.renameSync(path, pmem.path("folder/renamed"));
  const renamed = pmem.path("folder/renamed");
  using source = Pmem2Source.open(renamed);
  using descriptor = Pmem2Source.fromFd(source.fd!);
  Deno.linkSync(renamed, scratch.path("link"));
  Deno.symlinkSync(renamed, scratch.path("symlink"));
  using reservation = new Pmem2VmReservation(2 ** 20);
  const closed = [
    Pmem2Map.open(renamed),
    Pmem2Map.open(renamed, { write: false }),
    Pmem2Map.from(source, { offset: PAGE }),
    Pmem2Map.from(descriptor),
    Pmem2Map.open(scratch.path("link")),
    Pmem2Map.open(scratch.path("symlink")),
    reservation.map(source),
    reservation.map(renamed),
  ];
  Deno.renameSync(renamed, path);
  using anonymous = Pmem2Source.anonymous(PAGE);
  using memory = Pmem2Map.from(anonymous);
  using copy = Pmem2Map.open(path, { sharing: "private" });
  using elsewhere = Pmem2Map.open(scratch.path("other"), {
    create: true,
    size: SIZE,
  });
  const inside = reservation.map(scratch.path("other"));
  const open = [memory, copy, elsewhere, inside];
  for (const map of open) map.bytes[5] = 5;
  const views = closed.filter((map) => map.writable).map((map) => map.bytes);
  closed[2]!.bytes[0] = 1;
  closed[3]!.bytes[0] = 2;

  pmem.crash();
  assertEquals(closed.map((map) => map.closed), closed.map(() => true));
  assertEquals(views.map((view) => view.length), views.map(() => 0));
  assertEquals(open.map((map) => map.bytes[5]), [5, 5, 5, 5]);
  assertEquals([...reservation], [inside]);
  const bytes = Deno.readFileSync(path);
  assertEquals([bytes[0], bytes[PAGE]], [0, 0]);
});

Deno.test("EmulatedPmem.crash() undoes what was stored by whatever map of the file", () => {
  using pmem = emulatePmem("cache-line");
  const path = pmem.path("file");
  {
    // Closing makes nothing durable.
    using map = open(pmem);
    map.bytes[0] = 1;
    map.bytes[64] = 1;
    map.persist(0, 1);
  }
  {
    using map = Pmem2Map.open(path, { offset: PAGE, length: PAGE });
    map.bytes[0] = 1;
    map.bytes[64] = 1;
    map.persist(64, 1);
  }
  using _again = Pmem2Map.open(path);
  const bytes = after(pmem);
  assertEquals(
    [0, 64, PAGE, PAGE + 64].map((at) => bytes[at]),
    [1, 0, 0, 1],
  );
});

Deno.test("EmulatedPmem.crash() takes for durable what is written while there is no map", () => {
  for (const granularity of granularities) {
    using pmem = emulatePmem(granularity);
    const path = pmem.path("file");
    {
      using map = open(pmem);
      map.bytes[64] = 1;
    }
    const file = Deno.openSync(path, { write: true });
    file.writeSync(Uint8Array.of(9));
    file.close();
    Deno.writeFileSync(pmem.path("never mapped"), Uint8Array.of(1, 2, 3));
    const bytes = after(pmem);
    assertEquals([bytes[0], bytes[64]], [9, granularity === "byte" ? 1 : 0]);
    assertEquals(
      Deno.readFileSync(pmem.path("never mapped")),
      Uint8Array.of(1, 2, 3),
    );
  }
});

Deno.test("EmulatedPmem.crash() takes for a store what is written to a mapped file without its map", () => {
  for (const granularity of granularities) {
    using pmem = emulatePmem(granularity);
    const map = open(pmem);
    using file = Deno.openSync(pmem.path("file"), { write: true });
    file.writeSync(Uint8Array.of(1));
    map.persist(0, 1);
    file.seekSync(PAGE, Deno.SeekMode.Start);
    file.writeSync(Uint8Array.of(2));
    file.syncSync();
    const bytes = after(pmem);
    assertEquals(
      [bytes[0], bytes[PAGE]],
      [1, granularity === "byte" ? 2 : 0],
    );
  }
});

Deno.test("EmulatedPmem.crash() does not take a new file for the one that was removed", () => {
  using pmem = emulatePmem("cache-line");
  for (let i = 0; i < 5; i++) {
    {
      using map = open(pmem);
      map.bytes.fill(1);
    }
    Deno.removeSync(pmem.path("file"));
    Deno.writeFileSync(pmem.path("file"), new Uint8Array(SIZE).fill(2));
    using map = open(pmem);
    map.bytes[0] = 3;
    const bytes = after(pmem);
    assertEquals([bytes[0], bytes[1]], [2, 2]);
    Deno.removeSync(pmem.path("file"));
  }
});

Deno.test("EmulatedPmem.crash() keeps what a file has grown by", () => {
  using pmem = emulatePmem("cache-line");
  using _map = open(pmem);
  using longer = Pmem2Map.open(pmem.path("file"), { size: 2 * SIZE });
  longer.bytes[2 * SIZE - 1] = 1;
  longer.persist(2 * SIZE - 1, 1);
  longer.bytes[SIZE] = 1;
  const bytes = after(pmem);
  assertEquals(bytes.length, 2 * SIZE);
  assertEquals([bytes[SIZE], bytes[2 * SIZE - 1]], [0, 1]);
});

Deno.test("EmulatedPmem.crash() works with sizes that are no whole pages, and with holes", () => {
  for (const size of [1, 100, PAGE + 5]) {
    using pmem = emulatePmem("page");
    Deno.writeFileSync(pmem.path("file"), new Uint8Array(size).fill(1));
    const map = Pmem2Map.open(pmem.path("file"));
    map.bytes[size - 1] = 2;
    map.persist(size - 1, 1);
    map.bytes.fill(3);
    const bytes = after(pmem);
    assertEquals(bytes.length, size);
    assertEquals(
      [bytes[0], bytes[size - 1]],
      [1, 2].slice(size === 1 ? 1 : 0)
        .concat(size === 1 ? [2] : []),
    );
  }
  const size = 2 ** 33;
  using pmem = emulatePmem("cache-line");
  Deno.writeFileSync(pmem.path("file"), new Uint8Array(0));
  Deno.truncateSync(pmem.path("file"), size);
  const map = Pmem2Map.open(pmem.path("file"));
  map.write(Uint8Array.of(1), size - 1);
  map.write(Uint8Array.of(1), size - 100, { flush: false });
  map.write(Uint8Array.of(1), 2 ** 32 + 5, { flush: false });
  pmem.crash();
  using again = Pmem2Map.open(pmem.path("file"));
  const bytes = new Uint8Array(100);
  again.read(bytes, size - 100);
  assertEquals([bytes[0], bytes[99]], [0, 1]);
  again.read(bytes, 2 ** 32);
  assertEquals(bytes[5], 0);
});

Deno.test("EmulatedPmem.crash() keeps or loses words, or sectors, as a whole", () => {
  const units = { "byte": 8, "cache-line": 8, "page": 512 };
  for (const granularity of ["cache-line", "page"] as const) {
    using pmem = emulatePmem(granularity);
    const unit = units[granularity];
    const before = randomBytes(SIZE);
    const stored = before.map((byte) => byte ^ 0x5a);
    const seen = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      Deno.writeFileSync(pmem.path("file"), before);
      const map = open(pmem);
      map.write(stored, 0, { flush: false });
      const bytes = after(pmem, { pending: seed });
      let kept = 0;
      for (let at = 0; at < SIZE; at += unit) {
        const wanted = bytes[at] === before[at] ? before : stored;
        if (wanted === stored) kept++;
        assertEquals(
          bytes.subarray(at, at + unit),
          wanted.subarray(at, at + unit),
        );
      }
      seen.add(`${kept}`);

      // The same seed, the same state.
      Deno.writeFileSync(pmem.path("file"), before);
      open(pmem).write(stored, 0, { flush: false });
      assertEquals(after(pmem, { pending: seed }), bytes);
    }
    assert(seen.size > 10);

    for (const [pending, wanted] of [["kept", stored], ["lost", before]]) {
      Deno.writeFileSync(pmem.path("file"), before);
      open(pmem).write(stored, 0, { flush: false });
      assertEquals(
        after(pmem, { pending } as CrashOptions),
        wanted as Uint8Array<ArrayBuffer>,
      );
    }
  }
});

Deno.test("EmulatedPmem.crash() refuses while a buffer is somebody else's, and changes nothing", async () => {
  using pmem = emulatePmem("cache-line");
  const other = open(pmem, "other");
  other.bytes[0] = 1;
  const map = open(pmem);
  const { buffer } = map;
  const moved = structuredClone(buffer, { transfer: [buffer] });
  assertThrows(() => pmem.crash(), TypeError, "transferred");
  assertEquals([map.closed, other.closed, other.bytes[0]], [false, false, 1]);
  assertEquals(moved.byteLength, SIZE);
  await other.persistAsync(0, 1);
  assertEquals(Deno.readFileSync(pmem.path("other"))[0], 1);
});

Deno.test("EmulatedPmem.crash() refuses bad options, a wrong this, and an emulation that has ended", () => {
  const pmem = emulatePmem("cache-line");
  const map = open(pmem);
  // deno-lint-ignore no-explicit-any
  const any = pmem as any;
  for (
    const pending of ["some", true, {}, null, 1n, Symbol("lost"), ["lost"]]
  ) assertThrows(() => any.crash({ pending }), TypeError, "pending must be");
  for (const pending of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => any.crash({ pending }), RangeError, "pending must be");
  }
  for (const options of ["lost", 1, true]) {
    assertThrows(() => any.crash(options), TypeError, "options must be");
  }
  assertThrows(() => any.crash({ pendign: "lost" }), TypeError, '"pending"');
  const { crash } = any;
  for (const self of [undefined, null, {}, Object.create(pmem)]) {
    assertThrows(() => crash.call(self), TypeError, "`this` is not");
  }
  assertEquals(map.closed, false);
  for (const options of [undefined, null, {}, { pending: undefined }]) {
    any.crash(options);
  }
  pmem[Symbol.dispose]();
  assertThrows(() => pmem.crash(), TypeError, "has ended");
});

Deno.test("EmulatedPmem.crash() of one emulation leaves another's files alone", () => {
  using outer = emulatePmem("cache-line");
  using inner = emulatePmem("cache-line", { directory: outer.directory });
  using beside = emulatePmem("cache-line");
  const [first, second, third] = [outer, inner, beside].map((pmem) =>
    open(pmem)
  );
  for (const map of [first!, second!, third!]) map.bytes[0] = 1;
  inner.crash();
  assertEquals([first!.closed, second!.closed, third!.closed], [
    false,
    true,
    false,
  ]);
  // The files of the inner one are in the outer one's directory.
  const again = open(inner);
  again.bytes[0] = 1;
  outer.crash();
  assertEquals([first!.closed, again.closed, third!.closed], [
    true,
    true,
    false,
  ]);
  assertEquals(Deno.readFileSync(inner.path("file"))[0], 0);
  assertEquals(third!.bytes[0], 1);
  third!.close();
});

Deno.test("emulatePmem() lets go of the files that nobody maps any more", () => {
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  using pmem = emulatePmem("cache-line");
  open(pmem).close();
  const before = descriptors();
  for (let i = 0; i < 50; i++) {
    using map = open(pmem, `${i}`);
    map.fill(i);
  }
  assertEquals(descriptors(), before);
  const maps = Array.from({ length: 10 }, (_, i) => open(pmem, `${i}`));
  for (const map of maps) map.bytes[0] = 99;
  pmem.crash();
  assertEquals(descriptors(), before);
});

/** What is durable of a file, as plainly as it can be said. */
class Plain {
  readonly durable = new Uint8Array(SIZE);
  readonly memory = new Uint8Array(SIZE);
  flushed: { from: number; bytes: Uint8Array }[] = [];
  readonly #unit: number;

  constructor(granularity: Granularity) {
    this.#unit = granularity === "page" ? PAGE : 64;
  }

  flush(offset: number, length: number): void {
    if (length === 0) return;
    const from = Math.floor(offset / this.#unit) * this.#unit;
    const to = Math.ceil((offset + length) / this.#unit) * this.#unit;
    this.flushed.push({ from, bytes: this.memory.slice(from, to) });
    if (this.#unit === PAGE) this.drain();
  }

  deepFlush(offset: number, length: number): void {
    if (length === 0) return;
    this.flush(offset, length);
    if (this.#unit === PAGE) return;
    const { from, bytes } = this.flushed.pop()!;
    this.durable.set(bytes, from);
    for (const older of this.flushed) {
      for (let i = 0; i < older.bytes.length; i++) {
        const at = older.from + i - from;
        if (at >= 0 && at < bytes.length) older.bytes[i] = bytes[at]!;
      }
    }
  }

  drain(): void {
    for (const { from, bytes } of this.flushed) this.durable.set(bytes, from);
    this.flushed = [];
  }

  crash(): void {
    this.memory.set(this.durable);
    this.flushed = [];
  }
}

for (const granularity of ["cache-line", "page"] as const) {
  Deno.test(`EmulatedPmem.crash() agrees with a plain model after anything, at ${granularity} granularity`, () => {
    const random = new Random(20261127);
    using pmem = emulatePmem(granularity);
    const names = ["a", "b"];
    const plain = names.map(() => new Plain(granularity));
    const maps: (Pmem2Map | null)[] = [null, null];
    for (let i = 0; i < 4000; i++) {
      const which = random.below(2);
      const model = plain[which]!;
      const map = maps[which] ??= open(pmem, names[which]);
      const offset = random.below(SIZE);
      const length = random.chance(0.1)
        ? SIZE - offset
        : Math.min(random.below(200), SIZE - offset);
      const value = random.below(256);
      const store = () => model.memory.fill(value, offset, offset + length);
      const drainAll = () => plain.forEach((one) => one.drain());
      switch (random.below(12)) {
        case 0:
        case 1:
          map.bytes.fill(value, offset, offset + length);
          store();
          break;
        case 2:
          map.fill(value, offset, length);
          store();
          if (length === 0) break;
          model.flush(offset, length);
          drainAll();
          break;
        case 3:
          map.fill(value, offset, length, { drain: false });
          store();
          model.flush(offset, length);
          break;
        case 4:
          map.write(new Uint8Array(length).fill(value), offset, {
            flush: false,
          });
          store();
          break;
        case 5:
          map.flush(offset, length);
          model.flush(offset, length);
          break;
        case 6:
          map.persist(offset, length);
          if (length === 0) break;
          model.flush(offset, length);
          drainAll();
          break;
        case 7:
          map.drain();
          drainAll();
          break;
        case 8:
          map.deepFlush(offset, length);
          model.deepFlush(offset, length);
          break;
        case 9:
          map.close();
          maps[which] = null;
          break;
        case 10: {
          const target = random.below(SIZE - length + 1);
          map.move(target, offset, length, { flush: false });
          model.memory.copyWithin(target, offset, offset + length);
          break;
        }
        default:
          if (random.chance(0.7)) break;
          pmem.crash();
          maps.fill(null);
          for (const [j, one] of plain.entries()) {
            one.crash();
            if (!exists(pmem.path(names[j]!))) continue;
            assertSameBytes(
              Deno.readFileSync(pmem.path(names[j]!)),
              one.durable,
              `file ${j} after ${i} calls`,
            );
          }
      }
    }
    for (const map of maps) map?.close();
  });
}

for (const granularity of granularities) {
  Deno.test(`EmulatedPmem.crash() knows what a reservation has made durable across its maps, at ${granularity} granularity`, async () => {
    const border = SIZE;
    const cases: [
      act: (memory: Pmem2VmReservation) => unknown,
      kept: boolean,
    ][] = [
      [(memory) => memory.view(border - 1, 2).fill(7), granularity === "byte"],
      [(memory) => {
        memory.view(border - 1, 2).fill(7);
        memory.persist(border - 1, 2);
      }, true],
      [(memory) => memory.write(Uint8Array.of(7, 7), border - 1), true],
      [(memory) => memory.fill(7, border - 1, 2), true],
      [(memory) => {
        memory.fill(7, 0, 2);
        memory.move(border - 1, 0, 2);
      }, true],
      [
        (memory) => memory.fill(7, border - 1, 2, { flush: false }),
        granularity === "byte",
      ],
      [
        (memory) => memory.fill(7, border - 1, 2, { drain: false }),
        granularity !== "cache-line",
      ],
      [(memory) => {
        memory.fill(7, border - 1, 2, { drain: false });
        memory.drain();
      }, true],
      [(memory) => {
        memory.view(border - 1, 2).fill(7);
        memory.flush(border - 1, 2);
        memory.drain();
      }, true],
      [(memory) => {
        memory.view(border - 1, 2).fill(7);
        memory.deepFlush(border - 1, 2);
      }, true],
      [async (memory) => {
        memory.view(border - 1, 2).fill(7);
        await memory.persistAsync(border - 1, 2);
      }, true],
      [async (memory) => {
        memory.view(border - 1, 2).fill(7);
        await memory.deepFlushAsync(border - 1, 2);
      }, true],
    ];
    for (const [act, kept] of cases) {
      using pmem = emulatePmem(granularity);
      using memory = new Pmem2VmReservation(2 * SIZE);
      for (const name of ["a", "b"]) {
        memory.map(pmem.path(name), { create: true, size: SIZE });
      }
      await act(memory);
      pmem.crash();
      assertEquals([...memory], []);
      assertEquals(
        [
          Deno.readFileSync(pmem.path("a"))[SIZE - 1],
          Deno.readFileSync(pmem.path("b"))[0],
        ],
        kept ? [7, 7] : [0, 0],
        `${act}`,
      );
    }
  });
}

Deno.test("EmulatedPmem.crash() refuses while a buffer over several maps is somebody else's", () => {
  using pmem = emulatePmem("cache-line");
  const memory = new Pmem2VmReservation(2 * SIZE);
  const maps = ["a", "b"].map((name) =>
    memory.map(pmem.path(name), { create: true, size: SIZE })
  );
  const { buffer } = memory.view();
  const held = structuredClone(buffer, { transfer: [buffer] });
  assertThrows(() => pmem.crash(), TypeError, "transferred");
  assertEquals(maps.map((map) => map.closed), [false, false]);
  assertEquals(held.byteLength, 2 * SIZE);
});
