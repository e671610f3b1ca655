import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { randomBytes } from "./support/random.ts";
import { memory, openDescriptors } from "./support/native_process.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

/** Whether the tests' files lie on persistent memory: by the kernel's word. */
function onPersistentMemory(): boolean {
  using scratch = new Scratch();
  using map = Pmem2Map.open(scratch.path("probe"), {
    createNew: true,
    size: 65_536,
  });
  const smaps = Deno.readTextFileSync("/proc/self/smaps");
  const start = smaps.indexOf(`${map.address.toString(16)}-`);
  const MAP_SYNC = /^VmFlags:.* sf\b/m;
  return MAP_SYNC.test(
    smaps.slice(start, smaps.indexOf("VmFlags", start) + 200),
  );
}

const persistent = onPersistentMemory();
const onlyElsewhere = persistent ? "the files lie on persistent memory" : null;

testUnless(
  onlyElsewhere,
  "Pmem2Source.deviceId(), numaNode() and unsafeShutdownCount() refuse off persistent memory",
  () => {
    using scratch = new Scratch();
    const path = scratch.file("file", 5000);
    for (const options of [undefined, { write: false }]) {
      using source = Pmem2Source.open(path, options);
      // Asked again it's the same, whatever C left in its out-parameters.
      for (let i = 0; i < 2; i++) {
        assertRefused(
          () => source.deviceId(),
          "PMEM2_E_NOSUPP",
          "pmem2_source_device_id",
        );
        assertRefused(
          () => source.numaNode(),
          "PMEM2_E_DAX_REGION_NOT_FOUND",
          "pmem2_source_numa_node",
        );
        assertRefused(
          () => source.unsafeShutdownCount(),
          "PMEM2_E_NOSUPP",
          "pmem2_source_device_usc",
        );
      }
    }
  },
);

Deno.test("Pmem2Source.deviceId(), numaNode(), unsafeShutdownCount() and badBlocks() refuse anonymous memory", () => {
  using source = Pmem2Source.anonymous(4096);
  const cases = [
    [() => source.deviceId(), "pmem2_source_device_id"],
    [() => source.numaNode(), "pmem2_source_numa_node"],
    [() => source.unsafeShutdownCount(), "pmem2_source_device_usc"],
    [() => source.badBlocks(), "pmem2_badblock_context_new"],
  ] as const;
  for (const [action, call] of cases) {
    const error = assertRefused(action, "PMEM2_E_NOSUPP", call);
    assertEquals(error.errno, -100001);
    assertMatch(error.message, /[Aa]nonymous/);
  }
});

testUnless(
  onlyElsewhere,
  "Pmem2Source.deviceId() brings no message of an earlier failure",
  () => {
    using scratch = new Scratch();
    using file = Pmem2Source.open(scratch.file("file", 4096));
    using anonymous = Pmem2Source.anonymous(4096);
    assertRefused(() => anonymous.unsafeShutdownCount(), "PMEM2_E_NOSUPP");
    const { message } = assertRefused(() => file.deviceId(), "PMEM2_E_NOSUPP");
    assertEquals(
      message,
      `pmem2_source_device_id failed with PMEM2_E_NOSUPP (-100001) for ${file.path}`,
    );
  },
);

Deno.test("Pmem2Source.badBlocks() lists none where there are none", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("file", 5000));
  const blocks = source.badBlocks();
  source.close();
  assertEquals([...blocks], []);
  assertEquals(blocks.next(), { value: undefined, done: true });
});

Deno.test("Pmem2Source.badBlocks() leaves no memory and no descriptor behind", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("file", 5000));
  for (let i = 0; i < 100; i++) source.badBlocks();
  const [descriptors, rss] = [openDescriptors(), memory("VmRSS")];
  // What libpmem2 takes for each is 13 KiB.
  for (let i = 0; i < 4000; i++) source.badBlocks();
  assertEquals(openDescriptors(), descriptors);
  const grown = memory("VmRSS") - rss;
  assert(grown < 25 * 1024, `${grown} KiB`);
});

Deno.test("Pmem2Source.read() and write() move bytes between an array and the file", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 60_000);
  const expected = Deno.readFileSync(path);
  using source = Pmem2Source.open(path);
  for (
    const [offset, length] of [
      [0, 60_000],
      [0, 1],
      [1, 64],
      [4095, 2],
      [59_999, 1],
      [12_345, 43_210],
    ] as const
  ) {
    const data = randomBytes(length);
    source.write(data, offset);
    expected.set(data, offset);
    assert(Buffer.from(expected).equals(Deno.readFileSync(path)));
    const target = new Uint8Array(length + 2);
    source.read(target.subarray(1, length + 1), offset);
    assert(Buffer.from(data).equals(target.subarray(1, length + 1)));
    assertEquals([target[0], target.at(-1)], [0, 0]);
  }
  const start = new Uint8Array(3);
  source.write(Uint8Array.of(7, 8, 9));
  source.read(start);
  assertEquals([...start], [7, 8, 9]);
});

Deno.test("Pmem2Source.read() and write() take every kind of Uint8Array", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("file", 4096));
  using map = Pmem2Map.from(source);
  const resizable = new Uint8Array(new ArrayBuffer(10, { maxByteLength: 20 }));
  (resizable.buffer as ArrayBuffer).resize(17);
  const kinds: Record<string, Uint8Array> = {
    small: new Uint8Array(17),
    large: new Uint8Array(1000),
    part: new Uint8Array(1000).subarray(333, 350),
    shared: new Uint8Array(new SharedArrayBuffer(17)),
    resizable,
    buffer: Buffer.alloc(17),
    map: map.bytes.subarray(3000, 3017),
  };
  for (const [name, array] of Object.entries(kinds)) {
    const data = randomBytes(array.length);
    array.set(data);
    source.write(array, 100);
    assert(
      Buffer.from(data).equals(map.bytes.subarray(100, 100 + data.length)),
      name,
    );
    map.fill(0x5a, 100, data.length);
    source.read(array, 100);
    assert(array.every((byte) => byte === 0x5a), name);
  }
});

Deno.test("Pmem2Source.read() and write() refuse what is past the end, and the file does not grow", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 5000);
  const before = Deno.readFileSync(path);
  using source = Pmem2Source.open(path);
  const cases: [number, number][] = [
    [5001, 0],
    [5000, 1],
    [0, 5001],
    [4999, 2],
    [-1, 1],
    [0.5, 1],
    [NaN, 1],
    [2 ** 32, 1],
    [2 ** 53, 1],
  ];
  for (const [offset, length] of cases) {
    const array = new Uint8Array(length).fill(1);
    assertThrows(() => source.read(array, offset), RangeError, "Cannot read");
    assertThrows(() => source.write(array, offset), RangeError, "Cannot write");
    assert(array.every((byte) => byte === 1));
  }
  source.read(new Uint8Array(), 5000);
  source.write(new Uint8Array(), 5000);
  assert(Buffer.from(before).equals(Deno.readFileSync(path)));
  assertEquals(source.size, 5000);
});

Deno.test("Pmem2Source.read() and write() go by the size that the file has now", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 5000);
  using source = Pmem2Source.open(path);
  Deno.truncateSync(path, 100);
  assertThrows(() => source.write(Uint8Array.of(1), 100), RangeError);
  assertThrows(() => source.read(new Uint8Array(1), 100), RangeError);
  assertEquals(Deno.statSync(path).size, 100);
  Deno.truncateSync(path, 9000);
  source.write(Uint8Array.of(1), 8999);
  assertEquals(Deno.readFileSync(path)[8999], 1);
});

Deno.test("Pmem2Source.write() refuses a source that was not opened for writing", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 5000);
  const before = Deno.readFileSync(path);
  using source = Pmem2Source.open(path, { write: false });
  const error = assertRefused(
    () => source.write(Uint8Array.of(255), 10),
    "EBADF",
    "pmem2_source_pwrite_mcsafe",
  );
  assertEquals(error.errno, -9);
  const byte = new Uint8Array(1);
  source.read(byte, 10);
  assertEquals(byte[0], 10);
  assertEquals(Deno.readFileSync(path), before);
});

Deno.test("Pmem2Source.read() and write() refuse anonymous memory", () => {
  using source = Pmem2Source.anonymous(4096);
  for (const offset of [0, 4095, 10_000]) {
    assertRefused(
      () => source.read(new Uint8Array(1), offset),
      "PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED",
      "pmem2_source_pread_mcsafe",
    );
    assertRefused(
      () => source.write(new Uint8Array(1), offset),
      "PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED",
      "pmem2_source_pwrite_mcsafe",
    );
  }
});

Deno.test("Pmem2Source.read() and write() refuse what has the wrong type", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("file", 5000));
  // deno-lint-ignore no-explicit-any
  const any = source as any;
  const wrong = [
    undefined,
    null,
    "text",
    [1],
    new ArrayBuffer(1),
    new Uint16Array(1),
    new DataView(new ArrayBuffer(1)),
    { length: 1, byteLength: 1, __proto__: Uint8Array.prototype },
  ];
  for (const value of wrong) {
    assertThrows(() => any.read(value), TypeError, "target must be");
    assertThrows(() => any.write(value), TypeError, "data must be");
  }
  for (const offset of ["0", 0n, null, {}]) {
    const array = new Uint8Array(1);
    assertThrows(() => any.read(array, offset), TypeError, "offset must be");
    assertThrows(() => any.write(array, offset), TypeError, "offset must be");
  }
});

Deno.test("Pmem2Source.read() refuses an immutable target", async () => {
  using scratch = new Scratch();
  const ended = await run(
    `
    import { Pmem2Source } from "@pmem2/pmem2";
    import { assertEquals, assertThrows } from "@std/assert";
    using source = Pmem2Source.open(Deno.args[0]);
    const buffer = Uint8Array.of(1, 2, 3).buffer.transferToImmutable();
    const target = new Uint8Array(buffer);
    assertThrows(() => source.read(target), TypeError, "must be writable");
    assertEquals([...target], [1, 2, 3]);
    // To write it out is nothing to it.
    source.write(target, 100);
    assertEquals([...Deno.readFileSync(Deno.args[0]).subarray(99, 104)], [
      99, 1, 2, 3, 103,
    ]);
    `,
    {
      flags: ["-A", "--v8-flags=--js-immutable-arraybuffer"],
      args: [scratch.file("file", 5000)],
    },
  );
  assertEquals(ended, { code: 0, signal: null, stdout: "", stderr: "" });
});

Deno.test("what a closed source is asked about its device is a TypeError", () => {
  const source = Pmem2Source.anonymous(4096);
  source.close();
  const array = new Uint8Array(1);
  for (
    const action of [
      () => source.deviceId(),
      () => source.numaNode(),
      () => source.unsafeShutdownCount(),
      () => source.badBlocks(),
      () => source.read(array),
      () => source.write(array),
    ]
  ) {
    assertThrows(action, TypeError, "as the source is closed");
  }
});

Deno.test("what something else than a source is asked about its device is a TypeError", () => {
  const { prototype } = Pmem2Source;
  for (const self of [undefined, null, {}, Object.create(prototype)]) {
    for (
      const name of [
        "deviceId",
        "numaNode",
        "unsafeShutdownCount",
        "badBlocks",
      ] as const
    ) {
      const method: () => unknown = prototype[name];
      assertThrows(
        () => method.call(self),
        TypeError,
        "`this` is not a Pmem2Source",
      );
    }
    for (const name of ["read", "write"] as const) {
      assertThrows(
        () => prototype[name].call(self, new Uint8Array(1)),
        TypeError,
        "`this` is not a Pmem2Source",
      );
    }
  }
});
