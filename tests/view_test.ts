import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { PAGE } from "./support/page.ts";

function anonymous(size = PAGE): Pmem2Map {
  using source = Pmem2Source.anonymous(size);
  return Pmem2Map.from(source);
}

Deno.test("Pmem2Map.bytes is the memory, and always the same object", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  using map = Pmem2Map.open(path);
  const { bytes, buffer } = map;
  assertStrictEquals(map.bytes, bytes);
  assertStrictEquals(map.buffer, buffer);
  assertStrictEquals(bytes.buffer, buffer);
  assertEquals([bytes.byteOffset, bytes.length], [0, 5000]);
  assertEquals(bytes, Deno.readFileSync(path));
  bytes[4999] = 1;
  map.persist(4999, 1);
  assertEquals(Deno.readFileSync(path)[4999], 1);
});

Deno.test("Pmem2Map.close() empties all views", () => {
  const map = anonymous(2 * PAGE);
  const { bytes, buffer } = map;
  const numbers = new Float64Array(buffer, 8, 4);
  const data = new DataView(buffer, PAGE);
  const tracking = new Uint16Array(buffer);
  map.close();
  assertEquals(buffer.byteLength, 0);
  assert(buffer.detached);
  assertEquals([bytes.length, numbers.length, tracking.length], [0, 0, 0]);
  assertEquals(bytes[0], undefined);
  bytes[0] = 1;
  assertThrows(() => data.getUint8(0), TypeError);
  assertThrows(() => bytes.set([1]), Error);
});

Deno.test("views that were handed out stay the same after close()", () => {
  const map = anonymous();
  const { bytes, buffer } = map;
  map.close();
  assertStrictEquals(map.bytes, bytes);
  assertStrictEquals(map.buffer, buffer);
});

Deno.test("views that nobody asked for can't be had after close()", () => {
  const map = anonymous();
  map.close();
  assertThrows(
    () => map.bytes,
    TypeError,
    "Cannot get the bytes as the map is closed",
  );
  assertThrows(
    () => map.buffer,
    TypeError,
    "Cannot get the buffer as the map is closed",
  );
});

Deno.test("the end of a using's block and a reservation's close() empty views", () => {
  let bytes: Uint8Array;
  {
    using map = anonymous();
    ({ bytes } = map);
    assertEquals(bytes.length, PAGE);
  }
  assertEquals(bytes.length, 0);
  using source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(2 * PAGE);
  const views = [reservation.map(source).bytes, reservation.map(source).bytes];
  reservation.close({ maps: true });
  assertEquals(views.map((view) => view.length), [0, 0]);
});

Deno.test("a map that isn't both readable and writable has no views", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", PAGE);
  for (
    const [options, missing] of [
      [{ write: false }, "writable"],
      [{ read: false }, "readable"],
      [{ read: false, write: false }, "readable"],
    ] as const
  ) {
    using map = Pmem2Map.open(path, options);
    for (const view of ["bytes", "buffer"] as const) {
      assertThrows(
        () => map[view],
        TypeError,
        `Cannot get the ${view} as the map is not ${missing}`,
      );
    }
  }
});

Deno.test("reading and writing make no views", () => {
  using map = anonymous();
  map.write(new Uint8Array(10));
  map.read(new Uint8Array(10));
  map.close();
  assertThrows(() => map.bytes, TypeError);
});

Deno.test("a map whose buffer was transferred can't be closed", () => {
  const takeAway = [
    (buffer: ArrayBuffer) => buffer.transfer(),
    (buffer: ArrayBuffer) => structuredClone(buffer, { transfer: [buffer] }),
    (buffer: ArrayBuffer) => {
      const { port1, port2 } = new MessageChannel();
      port1.postMessage(buffer, [buffer]);
      port1.close();
      port2.close();
    },
  ];
  const source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(8 * PAGE);
  for (const take of takeAway) {
    for (
      const map of [anonymous(), reservation.map(source)]
    ) {
      const { bytes, buffer } = map;
      bytes[0] = 42;
      const taken = take(buffer);
      for (const close of ["close", Symbol.dispose] as const) {
        assertThrows(
          () => map[close](),
          TypeError,
          "as its buffer was transferred",
        );
      }
      assertEquals(map.closed, false);
      assertStrictEquals(map.bytes, bytes);
      assertStrictEquals(map.buffer, buffer);
      assertEquals(bytes.length, 0);
      const copy = new Uint8Array(2);
      map.read(copy);
      assertEquals(copy[0], 42);
      if (taken !== undefined) {
        new Uint8Array(taken)[1] = 43;
        map.read(copy);
        assertEquals(copy[1], 43, "the memory is still the map's");
      }
    }
  }
});

Deno.test("a reservation with a transferred buffer closes nothing", () => {
  using source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(4 * PAGE);
  const maps = [0, 1, 2].map((i) => reservation.map(source, { at: i * PAGE }));
  const { bytes } = maps[0]!;
  const taken = maps[1]!.buffer.transfer();
  for (
    const close of [
      () => reservation.close({ maps: true }),
      () => reservation[Symbol.dispose](),
    ]
  ) {
    assertThrows(
      close,
      TypeError,
      `as its map at offset ${PAGE} cannot be closed: its buffer was transferred`,
    );
  }
  assertEquals(reservation.closed, false);
  assertEquals(maps.map((map) => map.closed), [false, false, false]);
  assertEquals([...reservation], maps);
  bytes[0] = 1;
  assertEquals(taken.byteLength, PAGE);
  maps[0]!.close();
  maps[2]!.close();
  assertEquals([...reservation], [maps[1]]);
});

Deno.test("an emptied view can't crash the process", async () => {
  const ended = await run(`
    import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
    using source = Pmem2Source.anonymous(2 ** 20);
    const map = Pmem2Map.from(source);
    const { bytes, buffer } = map;
    const view = new DataView(buffer);
    map.close();
    let errors = 0;
    const tries: (() => unknown)[] = [
      () => bytes[5],
      () => bytes[5] = 1,
      () => bytes.fill(1),
      () => bytes.slice(),
      () => bytes.subarray(1, 2)[0],
      () => new Uint8Array(buffer, 0, 10),
      () => new Uint8Array(bytes),
      () => view.setUint8(0, 1),
      () => crypto.getRandomValues(bytes),
      () => new TextEncoder().encodeInto("hello", bytes),
      () => new TextDecoder().decode(bytes),
      () => structuredClone(bytes),
      () => buffer.slice(0, 10),
      () => buffer.transfer(10),
      () => Atomics.add(bytes, 0, 1),
      () => map.read(bytes),
      () => map.persist(bytes),
    ];
    for (const attempt of tries) {
      try {
        attempt();
      } catch {
        errors++;
      }
    }
    console.log(errors > 5);
  `);
  assertEquals(ended, { code: 0, signal: null, stdout: "true\n", stderr: "" });
});

Deno.test("views keep working while garbage is collected", async () => {
  const ended = await run(
    `
    import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
    using source = Pmem2Source.anonymous(2 ** 20);
    const views = [];
    for (let i = 0; i < 50; i++) {
      // The map itself is garbage from here on.
      views.push(Pmem2Map.from(source).bytes.fill(i));
    }
    gc();
    gc();
    await new Promise((resolve) => setTimeout(resolve, 0));
    gc();
    console.log(views.every((view, i) => view[2 ** 20 - 1] === i));
    `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals(ended, { code: 0, signal: null, stdout: "true\n", stderr: "" });
});
