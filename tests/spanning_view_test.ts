import { type Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";

/** A multiple of every page size. */
const PAGE = 65_536;

/** Anonymous maps of a page each, side by side. */
function neighbors(
  count: number,
): { reservation: Pmem2VmReservation; maps: Pmem2Map[] } {
  using source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(count * PAGE);
  const maps = Array.from({ length: count }, () => reservation.map(source));
  return { reservation, maps };
}

Deno.test("Pmem2VmReservation.view() is the memory itself, across borders", () => {
  const { reservation, maps } = neighbors(3);
  using _reservation = reservation;
  const all = reservation.view();
  assertEquals([all.length, all.byteOffset], [3 * PAGE, 0]);
  assert(all instanceof Uint8Array && all.buffer instanceof ArrayBuffer);
  all.set([1, 2, 3, 4], PAGE - 2);
  assertEquals([...maps[0]!.bytes.subarray(-2)], [1, 2]);
  assertEquals([...maps[1]!.bytes.subarray(0, 2)], [3, 4]);
  maps[1]!.bytes[1] = 9;
  assertEquals([...reservation.view(PAGE - 1, 3)], [2, 3, 9]);
  assertEquals(reservation.view(2 * PAGE).length, PAGE);
  assertNotStrictEquals(reservation.view(), all);
  const words = new Uint32Array(all.buffer, PAGE - 4, 2);
  words.fill(0xffffffff);
  assertEquals(all.subarray(PAGE - 4, PAGE + 4), new Uint8Array(8).fill(255));
});

Deno.test("views over the same maps share a buffer, and others don't", () => {
  const { reservation, maps } = neighbors(3);
  using _reservation = reservation;
  const one = reservation.view(PAGE - 10, 20);
  const other = reservation.view(5, 2 * PAGE - 5);
  assertStrictEquals(one.buffer, other.buffer);
  assertEquals(one.byteOffset, PAGE - 10);
  const inLast = reservation.view(2 * PAGE + 3, 4);
  assertStrictEquals(reservation.view(2 * PAGE, PAGE).buffer, inLast.buffer);
  assertStrictEquals(inLast.buffer, maps[2]!.buffer);
  assertNotStrictEquals(reservation.view().buffer, one.buffer);
  assertStrictEquals(reservation.view(PAGE - 1, 2).buffer, one.buffer);
});

Deno.test("a view is empty as soon as a map under it is closed, and others stay", () => {
  const { reservation, maps } = neighbors(4);
  using _reservation = reservation;
  const views = {
    all: reservation.view(),
    first: reservation.view(0, PAGE),
    firstTwo: reservation.view(PAGE - 1, 2),
    middle: reservation.view(PAGE, 2 * PAGE),
    last: reservation.view(3 * PAGE),
  };
  const lengths = () =>
    Object.values(views).map(({ length, buffer }) => [
      length,
      buffer.byteLength,
    ]);
  maps[1]!.close();
  assertEquals(lengths(), [[0, 0], [PAGE, PAGE], [0, 0], [0, 0], [PAGE, PAGE]]);
  views.last.fill(1);
  assertThrows(() => reservation.view(), RangeError, `${PAGE} is free`);
  maps[3]!.close();
  assertEquals(lengths().slice(3), [[0, 0], [0, 0]]);
  maps[0]!.close();
  assertEquals(views.first.length, 0);
});

Deno.test("what is mapped anew has a new view", () => {
  const { reservation, maps } = neighbors(2);
  using _reservation = reservation;
  using source = Pmem2Source.anonymous(PAGE);
  const before = reservation.view();
  before.fill(1);
  maps[1]!.close();
  reservation.map(source);
  const after = reservation.view();
  assertEquals([before.length, after.length], [0, 2 * PAGE]);
  assertEquals([after[PAGE - 1], after[PAGE]], [1, 0]);
  reservation.close({ maps: true });
  assertEquals([after.length, after.buffer.byteLength], [0, 0]);
});

Deno.test("a file's last page is in a view whole", () => {
  using scratch = new Scratch();
  using reservation = new Pmem2VmReservation(2 * PAGE);
  const options = { create: true, size: 5000 };
  const map = reservation.map(scratch.path("a"), options);
  reservation.map(scratch.path("b"), { ...options, at: PAGE });
  const page = reservation.view(0, 5000).buffer.byteLength;
  assert(page > 5000);
  assertStrictEquals(
    reservation.view(page - 1, 1).buffer,
    reservation.view(0, 1).buffer,
  );
  const free = reservation.view(0, 10);
  map.close();
  assertEquals(free.length, 0);
});

Deno.test("a spanning view that was transferred keeps its maps open", async () => {
  const { code, stdout, stderr } = await run(
    `
import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";

const PAGE = ${PAGE};
using source = Pmem2Source.anonymous(PAGE);
const reservation = new Pmem2VmReservation(4 * PAGE);
const maps = [0, 1, 2, 3].map(() => reservation.map(source));
const whole = reservation.view(PAGE, 2 * PAGE);
const other = reservation.view(0, 2 * PAGE);
let taken = whole.buffer.transfer();
new Uint8Array(taken).fill(7);
for (let round = 0; round < 3; round++) {
  for (const map of maps.slice(1, 3)) {
    assertThrows(() => map.close(), TypeError, "a buffer over it was transferred");
    assertThrows(() => map[Symbol.dispose](), TypeError, "transferred");
  }
  assertThrows(() => reservation.close({ maps: true }), TypeError, "transferred");
  assertEquals(maps.map(({ closed }) => closed), [false, false, false, false]);
  assertEquals(other.length, 2 * PAGE);
  assertThrows(() => reservation.view(PAGE, PAGE + 1), TypeError, "the buffer of these maps was transferred");
  // Never forgotten, whatever the collector does.
  for (let i = 0; i < 100; i++) reservation.view(0, PAGE + i);
  gc();
}
reservation.persist(whole);
// Views over other maps, and the maps' own, are not concerned.
assertEquals(maps[1].bytes[0], 7);
assertEquals(reservation.view(PAGE, PAGE)[0], 7);
assertEquals(reservation.view(0, 3 * PAGE)[PAGE], 7);
maps[3].close();
maps[0].close();
assertEquals(other.length, 0);
assertEquals(new Uint8Array(taken)[2 * PAGE - 1], 7);
taken = null;
whole.length;
gc();
assertThrows(() => maps[1].close(), TypeError, "transferred");
console.log("end");
  `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals([code, stdout], [0, "end\n"], stderr);
});

Deno.test("a map's own buffer that was transferred has no spanning view of that map alone", () => {
  const { reservation, maps } = neighbors(2);
  const { buffer } = maps[0]!;
  const taken = structuredClone(buffer, { transfer: [buffer] });
  assertThrows(() => reservation.view(0, 1), TypeError, "was transferred");
  assertEquals(reservation.view().length, 2 * PAGE);
  assertThrows(
    () => reservation.close({ maps: true }),
    TypeError,
    "at offset 0",
  );
  assertEquals(taken.byteLength, PAGE);
});

Deno.test("the ways to flush take a view on any of a reservation's buffers", async () => {
  const { reservation, maps } = neighbors(3);
  using _reservation = reservation;
  const spanning = reservation.view(PAGE - 8, 16);
  const single = reservation.view(10, 20);
  const views = [
    spanning,
    single,
    new DataView(spanning.buffer, PAGE - 1, 2),
    new Float64Array(spanning.buffer, PAGE - 8, 2),
    maps[1]!.bytes.subarray(3, 5),
    new DataView(maps[2]!.buffer),
    maps[2]!.bytes.subarray(7, 7),
    spanning.subarray(3, 3),
    reservation.view(5, 0),
  ];
  for (const view of views) {
    reservation.persist(view);
    reservation.flush(view);
    reservation.drain();
    await reservation.persistAsync(view);
  }
  const { reservation: stranger } = neighbors(1);
  using _stranger = stranger;
  const closed = maps[0]!.bytes;
  maps[0]!.close();
  for (
    const view of [
      new Uint8Array(8),
      new Uint8Array(8).subarray(3, 3),
      new Uint8Array(new SharedArrayBuffer(0)),
      new Uint8Array(100_000),
      new Uint8Array(new SharedArrayBuffer(100)),
      stranger.view(),
      stranger.findFirst()!.bytes,
      spanning,
      closed,
    ]
  ) {
    for (const flush of ["persist", "flush", "deepFlush"] as const) {
      assertThrows(
        () => reservation[flush](view),
        TypeError,
        "as the view must be on a buffer of the reservation's view(), or of one",
      );
    }
  }
});

Deno.test("views that were dropped leave no more than a buffer for each pair of maps", async () => {
  const { code, stdout, stderr } = await run(
    `
import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert } from "@std/assert";

const [PAGE, COUNT] = [4096, 64];
using source = Pmem2Source.anonymous(65_536);
using reservation = new Pmem2VmReservation(COUNT * 65_536);
for (let i = 0; i < COUNT; i++) reservation.map(source);
const buffers = new Set();
let random = 1;
const below = (end) => (random = (random * 1103515245 + 12345) % 2 ** 31) % end;
function views(count, keep) {
  for (let i = 0; i < count; i++) {
    const offset = below(reservation.size);
    const view = reservation.view(offset, 1 + below(reservation.size - offset));
    view[0] = i;
    if (keep) buffers.add(view.buffer);
  }
}
views(20_000, true);
assert(buffers.size <= COUNT * (COUNT + 1) / 2, String(buffers.size));
const pairs = buffers.size;
gc();
const { heapUsed } = Deno.memoryUsage();
views(20_000, true);
assert(buffers.size <= COUNT * (COUNT + 1) / 2);
gc();
const grown = Deno.memoryUsage().heapUsed - heapUsed;
const each = 2048;
assert(grown < 200_000 + each * (buffers.size - pairs), \`\${grown} bytes for \${buffers.size - pairs} buffers\`);
reservation.close({ maps: true });
for (const buffer of buffers) assert(buffer.byteLength === 0);
console.log("end");
  `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals([code, stdout], [0, "end\n"], stderr);
});

Deno.test("maps that are closed and made again leave nothing of their views behind", async () => {
  const { code, stdout, stderr } = await run(
    `
import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert } from "@std/assert";

const PAGE = 65_536;
using source = Pmem2Source.anonymous(PAGE);
using reservation = new Pmem2VmReservation(3 * PAGE);
reservation.map(source, { at: 0 });
reservation.map(source, { at: 2 * PAGE });
function round() {
  const map = reservation.map(source, { at: PAGE });
  reservation.view(0, 2 * PAGE)[0] = 1;
  reservation.view(PAGE, 2 * PAGE)[0] = 1;
  reservation.view()[0] = 1;
  map.close();
}
for (let i = 0; i < 2000; i++) round();
gc();
const { heapUsed } = Deno.memoryUsage();
for (let i = 0; i < 5000; i++) round();
gc();
const grown = Deno.memoryUsage().heapUsed - heapUsed;
assert(grown < 200_000, \`\${grown} bytes\`);
console.log("end");
  `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals([code, stdout], [0, "end\n"], stderr);
});

Deno.test("Pmem2VmReservation.view() needs --allow-ffi without a path, and says so", async () => {
  const { libraryInfo } = await import("@pmem2/pmem2");
  const { path } = libraryInfo();
  const library = path.startsWith("/")
    ? path
    : `/usr/lib/${Deno.build.arch}-linux-gnu/${path}`;
  const { code, stdout, stderr } = await run(
    `
import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";
using source = Pmem2Source.anonymous(${PAGE});
using reservation = new Pmem2VmReservation(${2 * PAGE});
reservation.map(source);
reservation.map(source);
for (const [at, length] of [[0, 1], [0, ${2 * PAGE}]]) {
  assertThrows(
    () => reservation.view(at, length),
    Deno.errors.NotCapable,
    "Cannot view the reservation as that needs --allow-ffi without a path",
  );
}
reservation.write(Uint8Array.of(1, 2, 3, 4), ${PAGE - 2});
reservation.move(${PAGE - 1}, ${PAGE - 2}, 4);
const bytes = new Uint8Array(5);
reservation.read(bytes, ${PAGE - 2});
assertEquals([...bytes], [1, 1, 2, 3, 4]);
console.log("end");
  `,
    {
      flags: [`--allow-ffi=${library}`, "--allow-env=PMEM2_LIBRARY"],
      env: { PMEM2_LIBRARY: library },
    },
  );
  assertEquals([code, stdout], [0, "end\n"], stderr);
});
