import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Any, Setting } from "./support/setting.ts";
import { PAGE } from "./support/page.ts";

/** Values of every kind but the excepted ones, and how they are shown. */
function others(...except: string[]): [unknown, string][] {
  const values: [string, unknown, string][] = [
    ["string", "4096", '"4096"'],
    ["string", "x".repeat(100), `"${"x".repeat(80)}…"`],
    ["number", 7, "7"],
    ["bigint", 1n, "1n"],
    ["boolean", true, "true"],
    ["symbol", Symbol("s"), "a symbol"],
    ["function", () => {}, "a function"],
    ["object", {}, "an object"],
    ["object", [4096], "an array"],
    ["null", null, "null"],
    ["undefined", undefined, "undefined"],
  ];
  return values.filter(([kind]) => !except.includes(kind))
    .map(([, value, shown]) => [value, shown]);
}

Deno.test("a wrong type is a TypeError that names parameter, rule and value", () => {
  using all = new Setting();
  const { source, map, reservation, path } = all;
  const bytes = new Uint8Array(1);
  const AnyMap: Any = Pmem2Map;
  const AnySource: Any = Pmem2Source;
  const AnyReservation: Any = Pmem2VmReservation;
  const uses: [string, string, string[], (value: Any) => unknown][] = [];
  const use = (
    name: string,
    rule: string,
    except: string,
    call: (value: Any) => unknown,
  ) => uses.push([name, rule, except.split(" "), call]);

  const file = "a path or a file: URL";
  use("path", file, "string", (v) => AnySource.open(v));
  use("path", file, "string", (v) => AnyMap.open(v));
  use("fd", "a number", "number", (v) => AnySource.fromFd(v));
  use("size", "a number", "number", (v) => AnySource.anonymous(v));
  for (
    const open of [
      AnySource.open,
      AnyMap.open,
      reservation.map.bind(reservation),
    ]
  ) {
    const not = "undefined null object function";
    use("options", "an object", not, (v) => open(path, v));
    const booleans = ["write", "create", "createNew"];
    for (const name of booleans) {
      use(
        name,
        "a boolean",
        "boolean undefined",
        (v) => open(path, { [name]: v }),
      );
    }
    for (const name of ["size", "mode"]) {
      use(
        name,
        "a number",
        "number undefined",
        (v) => open(path, { [name]: v }),
      );
    }
  }
  const maps: [(source: Any, options: Any) => unknown, Any][] = [
    [AnyMap.open, path],
    [AnyMap.from, source],
    [reservation.map.bind(reservation), path],
    [reservation.map.bind(reservation), source],
  ];
  for (const [make, from] of maps) {
    const not = "undefined null object function";
    use("options", "an object", not, (v) => make(from, v));
    for (const name of ["offset", "length"]) {
      use(
        name,
        "a number",
        "number undefined",
        (v) => make(from, { [name]: v }),
      );
    }
    for (const name of ["read", "write", "exec"]) {
      use(
        name,
        "a boolean",
        "boolean undefined",
        (v) => make(from, { [name]: v }),
      );
    }
    const granularities = '"byte" or "cache-line" or "page"';
    use(
      "granularity",
      granularities,
      "undefined",
      (v) => make(from, { granularity: v }),
    );
    const sharings = '"shared" or "private"';
    use("sharing", sharings, "undefined", (v) => make(from, { sharing: v }));
  }
  const at = (v: Any) => reservation.map(source, { at: v });
  use("at", "a number", "number undefined", at);
  use("source", "a Pmem2Source", "", (v) => AnyMap.from(v));
  use(
    "source",
    "a Pmem2Source",
    "",
    (v) => AnyMap.unsafeFromExisting(v, 4096n, 1, "byte"),
  );
  const sources = "a Pmem2Source, a path or a file: URL";
  use("source", sources, "string object", (v) => reservation.map(v));
  use(
    "address",
    "a bigint",
    "bigint",
    (v) => AnyMap.unsafeFromExisting(source, v, 1, "byte"),
  );
  use(
    "size",
    "a number",
    "number",
    (v) => AnyMap.unsafeFromExisting(source, 4096n, v, "byte"),
  );
  use(
    "granularity",
    '"byte" or "cache-line" or "page"',
    "",
    (v) => AnyMap.unsafeFromExisting(source, 4096n, 1, v),
  );

  for (const target of [map, source, reservation]) {
    use("target", "a Uint8Array", "", (v) => target.read(v));
    use("offset", "a number", "number undefined", (v) => target.read(bytes, v));
    use("data", "a Uint8Array", "", (v) => target.write(v));
    use(
      "offset",
      "a number",
      "number undefined",
      (v) => target.write(bytes, v),
    );
  }
  const no = "undefined null object function";
  for (const it of [map, reservation]) {
    use("options", "an object", no, (v) => it.write(bytes, 0, v));
    use("options", "an object", no, (v) => it.fill(0, 0, 1, v));
    use("options", "an object", no, (v) => it.move(0, 0, 1, v));
    for (const name of ["flush", "drain", "temporal", "writeCombining"]) {
      const not = "boolean undefined";
      use(name, "a boolean", not, (v) => it.write(bytes, 0, { [name]: v }));
      use(name, "a boolean", not, (v) => it.fill(0, 0, 1, { [name]: v }));
      use(name, "a boolean", not, (v) => it.move(0, 0, 1, { [name]: v }));
    }
    use("target", "a number", "number", (v) => it.move(v, 0, 1));
    use("source", "a number", "number", (v) => it.move(0, v, 1));
    use("length", "a number", "number", (v) => it.move(0, 0, v));
    use("value", "a number", "number", (v) => it.fill(v));
    use("offset", "a number", "number undefined", (v) => it.fill(0, v));
    use("length", "a number", "number undefined", (v) => it.fill(0, 0, v));
    for (const name of ["persist", "flush", "deepFlush"]) {
      const view = "a number or a view on the buffer";
      use("offset", view, "number undefined", (v) => it[name](v));
      use("length", "a number", "number undefined", (v) => it[name](0, v));
    }
  }
  use("offset", "a number", "number undefined", (v) => reservation.view(v));
  use("length", "a number", "number undefined", (v) => reservation.view(0, v));

  use("size", "a number", "number", (v) => new AnyReservation(v));
  use("options", "an object", no, (v) => new AnyReservation(PAGE, v));
  use(
    "address",
    "a bigint",
    "bigint undefined",
    (v) => new AnyReservation(PAGE, { address: v }),
  );
  use("offset", "a number", "number", (v) => reservation.find(v));
  use("length", "a number", "number undefined", (v) => reservation.find(0, v));
  use("map", "a Pmem2Map", "", (v) => reservation.findNext(v));
  use("map", "a Pmem2Map", "", (v) => reservation.findPrev(v));
  use("options", "an object", no, (v) => reservation.maps(v));
  use(
    "from",
    "a number",
    "number undefined",
    (v) => reservation.maps({ from: v }),
  );
  use("to", "a number", "number undefined", (v) => reservation.maps({ to: v }));
  use(
    "reverse",
    "a boolean",
    "boolean undefined",
    (v) => reservation.maps({ reverse: v }),
  );
  use("size", "a number", "number", (v) => reservation.extend(v));
  use("offset", "a number", "number", (v) => reservation.shrink(v, PAGE));
  use("size", "a number", "number", (v) => reservation.shrink(0, v));
  use("options", "an object", no, (v) => reservation.close(v));
  use(
    "maps",
    "a boolean",
    "boolean undefined",
    (v) => reservation.close({ maps: v }),
  );

  const Emulate: Any = emulatePmem;
  use("granularity", '"byte" or "cache-line" or "page"', "", (v) => Emulate(v));
  use("options", "an object", no, (v) => Emulate("byte", v));
  use(
    "directory",
    "a string",
    "string undefined",
    (v) => Emulate("byte", { directory: v }),
  );

  for (const [name, rule, except, call] of uses) {
    for (const [value, shown] of others(...except)) {
      const error = assertThrows(() => call(value), TypeError);
      const text = ` as ${name} must be ${rule}: received ${shown}`;
      assertStringIncludes(error.message, text, `${call}`);
      assert(error.message.startsWith("Cannot "), error.message);
    }
  }
  assertEquals([...reservation], [all.inner]);
  assertEquals(Deno.statSync(path).size, 4 * PAGE);
});

Deno.test("an object of the wrong type is named by its class", () => {
  using all = new Setting();
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const lying = {
    get constructor() {
      throw new Error("asked");
    },
    get [Symbol.toStringTag]() {
      throw new Error("asked");
    },
  };
  class Named {}
  class Unnameable {
    static name = "a name\n";
  }
  for (
    const [value, shown] of [
      [new ArrayBuffer(8), "an ArrayBuffer"],
      [new SharedArrayBuffer(8), "a SharedArrayBuffer"],
      [new DataView(new ArrayBuffer(8)), "a DataView"],
      [new Uint16Array(8), "a Uint16Array"],
      [new Int8Array(8), "an Int8Array"],
      [[1, 2], "an array"],
      [new Proxy([], {}), "an array"],
      [Promise.resolve(), "a Promise"],
      [new Map(), "a Map"],
      [new URL("file:///"), "a URL"],
      [all.map, "a Pmem2Map"],
      [all.source, "a Pmem2Source"],
      [new Named(), "a Named"],
      [new (class extends Named {})(), "a Named"],
      [new Unnameable(), "an object"],
      [{}, "an object"],
      [Object.create(null), "an object"],
      [Object.create(lying), "an object"],
      [lying, "an object"],
      [proxy, "an object"],
    ] as const
  ) {
    assertThrows(
      () => all.map.read(value),
      TypeError,
      `as target must be a Uint8Array: received ${shown}`,
    );
  }
});

Deno.test("a number out of its range is a RangeError that says so", () => {
  using all = new Setting();
  const { source, map, reservation, path } = all;
  const bytes = new Uint8Array(1);
  const uses: ((value: number) => unknown)[] = [
    (v) => Pmem2Source.fromFd(v),
    (v) => Pmem2Source.anonymous(v),
    (v) => Pmem2Source.open(path, { size: v }),
    (v) => Pmem2Source.open(path, { mode: v }),
    (v) => Pmem2Map.open(path, { offset: v }),
    (v) => Pmem2Map.from(source, { offset: v }),
    (v) => Pmem2Map.from(source, { length: v }),
    (v) => Pmem2Map.unsafeFromExisting(source, 4096n, v, "byte"),
    (v) => reservation.map(source, { at: v }),
    (v) => reservation.map(path, { at: v }),
    (v) => source.read(bytes, v),
    (v) => source.write(bytes, v),
    (v) => map.read(bytes, v),
    (v) => map.write(bytes, v),
    (v) => map.move(v, 0, 1),
    (v) => map.move(0, v, 1),
    (v) => map.move(0, 0, v),
    (v) => map.fill(v),
    (v) => map.fill(0, v),
    (v) => map.fill(0, 0, v),
    (v) => map.persist(v),
    (v) => map.persist(0, v),
    (v) => map.flush(v),
    (v) => map.flush(0, v),
    (v) => map.deepFlush(v),
    (v) => map.deepFlush(0, v),
    (v) => new Pmem2VmReservation(v),
    (v) => reservation.find(v),
    (v) => reservation.find(0, v),
    (v) => reservation.maps({ from: v }),
    (v) => reservation.maps({ to: v }),
    (v) => reservation.extend(v),
    (v) => reservation.shrink(v, PAGE),
    (v) => reservation.shrink(0, v),
  ];
  const before = Deno.readFileSync(path);
  for (const use of uses) {
    for (const value of [-1, -PAGE, 0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
      const error = assertThrows(() => use(value), RangeError);
      assert(error.message.startsWith("Cannot "), `${use}: ${error.message}`);
      assertStringIncludes(error.message, "received", `${use}`);
      assertStringIncludes(error.message, `${value}`, `${use}`);
    }
  }
  for (
    const address of [0n, -1n, 2n ** 47n, 2n ** 64n, 2n ** 64n + 4096n]
  ) {
    assertThrows(
      () => Pmem2Map.unsafeFromExisting(source, address, PAGE, "byte"),
      RangeError,
      `${address}n`,
    );
  }
  assertEquals(Deno.readFileSync(path), before);
  assertEquals(reservation.size, 8 * PAGE);
});
