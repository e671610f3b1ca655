import {
  Pmem2Error,
  type Pmem2Map,
  type Pmem2Memory,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { dirtyBytes, dirtyPagesObstacle } from "./support/dirty_pages.ts";
import { ForeignCode } from "./support/foreign_code.ts";
import { forceGranularity } from "./support/force_granularity.ts";
import { PAGE } from "./support/page.ts";
import { compileRecorder, recorderObstacle } from "./support/recorder.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

/** The size of a file that leaves some of its last page. */
const ODD = PAGE - 1000;

/** Files side by side in a reservation, and room behind them. */
class Files implements Disposable {
  readonly scratch = new Scratch();
  readonly reservation: Pmem2VmReservation;
  readonly maps: Pmem2Map[] = [];

  constructor(sizes: number[], free = 0) {
    const pages = sizes.map((size) => Math.ceil(size / PAGE));
    const sum = pages.reduce((sum, count) => sum + count, 0);
    this.reservation = new Pmem2VmReservation((sum + free) * PAGE);
    let at = 0;
    for (const [i, size] of sizes.entries()) {
      if (size > 0) {
        const options = { create: true, size, at };
        this.maps.push(this.reservation.map(this.path(i), options));
      }
      at += pages[i]! * PAGE;
    }
  }

  path(i: number): string {
    return this.scratch.path(String(i));
  }

  file(i: number): Uint8Array<ArrayBuffer> {
    return Deno.readFileSync(this.path(i));
  }

  [Symbol.dispose](): void {
    this.reservation[Symbol.dispose]();
    this.scratch[Symbol.dispose]();
  }
}

// What is opened of libpmem2 stays open, and is no test's leak.
{
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(PAGE);
  reservation.map(source);
  await Promise.allSettled([
    reservation.persistAsync(),
    reservation.deepFlushAsync(),
  ]);
}

const numbers = (length: number, from = 1) =>
  Uint8Array.from({ length }, (_, i) => from + i);

Deno.test("a program for Pmem2Memory works with a map and with a reservation", async () => {
  using files = new Files([PAGE, PAGE]);
  using source = Pmem2Source.anonymous(2 * PAGE);
  using other = new Pmem2VmReservation(2 * PAGE);
  const memories: Pmem2Memory[] = [files.reservation, other.map(source)];
  for (const memory of memories) {
    assertEquals(typeof memory.address, "bigint");
    assertEquals([memory.size, memory.closed], [2 * PAGE, false]);
    memory.write(numbers(10), PAGE - 5);
    memory.move(PAGE - 3, PAGE - 5, 10);
    memory.fill(0xff, PAGE, 1);
    memory.persist();
    memory.flush(PAGE - 5, 20);
    memory.drain();
    await memory.persistAsync(PAGE - 5, 20);
    const bytes = new Uint8Array(14);
    memory.read(bytes, PAGE - 6);
    assertEquals([...bytes], [0, 1, 2, 1, 2, 3, 255, 5, 6, 7, 8, 9, 10, 0]);
  }
  await files.reservation.deepFlushAsync();
  files.reservation.deepFlush();
});

Deno.test("Pmem2VmReservation.read(), write(), move() and fill() go across borders", () => {
  using files = new Files([PAGE, 2 * PAGE, PAGE]);
  const { reservation, maps } = files;
  const data = new Uint8Array(3 * PAGE).map((_, i) => 1 + i % 250);
  reservation.write(data, PAGE / 2);
  const back = new Uint8Array(3 * PAGE);
  reservation.read(back, PAGE / 2);
  assertEquals(back, data);
  assertEquals(files.file(0).subarray(PAGE / 2), data.subarray(0, PAGE / 2));
  assertEquals(
    files.file(2).subarray(0, PAGE / 2),
    data.subarray(2.5 * PAGE),
  );
  reservation.fill(7, PAGE - 1, 2);
  assertEquals([maps[0]!.bytes.at(-1), maps[1]!.bytes[0]], [7, 7]);
  reservation.fill(9);
  assertEquals(files.file(1), new Uint8Array(2 * PAGE).fill(9));
  reservation.fill(8, PAGE);
  assertEquals([maps[0]!.bytes.at(-1), maps[1]!.bytes[0]], [9, 8]);
});

Deno.test("Pmem2VmReservation.write() and move() take what overlaps, across borders", () => {
  using files = new Files([PAGE, PAGE, PAGE]);
  const { reservation } = files;
  const size = 3 * PAGE;
  const expected = new Uint8Array(size).map((_, i) => i * 7 + (i >> 8));
  const actual = new Uint8Array(size);
  const check = (what: string) => {
    reservation.read(actual);
    for (let i = 0; i < size; i++) {
      if (actual[i] !== expected[i]) throw new Error(`${what}: byte ${i}`);
    }
  };
  reservation.write(expected);
  for (const distance of [-PAGE - 3, -100, -1, 0, 1, 64, 1500, PAGE + 3]) {
    for (const [at, length] of [[PAGE - 20, 40], [PAGE / 2, PAGE + PAGE / 4]]) {
      const to = at! + distance;
      if (to < 0) continue;
      reservation.move(to, at!, length!);
      expected.copyWithin(to, at!, at! + length!);
      check(`move by ${distance}`);
      for (
        const options of [undefined, { flush: false }, { temporal: false }]
      ) {
        reservation.write(reservation.view(at, length), to, options);
        expected.copyWithin(to, at!, at! + length!);
        check(`write by ${distance}`);
      }
    }
  }
});

Deno.test("what is stored across something free is refused, and nothing is stored", () => {
  using files = new Files([PAGE, PAGE], 1);
  const { reservation } = files;
  const before = new Uint8Array(PAGE).fill(7);
  reservation.fill(7, 0, 2 * PAGE);
  for (
    const [at, length] of [[2 * PAGE - 1, 2], [2 * PAGE, 1], [0, 3 * PAGE]] as [
      number,
      number,
    ][]
  ) {
    for (
      const refused of [
        () => reservation.write(new Uint8Array(length).fill(1), at),
        () => reservation.fill(1, at, length),
        () => reservation.move(at, 0, length),
        () => reservation.move(0, at, length),
        () => reservation.read(new Uint8Array(length), at),
        () => void reservation.view(at, length),
      ]
    ) {
      assertThrows(
        refused,
        RangeError,
        `be mapped: offset ${2 * PAGE} is free`,
      );
    }
  }
  // To the end of the reservation, without a length.
  assertThrows(() => reservation.view(), RangeError, "is free");
  assertThrows(() => reservation.fill(1), RangeError, "is free");
  assertEquals([files.file(0), files.file(1)], [before, before]);
});

Deno.test("what is free is named by its first offset, wherever the range starts", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(6 * PAGE);
  for (const at of [PAGE, 2 * PAGE, 4 * PAGE]) reservation.map(source, { at });
  for (
    const [from, to, free] of [
      [0, PAGE, 0],
      [5, PAGE, 5],
      [PAGE - 1, PAGE + 1, PAGE - 1],
      [PAGE, 4 * PAGE, 3 * PAGE],
      [2 * PAGE + 9, 5 * PAGE, 3 * PAGE],
      [3 * PAGE + 7, 5 * PAGE, 3 * PAGE + 7],
      [4 * PAGE, 6 * PAGE, 5 * PAGE],
    ] as const
  ) {
    const message = `mapped: offset ${free} is free`;
    assertThrows(() => reservation.view(from, to - from), RangeError, message);
    assertThrows(
      () => reservation.fill(0, from, to - from),
      RangeError,
      message,
    );
  }
});

Deno.test("nothing is fine anywhere, and past the end nothing is", () => {
  using reservation = new Pmem2VmReservation(4 * PAGE);
  using source = Pmem2Source.anonymous(PAGE);
  reservation.map(source, { at: PAGE, write: false });
  const none = new Uint8Array(0);
  for (const at of [0, 1, PAGE, PAGE + 5, 4 * PAGE]) {
    reservation.read(none, at);
    reservation.write(none, at);
    reservation.move(at, at, 0);
    reservation.fill(1, at, 0);
    assertEquals(reservation.view(at, 0).length, 0);
    for (const flush of ["persist", "flush", "deepFlush"] as const) {
      reservation[flush](at, 0);
    }
  }
  const byte = Uint8Array.of(1);
  for (
    const refused of [
      () => reservation.read(byte, 4 * PAGE),
      () => reservation.read(none, 4 * PAGE + 1),
      () => reservation.write(byte, -1),
      () => reservation.write(byte, 0.5),
      () => reservation.move(4 * PAGE, 0, 1),
      () => reservation.move(0, 2 ** 53, 1),
      () => reservation.fill(1, 4 * PAGE, 1),
      () => reservation.fill(256),
      () => void reservation.view(4 * PAGE, 1),
      () => void reservation.view(0, 4 * PAGE + 1),
      () => void reservation.view(NaN),
      () => reservation.persist(4 * PAGE, 1),
      () => reservation.flush(0, 4 * PAGE + 1),
      () => reservation.deepFlush(-1),
    ]
  ) {
    assertThrows(refused, RangeError, "Cannot ", String(refused));
  }
});

Deno.test("what lies behind a file's end in its last page is memory, and never in the file", () => {
  using files = new Files([ODD, PAGE]);
  const { reservation } = files;
  const bytes = new Uint8Array(PAGE - ODD);
  reservation.fill(0xee, ODD, PAGE - ODD, { flush: false });
  reservation.read(bytes, ODD);
  assert(bytes.every((byte) => byte === 0xee));
  const view = reservation.view(ODD - 10, 20);
  assertEquals([...view.subarray(8, 12)], [0, 0, 0xee, 0xee]);
  view.fill(3);
  reservation.move(ODD + 100, ODD - 5, 10, { flush: false });
  assertEquals([...reservation.view(ODD + 100, 2)], [3, 3]);
  // Across both borders: that of the file and that of the map.
  reservation.write(new Uint8Array(2 * PAGE - 20).fill(5), 20);
  reservation.persist();
  reservation.persist(ODD, 10);
  reservation.deepFlush(ODD - 1, 100);
  const file = files.file(0);
  assertEquals(file.length, ODD);
  assert(file.subarray(20).every((byte) => byte === 5));
  assert(files.file(1).every((byte) => byte === 5));
});

Deno.test("a map that doesn't allow what is wanted is named by its offset", async () => {
  using reservation = new Pmem2VmReservation(5 * PAGE);
  using source = Pmem2Source.anonymous(PAGE);
  const all = reservation.map(source, { at: 0 });
  reservation.map(source, { at: PAGE, write: false });
  reservation.map(source, { at: 2 * PAGE, sharing: "private" });
  reservation.map(source, { at: 3 * PAGE, read: false, write: false });
  const two = new Uint8Array(2);
  const at = (offset: number, rule: string) =>
    `as the map at offset ${offset} is not ${rule}`;
  for (
    const [refused, message] of [
      [() => void reservation.view(0, 2 * PAGE), at(PAGE, "readable and wr")],
      [
        () => void reservation.view(PAGE, 1),
        at(
          PAGE,
          'readable and writable: use read(), or map it with sharing: "pr',
        ),
      ],
      [() => reservation.write(two, PAGE - 1), at(PAGE, "writable")],
      [() => reservation.write(two, PAGE), at(PAGE, "writable")],
      [() => reservation.fill(1, PAGE - 1, 2), at(PAGE, "writable")],
      [() => reservation.move(PAGE, 0, 1), at(PAGE, "writable")],
      [() => reservation.move(0, 3 * PAGE, 1), at(3 * PAGE, "readable")],
      [() => reservation.read(two, 3 * PAGE - 1), at(3 * PAGE, "readable")],
      [() => reservation.persist(0, 4 * PAGE), at(3 * PAGE, "readable or w")],
      [() => reservation.flush(3 * PAGE, 1), at(3 * PAGE, "readable or w")],
      [() => reservation.deepFlush(), at(3 * PAGE, "readable or writable")],
    ] as const
  ) {
    assertThrows(refused, TypeError, message, String(refused));
  }
  for (const name of ["persistAsync", "deepFlushAsync"] as const) {
    const promise = reservation[name]();
    await assertRejects(() => promise, TypeError, at(3 * PAGE, "readable or"));
  }
  assert(all.bytes.every((byte) => byte === 0));
  // And what each allows works.
  reservation.read(two, PAGE - 1);
  reservation.move(0, PAGE, 1);
  reservation.write(two, 3 * PAGE - 2);
  reservation.persist(0, 3 * PAGE);
});

Deno.test("a map that other native code made can be copied from and to, and has no view", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(3 * PAGE);
  using foreign = new ForeignCode();
  reservation.map(source, { at: 0 });
  foreign.map(reservation, PAGE, PAGE);
  reservation.write(numbers(10), PAGE - 5);
  const bytes = new Uint8Array(10);
  reservation.read(bytes, PAGE - 5);
  assertEquals(bytes, numbers(10));
  reservation.persist();
  for (const [at, length] of [[PAGE, 1], [PAGE - 1, 2]]) {
    assertThrows(
      () => reservation.view(at, length),
      TypeError,
      `the map at offset ${PAGE} belongs to the native code that made it`,
    );
  }
});

Deno.test("each way to flush skips what is free", async () => {
  using files = new Files([PAGE, PAGE, PAGE], 3);
  const { reservation, maps } = files;
  maps[1]!.close();
  for (const flush of ["persist", "flush", "deepFlush"] as const) {
    reservation[flush]();
    reservation[flush](PAGE, PAGE);
    reservation[flush](PAGE - 1, PAGE + 2);
    reservation[flush](3 * PAGE);
  }
  for (const flush of ["persistAsync", "deepFlushAsync"] as const) {
    assertEquals(await reservation[flush](), undefined);
    assertEquals(await reservation[flush](PAGE, PAGE), undefined);
  }
  using empty = new Pmem2VmReservation(PAGE);
  empty.persist();
  empty.drain();
  await empty.persistAsync();
});

testUnless(
  dirtyPagesObstacle(),
  "each way to flush writes out the pages of its range, in all of its maps",
  async () => {
    using scratch = new Scratch();
    using _pmem = forceGranularity("page", { directory: scratch.directory });
    using files = new Files([2 * PAGE, PAGE, 2 * PAGE]);
    const { reservation, maps } = files;
    const dirty = () => maps.map((map) => dirtyBytes(map.address) > 0);
    for (
      const flush of [
        () => reservation.persist(PAGE, 3 * PAGE),
        () => reservation.flush(PAGE, 3 * PAGE),
        () => reservation.deepFlush(PAGE, 3 * PAGE),
        () => reservation.persistAsync(PAGE, 3 * PAGE),
        () => reservation.deepFlushAsync(PAGE, 3 * PAGE),
        () => reservation.persist(reservation.view(PAGE, 3 * PAGE)),
        () => reservation.persistAsync(reservation.view(PAGE, 3 * PAGE)),
        () => reservation.write(reservation.view(PAGE, 3 * PAGE), PAGE),
        () => reservation.fill(1, PAGE, 3 * PAGE),
        () => reservation.move(PAGE, 0, 3 * PAGE),
      ]
    ) {
      reservation.fill(1, PAGE, 3 * PAGE, { flush: false });
      assertEquals(dirty(), [true, true, true]);
      await flush();
      assertEquals(dirty(), [false, false, false], String(flush));
    }
    // What is outside of the range stays as it is.
    reservation.fill(1, 0, 5 * PAGE, { flush: false });
    reservation.persist(PAGE, 3 * PAGE);
    assertEquals(dirty(), [true, false, true]);
    assertEquals(dirtyBytes(maps[0]!.address), PAGE);
  },
);

testUnless(
  recorderObstacle(),
  "each map of a range is flushed as its granularity wants, with one drain at the end",
  async () => {
    using scratch = new Scratch();
    // At page granularity it's the kernel that is called.
    for (const granularity of ["byte", "cache-line"]) {
      const { code, stdout, stderr } = await run(
        `
import { Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import { Recorder } from "./tests/support/recorder.ts";

const PAGE = ${PAGE};
const recorder = new Recorder();
using reservation = new Pmem2VmReservation(3 * PAGE);
for (const name of ["a", "b", "c"]) {
  const path = "${scratch.directory}/${granularity}-" + name;
  reservation.map(path, { create: true, size: name === "b" ? ${ODD} : PAGE });
}
const isStore = ({ name }) => name.startsWith("mem");
const NODRAIN = 1, NOFLUSH = 32;
const flushes = (calls) =>
  calls.filter((call) => isStore(call) ? !(call.flags & NOFLUSH) : ["persist", "flush"].includes(call.name))
    .map(({ address, length }) => [Number(address - reservation.address), length]);
const drains = (calls) =>
  calls.filter((call) => isStore(call) ? !(call.flags & (NOFLUSH | NODRAIN)) : ["persist", "drain"].includes(call.name)).length;
const whole = [[PAGE - 300, 300], [PAGE, ${ODD}], [2 * PAGE, 300]];
const waits = 1;
const data = new Uint8Array(PAGE + 600);
const stores = {
  write: (options) => reservation.write(data, PAGE - 300, options),
  move: (options) => reservation.move(PAGE - 300, 0, data.length, options),
  fill: (options) => reservation.fill(0, PAGE - 300, data.length, options),
};
for (const [name, store] of Object.entries(stores)) {
  for (const options of [{}, { drain: false }, { flush: false }, { temporal: true }, { temporal: false, drain: false }]) {
    recorder.take();
    store(options);
    const calls = recorder.take();
    const what = name + JSON.stringify(options);
    const wanted = options.flush === false ? [] : name === "move" ? whole.toReversed() : whole;
    assertEquals(flushes(calls).sort(([a], [b]) => a - b), [...wanted].sort(([a], [b]) => a - b), what);
    assertEquals(drains(calls), options.flush === false || options.drain === false ? 0 : waits, what);
  }
}
recorder.take();
reservation.persist(PAGE - 300, PAGE + 600);
let calls = recorder.take();
assertEquals(flushes(calls), whole);
assertEquals(drains(calls), waits);
reservation.flush(PAGE - 300, PAGE + 600);
calls = recorder.take();
assertEquals(flushes(calls), whole);
assertEquals(drains(calls), 0);
reservation.drain();
calls = recorder.take();
assertEquals(flushes(calls), []);
assertEquals(drains(calls), waits);
// Inside of one map it's the map's own call.
reservation.persist(10, 20);
assertEquals(recorder.take().map(({ name, address, length }) => [name, address - reservation.address, length]), [["persist", 10n, 20]]);
await reservation.persistAsync(PAGE - 300, PAGE + 600);
assertEquals(flushes(recorder.take()).sort(([a], [b]) => a - b), whole);
console.log("checked");
        `,
        {
          env: {
            PMEM2_LIBRARY: compileRecorder(scratch.directory),
            PMEM2_FORCE_GRANULARITY: granularity.toUpperCase().replace(
              "-",
              "_",
            ),
          },
        },
      );
      assertEquals([code, stdout], [0, "checked\n"], stderr);
    }
  },
);

Deno.test("of several flushes that fail all are done, and the first error is thrown", async () => {
  using files = new Files([PAGE, PAGE, PAGE]);
  const { reservation, maps } = files;
  maps[0]!.close();
  maps[2]!.close();
  using source = Pmem2Source.anonymous(PAGE);
  // Nobody makes anonymous memory durable so deeply.
  reservation.map(source, { at: 0 });
  reservation.map(source, { at: 2 * PAGE });
  reservation.fill(1, PAGE, PAGE, { flush: false });
  const error = assertThrows(() => reservation.deepFlush(), Pmem2Error);
  assertEquals([error.code, error.call], [
    "PMEM2_E_NOSUPP",
    "pmem2_deep_flush",
  ]);
  if (dirtyPagesObstacle() === null) {
    assertEquals(dirtyBytes(maps[1]!.address), 0);
  }
  const rejected = await assertRejects(
    () => reservation.deepFlushAsync(),
    Pmem2Error,
  );
  assertEquals(rejected.code, "PMEM2_E_NOSUPP");
  // What failed is pending no more.
  reservation.close({ maps: true });
});

Deno.test("no map of a range can be closed while its flush is pending", async () => {
  using files = new Files([PAGE, PAGE, PAGE]);
  const { reservation, maps } = files;
  for (const flush of ["persistAsync", "deepFlushAsync"] as const) {
    const pending = reservation[flush](0, PAGE + 1);
    for (const map of maps.slice(0, 2)) {
      assertThrows(() => map.close(), TypeError, "flush is pending");
    }
    assertThrows(
      () => reservation.close({ maps: true }),
      TypeError,
      "flush is pending",
    );
    assertEquals(maps.map(({ closed }) => closed), [false, false, false]);
    await pending;
  }
  maps[0]!.close();
});

Deno.test("Pmem2VmReservation[Symbol.asyncDispose]() waits for its maps' flushes, then closes all", async () => {
  using scratch = new Scratch();
  const flushes: Promise<void>[] = [];
  let kept: Pmem2VmReservation;
  {
    await using reservation = new Pmem2VmReservation(4 * PAGE);
    kept = reservation;
    for (const name of ["a", "b"]) {
      reservation.map(scratch.path(name), { create: true, size: PAGE });
    }
    reservation.fill(4, 0, 2 * PAGE, { flush: false });
    flushes.push(reservation.persistAsync());
    flushes.push(reservation.findLast()!.deepFlushAsync());
    assertThrows(() => reservation[Symbol.dispose](), TypeError, "is pending");
  }
  assertEquals(kept.closed, true);
  await Promise.all(flushes);
  await kept[Symbol.asyncDispose]();

  using source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(2 * PAGE);
  const map = reservation.map(source);
  const { buffer } = map;
  const taken = structuredClone(buffer, { transfer: [buffer] });
  await assertRejects(
    () => reservation[Symbol.asyncDispose](),
    TypeError,
    "was transferred",
  );
  assertEquals([map.closed, reservation.closed, taken.byteLength], [
    false,
    false,
    PAGE,
  ]);
  const dispose = Pmem2VmReservation.prototype[Symbol.asyncDispose];
  const wrong = dispose.call({} as Pmem2VmReservation);
  await assertRejects(() => wrong, TypeError, "is not a Pmem2VmReservation");
});

Deno.test("the asynchronous methods of a reservation reject and do not throw", async () => {
  using files = new Files([PAGE, PAGE]);
  // deno-lint-ignore no-explicit-any
  const reservation = files.reservation as any;
  for (const method of ["persistAsync", "deepFlushAsync"]) {
    for (
      const [args, Class] of [
        [["0"], TypeError],
        [[null], TypeError],
        [[new Uint8Array(1)], TypeError],
        [[0, null], TypeError],
        [[-1], RangeError],
        [[0, 2 * PAGE + 1], RangeError],
      ] as const
    ) {
      const promise = reservation[method](...args);
      assertInstanceOf(promise, Promise);
      await assertRejects(() => promise, Class as typeof TypeError, "Cannot ");
    }
  }
});

Deno.test("a map that comes to lie between two others is a part of the memory", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(3 * PAGE);
  reservation.map(source, { at: 0 });
  reservation.map(source, { at: 2 * PAGE });
  // Whose neighbors they are is known from here on.
  assertEquals([...reservation].length, 2);
  reservation.persist();
  const between = reservation.map(source, { at: PAGE });
  reservation.fill(7);
  assertEquals(reservation.view().indexOf(0), -1);
  assertEquals(between.bytes.indexOf(0), -1);
});

Deno.test("a shrunk reservation's offsets are those of its new start", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(4 * PAGE);
  reservation.map(source, { at: 2 * PAGE });
  reservation.map(source, { at: 3 * PAGE });
  reservation.write(numbers(10), 3 * PAGE - 5);
  const view = reservation.view(3 * PAGE - 5, 10);
  reservation.shrink(0, PAGE);
  const bytes = new Uint8Array(10);
  reservation.read(bytes, 2 * PAGE - 5);
  assertEquals(bytes, numbers(10));
  assertEquals(reservation.view(2 * PAGE - 5, 10), view);
  assertEquals(reservation.view(2 * PAGE - 5, 10).buffer, view.buffer);
  reservation.persist(view);
  assertThrows(() => reservation.read(bytes, PAGE - 5), RangeError, "is free");
  reservation.extend(PAGE);
  assertThrows(
    () => reservation.view(PAGE),
    RangeError,
    `offset ${3 * PAGE} is free`,
  );
});
