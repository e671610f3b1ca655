import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Scratch } from "./support/scratch.ts";

/** Whatever takes options, with options that no compiler has seen. */
class Calls implements Disposable {
  readonly #scratch = new Scratch();
  readonly #path = this.#scratch.file("a", 3 * 16_384);
  readonly #source = Pmem2Source.open(this.#path);
  readonly #map = Pmem2Map.from(this.#source);
  readonly reservation = new Pmem2VmReservation(2 ** 22);

  // deno-lint-ignore no-explicit-any
  readonly all: Record<string, (options: any) => unknown> = {
    "Pmem2Source.open": (options) =>
      Pmem2Source.open(this.#path, options).close(),
    "Pmem2Map.open": (options) => Pmem2Map.open(this.#path, options).close(),
    "Pmem2Map.from": (options) => Pmem2Map.from(this.#source, options).close(),
    "map(path)": (options) => this.reservation.map(this.#path, options).close(),
    "map(source)": (options) =>
      this.reservation.map(this.#source, options).close(),
    write: (options) => this.#map.write(new Uint8Array(8), 0, options),
    move: (options) => this.#map.move(0, 8, 8, options),
    fill: (options) => this.#map.fill(0, 0, 8, options),
    "reservation.write": (options) =>
      this.reservation.write(new Uint8Array(0), 0, options),
    "reservation.move": (options) => this.reservation.move(0, 8, 0, options),
    "reservation.fill": (options) => this.reservation.fill(0, 0, 0, options),
    maps: (options) => this.reservation.maps(options),
    close: (options) => new Pmem2VmReservation(2 ** 21).close(options),
    "new Pmem2VmReservation": (options) =>
      new Pmem2VmReservation(2 ** 21, options).close(),
    emulatePmem: (options) => emulatePmem("page", options)[Symbol.dispose](),
  };

  [Symbol.dispose](): void {
    this.reservation.close({ maps: true });
    this.#map.close();
    this.#source.close();
    this.#scratch[Symbol.dispose]();
  }
}

const OPENING = ["Pmem2Source.open", "Pmem2Map.open", "map(path)"];
const MAPPING = ["Pmem2Map.open", "map(path)", "Pmem2Map.from", "map(source)"];
const STORING = [
  "write",
  "move",
  "fill",
  "reservation.write",
  "reservation.move",
  "reservation.fill",
];

Deno.test("an option that doesn't exist is refused, with the one that was meant", () => {
  using calls = new Calls();
  for (
    const [names, option, value, advice] of [
      [MAPPING, "readonly", true, 'use "write: false"'],
      [["Pmem2Source.open"], "readOnly", true, 'use "write: false"'],
      [MAPPING, "legnth", 4096, 'use "length"'],
      [MAPPING, "ofset", 0, 'use "offset"'],
      [MAPPING, "OFFSET", 0, 'use "offset"'],
      [MAPPING, "wirte", false, 'use "write"'],
      [MAPPING, "writable", false, 'use "write"'],
      [MAPPING, "gran", "page", 'use "granularity"'],
      [MAPPING, "private", true, 'use "sharing: "private""'],
      [OPENING, "creat", true, 'use "create"'],
      [OPENING, "createnew", true, 'use "createNew"'],
      [OPENING, "sise", 4096, 'use "size"'],
      [
        ["Pmem2Map.from", "map(source)"],
        "size",
        4096,
        'where no file is opened: use "length", or open the file with it',
      ],
      [
        ["Pmem2Map.from", "map(source)"],
        "create",
        true,
        "where no file is opened: open the file with it",
      ],
      [
        ["Pmem2Source.open"],
        "granularity",
        "page",
        "where nothing is mapped: map the source with it",
      ],
      [
        ["Pmem2Map.from", "Pmem2Map.open"],
        "at",
        0,
        "outside a reservation: give it to the map() of one",
      ],
      [STORING, "flsh", false, 'use "flush"'],
      [STORING, "nodrain", true, 'use "drain: false"'],
      [
        STORING,
        "asynchronous",
        true,
        'use one of "flush", "drain", "temporal", "writeCombining"',
      ],
      [["maps"], "backwards", true, 'use "reverse"'],
      [["maps"], "start", 0, 'use "from"'],
      [["close"], "map", true, 'use "maps"'],
      [["new Pmem2VmReservation"], "adress", 0n, 'use "address"'],
      [["emulatePmem"], "dir", "/tmp", 'use "directory"'],
    ] as const
  ) {
    for (const name of names) {
      const { message } = assertThrows(
        () => calls.all[name]!({ [option]: value }),
        TypeError,
        ` as there is no option "${option}"`,
        name,
      );
      assert(message.endsWith(advice), `${name}: ${message}`);
    }
  }
  assertEquals([...calls.reservation], []);
});

Deno.test("an option that is undefined is one that isn't given", () => {
  using calls = new Calls();
  for (const call of Object.values(calls.all)) {
    call({ legnth: undefined, size: undefined, at: undefined });
    call(undefined);
    call(null);
  }
});

Deno.test("only an option of the object's own, with a name and enumerable, is looked at", () => {
  using calls = new Calls();
  for (const call of Object.values(calls.all)) {
    call(Object.create({ legnth: 1 }));
    call({ [Symbol("legnth")]: 1 });
    call(Object.defineProperty({}, "legnth", { value: 1 }));
  }
});

Deno.test("an option that is inherited counts", () => {
  using calls = new Calls();
  for (const name of MAPPING) {
    assertThrows(
      () => calls.all[name]!(Object.create({ length: -1 })),
      RangeError,
      "length must be",
      name,
    );
  }
});

Deno.test("each option is read once, also one that doesn't exist", () => {
  using calls = new Calls();
  for (const [name, call] of Object.entries(calls.all)) {
    for (const extra of [undefined, 1]) {
      const reads: string[] = [];
      const listed: string[] = [];
      const options = new Proxy({ legnth: extra, write: undefined }, {
        get(target, key) {
          reads.push(String(key));
          return Reflect.get(target, key);
        },
        ownKeys(target) {
          listed.push("ownKeys");
          return Reflect.ownKeys(target);
        },
      });
      if (extra === undefined) call(options);
      else assertThrows(() => call(options), TypeError, '"legnth"', name);
      assertEquals(reads.length, new Set(reads).size, `${name}: ${reads}`);
      assertEquals(listed.length, 1, name);
    }
  }
});

Deno.test("what the caller's traps do while options are read is seen afterwards", () => {
  using source = Pmem2Source.anonymous(16_384);
  for (const trap of ["ownKeys", "getOwnPropertyDescriptor", "get"] as const) {
    const map = Pmem2Map.from(source);
    const options = new Proxy({ flush: true }, {
      [trap](...args: unknown[]) {
        map.close();
        return Reflect.apply(Reflect[trap], Reflect, args);
      },
    });
    assertThrows(
      () => map.write(new Uint8Array(8), 0, options),
      TypeError,
      "as the map is closed",
      trap,
    );
  }
});
