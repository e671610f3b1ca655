import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";

// Everything a caller may try on memory that can't be written to, or not be
// read: whatever gets through ends the process.
const attempts = `
import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";

const [path] = Deno.args;
const expected = Deno.readFileSync(path);
using reservation = new Pmem2VmReservation(2 ** 21);
using source = Pmem2Source.open(path, { write: false });
using writable = Pmem2Source.open(path);
using memory = Pmem2Source.anonymous(8192);

const readOnly = [
  Pmem2Map.open(path, { write: false }),
  Pmem2Map.open(path, { write: false, sharing: "private" }),
  Pmem2Map.from(source, { write: false }),
  Pmem2Map.from(writable, { write: false }),
  reservation.map(path, { write: false }),
  reservation.map(writable, { write: false }),
];
const stores = [
  (map) => map.write(Uint8Array.of(1)),
  (map) => map.write(Uint8Array.of(1), 8191, { flush: false }),
  (map) => map.write(new Uint8Array(0)),
  (map) => map.write(new Uint8Array(5000), 0, { temporal: true }),
  (map) => map.move(0, 1, 1),
  (map) => map.move(0, 0, 0),
  (map) => map.move(4096, 0, 4096, { writeCombining: true }),
  (map) => map.fill(0),
  (map) => map.fill(1, 0, 1, { drain: false }),
  (map) => map.fill(1, 0, 0),
  (map) => map.bytes,
  (map) => map.buffer,
  (map) => map.bytes.fill(1),
  (map) => crypto.getRandomValues(map.bytes),
  (map) => new TextEncoder().encodeInto("text", map.bytes),
  (map) => new DataView(map.buffer).setInt8(0, 1),
  (map) => Deno.openSync(path).readSync(map.bytes),
];
for (const map of readOnly) {
  assertEquals(map.writable, false);
  for (const store of stores) {
    assertThrows(() => store(map), TypeError, "not writable", String(store));
  }
  // And what does no harm works.
  const bytes = new Uint8Array(map.size);
  map.read(bytes);
  assertEquals(bytes, expected);
  map.read(bytes.subarray(0, 2), 8190);
  assertEquals(bytes.subarray(0, 2), expected.subarray(8190));
  map.persist();
  map.flush(0, 1);
  map.drain();
  map.deepFlush(0, 1);
  await map.persistAsync();
  await map.deepFlushAsync();
  map.close();
}

const writeOnly = [
  Pmem2Map.open(path, { read: false }),
  Pmem2Map.from(memory, { read: false }),
  reservation.map(path, { read: false, sharing: "private" }),
];
for (const map of writeOnly) {
  assertEquals(map.writable, true);
  for (
    const load of [
      (map) => map.read(new Uint8Array(1)),
      (map) => map.read(new Uint8Array(0)),
      (map) => map.move(0, 1, 1),
      (map) => map.bytes,
      (map) => map.buffer,
    ]
  ) {
    assertThrows(() => load(map), TypeError, "not readable", String(load));
  }
  map.write(Uint8Array.of(expected[0]));
  map.write(expected.subarray(0, 5000));
  map.persist(0, 1);
  map.close();
}

const nothing = [
  Pmem2Map.open(path, { read: false, write: false }),
  Pmem2Map.from(memory, { read: false, write: false }),
];
for (const map of nothing) {
  for (
    const act of [
      (map) => map.read(new Uint8Array(1)),
      (map) => map.write(new Uint8Array(1)),
      (map) => map.move(0, 1, 1),
      (map) => map.fill(0),
      (map) => map.bytes,
      (map) => map.persist(),
      (map) => map.flush(),
      (map) => map.deepFlush(),
    ]
  ) {
    assertThrows(() => act(map), TypeError, "able", String(act));
  }
  for (const flush of [() => map.persistAsync(), () => map.deepFlushAsync()]) {
    const [{ reason }] = await Promise.allSettled([flush()]);
    assertEquals(reason.constructor, TypeError);
  }
  map.close();
}
assertEquals(Deno.readFileSync(path), expected);
console.log("alive", "transferToImmutable" in ArrayBuffer.prototype);
`;

for (const granularity of ["", "BYTE", "CACHE_LINE", "PAGE"]) {
  for (const immutable of [false, true]) {
    const flags = immutable ? ["--v8-flags=--js-immutable-arraybuffer"] : [];
    const runtime = immutable ? "with immutable buffers" : "as Deno is";
    const where = granularity === ""
      ? "the medium's own granularity"
      : `PMEM2_FORCE_GRANULARITY=${granularity}`;
    Deno.test(`no store gets through to a read-only map, ${runtime}, at ${where}`, async () => {
      using scratch = new Scratch();
      const ended = await run(attempts, {
        flags: ["-A", ...flags],
        env: { PMEM2_FORCE_GRANULARITY: granularity },
        args: [scratch.file("file", 8192)],
      });
      assertEquals(ended, {
        code: 0,
        signal: null,
        stdout: `alive ${immutable}\n`,
        stderr: "",
      });
    });
  }
}

Deno.test("Pmem2Map.read() refuses an immutable target, and write() takes an immutable source", async () => {
  using scratch = new Scratch();
  const ended = await run(
    `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { assertEquals, assertThrows } from "@std/assert";
    using map = Pmem2Map.open(Deno.args[0]);
    for (const length of [0, 3, 64, 65, 5000]) {
      const buffer = new Uint8Array(length).fill(7).buffer.transferToImmutable();
      const target = new Uint8Array(buffer);
      for (const offset of [0, 100]) {
        assertThrows(
          () => map.read(target, offset),
          TypeError,
          "target must be writable",
        );
      }
      assertEquals(target, new Uint8Array(length).fill(7));
      map.write(target, 3);
      const back = new Uint8Array(length + 1);
      map.read(back, 3);
      assertEquals(back.subarray(0, length), target);
    }
    // What only looks immutable, or only mutable, deceives nobody.
    const mutable = new Uint8Array(2);
    Object.defineProperty(mutable.buffer, "immutable", { value: true });
    map.read(mutable);
    assertEquals([...mutable], [0, 1]);
    const fixed = new ArrayBuffer(2).transferToImmutable();
    Object.setPrototypeOf(fixed, null);
    assertThrows(() => map.read(new Uint8Array(fixed)), TypeError, "writable");
    console.log("alive");
    `,
    {
      flags: ["-A", "--v8-flags=--js-immutable-arraybuffer"],
      args: [scratch.file("file", 8192)],
    },
  );
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout: "alive\n",
    stderr: "",
  });
});

Deno.test("a private map can be written to, and the file stays as it is", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 8192);
  const before = Deno.readFileSync(path);
  using source = Pmem2Source.open(path, { write: false });
  using map = Pmem2Map.from(source, { sharing: "private" });
  assertEquals(map.writable, true);
  map.write(Uint8Array.of(255), 10);
  map.fill(254, 4096, 1);
  map.bytes[8191] = 253;
  map.persist();
  assertEquals([map.bytes[10], map.bytes[4096]], [255, 254]);
  assertEquals(Deno.readFileSync(path), before);
});

Deno.test("a source that was not opened for writing is not mapped shared and writable", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("file", 8192), { write: false });
  assertRefused(() => Pmem2Map.from(source), "PMEM2_E_NO_ACCESS");
});

Deno.test("a read-only map shows what is stored through another", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 8192);
  using reader = Pmem2Map.open(path, { write: false });
  using writer = Pmem2Map.open(path);
  writer.write(Uint8Array.of(9, 8, 7), 4095);
  const bytes = new Uint8Array(3);
  reader.read(bytes, 4095);
  assertEquals([...bytes], [9, 8, 7]);
  assertThrows(() => reader.fill(1), TypeError, "not writable");
});

Deno.test("a map that has no views says what else there is", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  using map = Pmem2Map.open(path, { write: false });
  for (const view of ["bytes", "buffer"] as const) {
    assertThrows(
      () => map[view],
      TypeError,
      `Cannot get the ${view} as the map is not writable: use read(), or map it with sharing: "private", whose views never reach the file`,
    );
  }
  using whole = Pmem2Map.open(path, { sharing: "private" });
  assertEquals(whole.bytes, Deno.readFileSync(path));
  whole.bytes.fill(0);
  assertEquals(Deno.readFileSync(path)[5], 5);
});
