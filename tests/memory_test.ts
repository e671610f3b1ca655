import { type Granularity, Pmem2Map, type StoreOptions } from "@pmem2/pmem2";
import { forceGranularity } from "./support/force_granularity.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { libffiCall } from "../ffi/c/function_pointer.ts";
import { randomBytes } from "./support/random.ts";
import { dirtyBytes, dirtyPagesObstacle } from "./support/dirty_pages.ts";
import { libraryFile } from "./support/library_file.ts";
import { compileRecorder, recorderObstacle } from "./support/recorder.ts";
import { Scratch, testDirectory } from "./support/scratch.ts";
import {
  assertSameBytes,
  checkBytes,
  checkNoSync,
  checkPages,
  granularities,
} from "./support/store_checks.ts";
import { type Ended, runFile } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

const noDirtyPages = dirtyPagesObstacle();

const allOrNothing = testDirectory?.startsWith("/dev/")
  ? "files under /dev need all permissions"
  : null;

/** A map of a new file at a granularity, or at the medium's own. */
class Emulated implements Disposable {
  readonly #pmem: Disposable;
  readonly #scratch: Scratch = new Scratch();
  readonly path: string = this.#scratch.path("file");
  readonly map: Pmem2Map;

  constructor(size: number, granularity?: Granularity) {
    const directory = this.#scratch.directory;
    this.#pmem = granularity === undefined
      ? { [Symbol.dispose]() {} }
      : forceGranularity(granularity, { directory });
    this.map = Pmem2Map.open(this.path, { createNew: true, size });
  }

  [Symbol.dispose](): void {
    this.map.close();
    this.#pmem[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}

function contents(map: Pmem2Map): Uint8Array {
  const bytes = new Uint8Array(map.size);
  map.read(bytes);
  return bytes;
}

function assertChecked(ended: Ended): void {
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout: "checked\n",
    stderr: "",
  });
}

/** Runs store_checks.ts where no library but this one may be opened. */
function runWithoutLibffi(library: string, args: string[]): Promise<Ended> {
  return runFile("tests/support/store_checks.ts", {
    flags: [
      `--allow-ffi=${library}`,
      "--allow-read",
      "--allow-write",
      "--allow-env",
    ],
    env: { PMEM2_LIBRARY: library },
    args,
  });
}

for (const granularity of granularities) {
  Deno.test(`Pmem2Map.write(), move() and fill() store just what they should at ${granularity} granularity, however they store`, () => {
    using scratch = new Scratch();
    checkBytes(scratch.directory, granularity);
  });
}

testUnless(
  noDirtyPages,
  "Pmem2Map.write(), move() and fill() sync the pages they store to at page granularity, unless told not to flush",
  () => {
    using scratch = new Scratch();
    checkPages(scratch.directory);
  },
);

testUnless(
  noDirtyPages,
  "Pmem2Map.write(), move() and fill() sync no page at finer granularities",
  () => {
    using scratch = new Scratch();
    checkNoSync(scratch.directory);
  },
);

testUnless(
  allOrNothing,
  "Pmem2Map.write(), move() and fill() store and sync the same without libffi",
  async () => {
    using scratch = new Scratch();
    const checks = noDirtyPages === null ? "pages" : "bytes";
    assertChecked(
      await runWithoutLibffi(libraryFile(), [checks, scratch.directory]),
    );
  },
);

testUnless(
  recorderObstacle() ?? (libffiCall() === null ? "there is no libffi" : null),
  "Pmem2Map.write(), move() and fill() flush, drain and hint as told",
  async () => {
    using scratch = new Scratch();
    const recorder = compileRecorder(scratch.directory);
    assertChecked(
      await runFile("tests/support/store_checks.ts", {
        env: { PMEM2_LIBRARY: recorder },
        args: ["calls", scratch.directory, "libffi"],
      }),
    );
  },
);

testUnless(
  allOrNothing ?? recorderObstacle(),
  "Pmem2Map.write(), move() and fill() flush and drain as told without libffi",
  async () => {
    using scratch = new Scratch();
    const recorder = compileRecorder(scratch.directory);
    assertChecked(
      await runWithoutLibffi(recorder, ["calls", scratch.directory, "none"]),
    );
  },
);

for (const granularity of [undefined, ...granularities]) {
  const where = granularity === undefined
    ? "the medium's own granularity"
    : `${granularity} granularity`;

  Deno.test(`Pmem2Map.drain() ends several stores that were not drained, at ${where}`, () => {
    using emulated = new Emulated(65_536, granularity);
    const { map, path } = emulated;
    const [first, second] = [randomBytes(100), randomBytes(9000)];
    map.write(first, 10, { drain: false });
    map.write(second, 20_000, { drain: false });
    map.drain();
    if (noDirtyPages === null && map.granularity === "page") {
      assertEquals(dirtyBytes(map.address), 0);
    }
    const file = Deno.readFileSync(path);
    assertSameBytes(file.subarray(10, 110), first, "first");
    assertSameBytes(file.subarray(20_000, 29_000), second, "second");
    assertEquals(file[9]! + file[110]! + file[19_999]! + file[29_000]!, 0);
  });

  Deno.test(`Pmem2Map.move() is right both ways where the ranges overlap, at ${where}`, () => {
    using emulated = new Emulated(120_000, granularity);
    const { map } = emulated;
    const expected = randomBytes(map.size);
    map.write(expected);
    const distances = [1, 7, 64, 65, 9000];
    const lengths = [1, 64, 100, 30_000];
    const options: (StoreOptions | undefined)[] = [
      undefined,
      { temporal: true },
      { temporal: false, drain: false },
      { flush: false },
    ];
    for (const distance of [0, ...distances, ...distances.map((n) => -n)]) {
      for (const length of lengths) {
        for (const how of options) {
          const [from, to] = [50_001, 50_001 + distance];
          map.move(to, from, length, how);
          expected.copyWithin(to, from, from + length);
          assertSameBytes(
            contents(map),
            expected,
            `${length} bytes by ${distance}`,
          );
        }
      }
    }
  });

  Deno.test(`Pmem2Map.write() takes every kind of Uint8Array, at ${where}`, () => {
    using emulated = new Emulated(65_536, granularity);
    const { map } = emulated;
    const big = randomBytes(30_000);
    const shared = new Uint8Array(new SharedArrayBuffer(5000));
    shared.set(big.subarray(0, 5000));
    const resizable = new ArrayBuffer(200, { maxByteLength: 400 });
    const tracking = new Uint8Array(resizable);
    resizable.resize(300);
    tracking.set(big.subarray(0, 300));
    const growable = new Uint8Array(
      new SharedArrayBuffer(100, { maxByteLength: 200 }),
    );
    growable.set(big.subarray(500, 600));
    const wasm = new Uint8Array(
      new WebAssembly.Memory({ initial: 1 }).buffer,
      13,
      777,
    );
    wasm.set(big.subarray(40, 817));
    const sources: Record<string, Uint8Array> = {
      empty: new Uint8Array(),
      "1 byte": Uint8Array.of(9),
      "64 bytes": Uint8Array.from({ length: 64 }, (_, i) => i),
      "65 bytes": Uint8Array.from({ length: 65 }, (_, i) => 2 * i),
      large: big,
      "part at an odd offset": big.subarray(12_345, 23_456),
      "small part at an odd offset": big.subarray(33, 50),
      "small part of a small array": Uint8Array.of(1, 2, 3, 4, 5).subarray(
        1,
        4,
      ),
      shared,
      "small part of shared memory": shared.subarray(3, 11),
      resizable: tracking,
      growable,
      "WebAssembly memory": wasm,
      "Node's Buffer": Buffer.from("persistent memory"),
      "Node's large Buffer": Buffer.alloc(9000, "pmem"),
      "a subclass that lies": new (class extends Uint8Array {
        override get byteLength() {
          return 1e9;
        }
        override get length() {
          return 1e9;
        }
      })([5, 6, 7]),
    };
    for (const how of [undefined, { temporal: false }, { flush: false }]) {
      for (const [name, source] of Object.entries(sources)) {
        const bytes = Uint8Array.from(new Uint8Array(source));
        map.fill(0xee);
        map.write(source, 4093, how);
        const expected = new Uint8Array(map.size).fill(0xee);
        expected.set(name === "a subclass that lies" ? [5, 6, 7] : bytes, 4093);
        assertSameBytes(contents(map), expected, name);
      }
    }
  });

  Deno.test(`Pmem2Map.write() takes views on the map itself, at ${where}`, () => {
    using emulated = new Emulated(65_536, granularity);
    const { map } = emulated;
    const expected = randomBytes(map.size);
    map.write(expected);
    for (const how of [undefined, { temporal: true }, { drain: false }]) {
      for (const length of [10, 64, 65, 1000, 20_000]) {
        for (const distance of [-9000, -100, -1, 0, 1, 100, 9000]) {
          const view = map.bytes.subarray(20_000, 20_000 + length);
          map.write(view, 20_000 + distance, how);
          expected.copyWithin(20_000 + distance, 20_000, 20_000 + length);
          assertSameBytes(
            contents(map),
            expected,
            `${length} bytes by ${distance}`,
          );
        }
      }
    }
  });
}

Deno.test("Pmem2Map.write() stores small arrays right while memory is collected", () => {
  using emulated = new Emulated(4096, "cache-line");
  const { map } = emulated;
  const target = new Uint8Array(64);
  for (let round = 0; round < 20_000; round++) {
    const length = 1 + round % 64;
    const source = new Uint8Array(length).fill(round);
    map.write(source, round % 1000, { drain: false });
    const got = target.subarray(0, length);
    map.read(got, round % 1000);
    assert(got.every((byte) => byte === (round & 255)), `round ${round}`);
  }
});

Deno.test("Pmem2Map.fill() takes 0 to 255, and the rest of the map by default", () => {
  using emulated = new Emulated(5000);
  const { map } = emulated;
  map.fill(255);
  assert(contents(map).every((byte) => byte === 255));
  map.fill(0, 4000);
  assert(contents(map).subarray(4000).every((byte) => byte === 0));
  map.fill(7, 10, 0);
  map.fill(128, 10, 1);
  const bytes = contents(map);
  assertEquals([bytes[9], bytes[10], bytes[11], bytes[3999]], [
    255,
    128,
    255,
    255,
  ]);
});

Deno.test("Pmem2Map.write(), move() and fill() take null for no options", () => {
  using emulated = new Emulated(4096);
  const { map } = emulated;
  const none = null as unknown as StoreOptions;
  map.write(Uint8Array.of(1, 2), 0, none);
  map.move(2, 0, 2, none);
  map.fill(3, 4, 1, none);
  assertEquals([...contents(map).subarray(0, 6)], [1, 2, 1, 2, 3, 0]);
});

Deno.test("Pmem2Map.write(), move() and fill() store up to the last byte and nothing past it", () => {
  using emulated = new Emulated(5000);
  const { map } = emulated;
  map.write(Uint8Array.of(1), 4999);
  map.move(4998, 4999, 1);
  map.fill(2, 4997, 1);
  map.write(new Uint8Array(), 5000);
  map.move(5000, 5000, 0);
  map.fill(0, 5000);
  assertEquals([...contents(map).subarray(4996)], [0, 2, 1, 1]);
  const cases: (() => void)[] = [
    () => map.write(Uint8Array.of(1), 5000),
    () => map.write(new Uint8Array(5001)),
    () => map.write(new Uint8Array(), 5001),
    () => map.write(Uint8Array.of(1), -1),
    () => map.write(Uint8Array.of(1), 0.5),
    () => map.write(Uint8Array.of(1), NaN),
    () => map.write(Uint8Array.of(1), 2 ** 53),
    () => map.move(0, 5000, 1),
    () => map.move(5000, 0, 1),
    () => map.move(0, 1, 5000),
    () => map.move(1, 0, 5000),
    () => map.move(-1, 0, 1),
    () => map.move(0, -1, 1),
    () => map.move(0, 0, -1),
    () => map.move(0, 0, 2 ** 52),
    () => map.fill(0, 5001),
    () => map.fill(0, 4999, 2),
    () => map.fill(0, -1),
    () => map.fill(0, 0, -1),
    () => map.fill(0, 0, Infinity),
    () => map.fill(256),
    () => map.fill(-1),
    () => map.fill(1.5),
  ];
  const before = contents(map);
  for (const action of cases) {
    assertThrows(action, RangeError, "Cannot ", String(action));
  }
  assertSameBytes(contents(map), before, "nothing changed");
});

Deno.test("Pmem2Map.write(), move() and fill() refuse what has the wrong type, and change nothing", () => {
  using emulated = new Emulated(5000);
  const { map } = emulated;
  // deno-lint-ignore no-explicit-any
  const any = map as any;
  const data = Uint8Array.of(1);
  const cases: [() => void, string][] = [
    [() => any.write("text"), "data must be a Uint8Array"],
    [() => any.write([1, 2]), "data must be a Uint8Array"],
    [() => any.write(new Uint16Array(1)), "data must be a Uint8Array"],
    [() => any.write(new DataView(new ArrayBuffer(1))), "data must be a"],
    [() => any.write(new ArrayBuffer(1)), "data must be a Uint8Array"],
    [() => any.write(data, "0"), "offset must be a number"],
    [() => any.write(data, 0n), "offset must be a number"],
    [() => any.write(data, null), "offset must be a number"],
    [() => any.write(data, 0, 1), "options must be an object"],
    [() => any.write(data, 0, { flush: 0 }), "flush must be a boolean"],
    [() => any.write(data, 0, { drain: null }), "drain must be a boolean"],
    [() => any.write(data, 0, { temporal: "no" }), "temporal must be a"],
    [() => any.write(data, 0, { writeCombining: 1 }), "writeCombining must"],
    [() => any.move("0", 0, 1), "target must be a number"],
    [() => any.move(0, "0", 1), "source must be a number"],
    [() => any.move(0, 0), "length must be a number"],
    [() => any.move(0, 0, 1n), "length must be a number"],
    [() => any.move(0, 0, 1, "flush"), "options must be an object"],
    [() => any.fill("a"), "value must be a number"],
    [() => any.fill(), "value must be a number"],
    [() => any.fill(1, "0"), "offset must be a number"],
    [() => any.fill(1, map.bytes.subarray(9)), "offset must be a number"],
    [() => any.fill(1, 0, "1"), "length must be a number"],
    [() => any.fill(1, 0, 1, { flush: "yes" }), "flush must be a boolean"],
  ];
  const before = contents(map);
  for (const [action, message] of cases) {
    assertThrows(action, TypeError, message, String(action));
  }
  assertSameBytes(contents(map), before, "nothing changed");
});
