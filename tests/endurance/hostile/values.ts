/**
 * Arguments: what a member is meant to be called with, and what it isn't.
 *
 * @module
 */

import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import type { Member } from "./members.ts";
import { PAGE } from "../../support/page.ts";
import { granularities, map, type World } from "./world.ts";

export class Values {
  readonly #world: World;
  readonly #shapes: Record<string, () => unknown[]>;

  constructor(world: World) {
    this.#world = world;
    const { random } = world;
    const range = () => [this.#offset(), this.#length()];
    const flushed = () => random.chance(0.4) ? [this.#view()] : range();
    const moved = () => [
      this.#offset(),
      this.#offset(),
      this.#length(),
      this.#storeOptions(),
    ];
    const copied = () => [this.#array(), this.#offset(), this.#storeOptions()];
    this.#shapes = {
      "Pmem2Map.open": () => [this.#path(), this.#openOptions()],
      "Pmem2Map.from": () => [this.#source(), this.#mapOptions()],
      "Pmem2Map.unsafeFromExisting": () => [
        this.#source(),
        this.#ownAddress(),
        this.#length(),
        random.pick(granularities),
      ],
      "Pmem2Source.open": () => [this.#path(), this.#openOptions()],
      "Pmem2Source.fromFd": () => [this.#fd()],
      "Pmem2Source.anonymous": () => [this.#size()],
      "Pmem2VmReservation": () => [this.#size(), this.#place()],
      "Pmem2VmReservation.prototype.constructor": () => [this.#size()],
      "Pmem2VmReservation.prototype.map": () => [
        random.chance(0.7) ? this.#source() : this.#path(),
        this.#openOptions(),
      ],
      "Pmem2VmReservation.prototype.find": range,
      "Pmem2VmReservation.prototype.findNext": () => [this.#map()],
      "Pmem2VmReservation.prototype.findPrev": () => [this.#map()],
      "Pmem2VmReservation.prototype.maps": () => [
        this.#object({
          from: () => this.#offset(),
          to: () => this.#offset(),
          reverse: () => random.chance(0.5),
        }),
      ],
      "Pmem2VmReservation.prototype.extend": () => [this.#length()],
      "Pmem2VmReservation.prototype.shrink": () => [
        random.chance(0.5) ? 0 : this.#offset(),
        this.#length(),
      ],
      "Pmem2VmReservation.prototype.close": () => [
        // Rarely with maps, lest nothing lives for long.
        this.#object({ maps: () => random.chance(0.1) }),
      ],
      "Pmem2VmReservation.prototype[Deno.customInspect]": () => [
        Deno.inspect,
        this.#inspectOptions(),
      ],
      "Pmem2Map.prototype[Deno.customInspect]": () => [
        Deno.inspect,
        this.#inspectOptions(),
      ],
      "Pmem2Map.prototype.read": copied,
      "Pmem2Map.prototype.write": copied,
      "Pmem2Map.prototype.move": moved,
      "Pmem2Map.prototype.fill": () => [random.below(256), ...moved().slice(1)],
      "Pmem2Map.prototype.persist": flushed,
      "Pmem2Map.prototype.flush": flushed,
      "Pmem2Map.prototype.deepFlush": flushed,
      "Pmem2Map.prototype.persistAsync": flushed,
      "Pmem2Map.prototype.deepFlushAsync": flushed,
      "Pmem2VmReservation.prototype.view": range,
      "Pmem2VmReservation.prototype.read": copied,
      "Pmem2VmReservation.prototype.write": copied,
      "Pmem2VmReservation.prototype.move": moved,
      "Pmem2VmReservation.prototype.fill": () => [
        random.below(256),
        ...moved().slice(1),
      ],
      "Pmem2VmReservation.prototype.persist": flushed,
      "Pmem2VmReservation.prototype.flush": flushed,
      "Pmem2VmReservation.prototype.deepFlush": flushed,
      "Pmem2VmReservation.prototype.persistAsync": flushed,
      "Pmem2VmReservation.prototype.deepFlushAsync": flushed,
      "Pmem2Source.prototype.read": copied,
      "Pmem2Source.prototype.write": copied,
      "Pmem2Error": () => [-1 - random.below(40), "pmem2_map_new", "why"],
      "emulatePmem": () => [
        random.pick(granularities),
        { directory: world.scratch.directory },
      ],
      "emulation.path": () => ["name"],
      "emulation.crash": () => [
        this.#object({
          pending: () => random.pick(["lost", "kept", random.below(9)]),
        }),
      ],
      "CrashError": () => [{
        moment: 0,
        moments: 1,
        state: 0,
        seed: 1,
        at: "",
        pending: [],
        cause: null,
      }],
      "testCrashes": () => [{
        directory: world.scratch.directory,
        states: 1,
        write() {},
        check() {},
      }],
    };
  }

  /** The arguments of one call. */
  arguments({ name }: Member): unknown[] {
    const { random } = this.#world;
    const values = this.#shapes[name]?.() ?? [];
    // The default of an argument, or of all behind it.
    while (values.length > 0 && random.chance(0.2)) values.pop();
    if (random.chance(0.5)) return this.#safe(name, values);
    if (values.length === 0 || random.chance(0.1)) values.push(this.any());
    const spoilt = random.chance(0.2) ? values.length : 1;
    for (let i = 0; i < spoilt; i++) {
      values[random.below(values.length)] = this.any();
    }
    return this.#safe(name, values);
  }

  /**
   * What would do legitimate harm, to the tests or to somebody else's files, is
   * replaced: other people's descriptors, addresses and directories.
   */
  #safe(name: string, values: unknown[]): unknown[] {
    const { random, own } = this.#world;
    const [first, second] = values;
    switch (name) {
      case "Pmem2Source.fromFd": {
        const harmful = typeof first === "number" && first >= 0 &&
          first < 2 ** 16;
        return harmful ? [this.#fd(), ...values.slice(1)] : values;
      }
      case "Pmem2Map.unsafeFromExisting": {
        const inside = typeof second === "bigint" && second >= own.address &&
          second < own.address + BigInt(own.size);
        const nowhere = typeof second === "bigint" && second < 65536n;
        const safe = typeof second !== "bigint" || inside || nowhere ||
          second >= 2n ** 47n;
        return safe ? values : [first, own.address, ...values.slice(2)];
      }
      case "Pmem2Map.open":
      case "Pmem2Source.open":
      case "Pmem2VmReservation.prototype.map":
        return typeof first === "string" && !first.startsWith("/")
          ? [random.pick(this.#world.paths), ...values.slice(1)]
          : values;
      case "emulatePmem":
        return [first, { directory: this.#world.scratch.directory }];
      case "emulation.constructor":
        return [undefined, ...values.slice(1)];
      default:
        return values;
    }
  }

  // Good ones

  #offset(): number {
    const { random } = this.#world;
    return random.pick([
      0,
      PAGE,
      2 * PAGE,
      PAGE * random.below(16),
      random.below(PAGE),
      random.below(4 * PAGE),
    ]);
  }

  #length(): number {
    const { random } = this.#world;
    return random.pick([1, 64, PAGE, PAGE, 2 * PAGE, random.below(2 * PAGE)]);
  }

  #size(): number {
    const { random } = this.#world;
    return random.pick([
      PAGE * (1 + random.below(16)),
      PAGE * (1 + random.below(16)),
      2 ** 21,
      2 ** 31,
      2 ** 40,
      1 + random.below(PAGE),
    ]);
  }

  #path(): string | URL {
    const { random, paths, scratch } = this.#world;
    const path = random.pick([
      ...paths,
      ...paths,
      scratch.path(`new${random.below(4)}`),
      scratch.path("none/at/all"),
      scratch.directory,
      "/dev/null",
      "/proc/self/maps",
      "/sys/kernel/vmcoreinfo",
    ]);
    return random.chance(0.1) ? new URL(`file://${path}`) : path;
  }

  #source(): unknown {
    return this.#world.random.pick(this.#world.sources);
  }

  #map(): unknown {
    return this.#world.random.pick(this.#world.maps);
  }

  /** A descriptor of this program's own, or one that nobody has. */
  #fd(): number {
    const { random, sources } = this.#world;
    if (random.chance(0.1)) return 2 ** 31 - 1 - random.below(1000);
    for (let i = 0; i < 8; i++) {
      try {
        const { fd } = random.pick(sources);
        if (fd !== null) return fd;
      } catch {
        // It's closed.
      }
    }
    return 2 ** 30;
  }

  #ownAddress(): bigint {
    const { random, own } = this.#world;
    return own.address + BigInt(PAGE * random.below(16));
  }

  #array(): Uint8Array {
    const { random } = this.#world;
    const view = random.chance(0.3) ? this.#view() : undefined;
    return view instanceof Uint8Array
      ? view
      : new Uint8Array(random.pick([0, 1, 63, 64, 65, 200, PAGE, 2 * PAGE]));
  }

  /** A view on some map. */
  #view(): ArrayBufferView | undefined {
    const { random, maps, views } = this.#world;
    try {
      const bytes = views.length > 0 && random.chance(0.4)
        ? random.pick(views)
        : map.bytes(random.pick(maps));
      const start = random.below(bytes.length);
      const length = random.below(bytes.length - start);
      return random.chance(0.7)
        ? bytes.subarray(start, start + length)
        : new DataView(bytes.buffer, bytes.byteOffset + start, length);
    } catch {
      return undefined;
    }
  }

  #storeOptions(): unknown {
    const { random } = this.#world;
    const boolean = () => random.chance(0.5);
    return random.chance(0.5) ? undefined : this.#object({
      flush: boolean,
      drain: boolean,
      temporal: boolean,
      writeCombining: boolean,
    });
  }

  #mapOptions(): unknown {
    const { random } = this.#world;
    return random.chance(0.3) ? undefined : this.#object(this.#mapFields());
  }

  #mapFields(): Record<string, () => unknown> {
    const { random } = this.#world;
    const boolean = () => random.chance(0.8);
    return {
      offset: () => PAGE * random.below(3),
      length: () => PAGE * (1 + random.below(3)),
      granularity: () => random.pick(granularities),
      sharing: () => random.pick(["shared", "private"]),
      read: boolean,
      write: boolean,
      exec: () => random.chance(0.1),
      at: () => PAGE * random.below(20),
    };
  }

  #openOptions(): unknown {
    const { random } = this.#world;
    return random.chance(0.3) ? undefined : this.#object({
      ...this.#mapFields(),
      create: () => random.chance(0.5),
      createNew: () => random.chance(0.2),
      size: () => PAGE * random.below(6),
      mode: () => 0o600,
    });
  }

  #place(): unknown {
    const { random } = this.#world;
    const address = () =>
      0x3000_0000_0000n + BigInt(random.below(64)) * 2n ** 30n;
    return random.chance(0.5) ? undefined : this.#object({ address });
  }

  #inspectOptions(): unknown {
    const { random } = this.#world;
    return this.#object({
      breakLength: () => random.pick([0, 60, 80, 200, Infinity]),
      colors: () => random.chance(0.5),
      iterableLimit: () => random.pick([0, 1, 100, Infinity]),
    });
  }

  /** Some of the fields; at times as getters that do something, or spoilt. */
  #object(fields: Record<string, () => unknown>): unknown {
    const { random } = this.#world;
    if (random.chance(0.03)) return this.any();
    const object: Record<string, unknown> = {};
    for (const [key, make] of Object.entries(fields)) {
      if (random.chance(0.6)) continue;
      if (random.chance(0.1)) {
        Object.defineProperty(object, key, { get: () => this.#world.act() });
      } else {
        object[key] = random.chance(0.05) ? this.any() : make();
      }
    }
    return object;
  }

  // Bad ones

  /** Anything. */
  any(): unknown {
    const { random } = this.#world;
    return random.pick(random.pick([
      this.#primitives,
      this.#primitives,
      this.#objects,
      this.#buffers,
      this.#living,
    ]))();
  }

  readonly #primitives: (() => unknown)[] = [
    undefined,
    null,
    NaN,
    Infinity,
    -Infinity,
    -1,
    -0,
    0,
    0.5,
    1,
    4095,
    -4096,
    2 ** 31,
    2 ** 32,
    2 ** 47,
    2 ** 53 - 1,
    2 ** 53,
    2 ** 64,
    2 ** 64 - 4096,
    Number.MIN_VALUE,
    Number.MAX_VALUE,
    0n,
    -1n,
    4096n,
    2n ** 47n,
    2n ** 63n,
    2n ** 64n,
    2n ** 64n - 4096n,
    10n ** 400n,
    "",
    "0",
    "4096",
    "page",
    "/nul\0inside",
    "/" + "long".repeat(2000),
    "/line\nbreak",
    "/\ud800",
    Symbol("symbol"),
    Symbol.iterator,
    true,
    false,
  ].map((value) => () => value);

  readonly #objects: (() => unknown)[] = [
    () => ({}),
    () => [],
    () => [4096],
    () => () => this.#world.act(),
    () => class extends Pmem2VmReservation {},
    () => new Date(),
    () => new Number(4096),
    () => new String("page"),
    () => new Promise(() => {}),
    () => new URL("http://localhost/file"),
    () => Object.create(URL.prototype),
    () => Object.create(Pmem2Map.prototype),
    () => Object.create(Pmem2Source.prototype),
    () => Object.create(Pmem2VmReservation.prototype),
    () => Object.create(null),
    () => Pmem2Map.prototype,
    () => Object.defineProperty(() => {}, "length", { value: 4096 }),
    () => ({ valueOf: () => this.#world.act() }),
    () => ({ toString: () => this.#world.act() }),
    () => ({ [Symbol.toPrimitive]: () => this.#world.act() }),
    () => new Proxy({}, { get: () => this.#world.act() }),
    () => new Proxy({}, { getPrototypeOf: () => Object(this.#world.act()) }),
    () => this.#revoked(),
    () => new Proxy(Object(this.#living[0]!()), {}),
    () => this.#object(this.#mapFields()),
    () => this.#openOptions(),
  ];

  readonly #buffers: (() => unknown)[] = [
    () => new Uint8Array(0),
    () => new Uint8Array(4096),
    () => new Float64Array(3),
    () => new BigInt64Array(3),
    () => new Uint8Array(new ArrayBuffer(64, { maxByteLength: 8192 })),
    () => this.#shrunk(),
    () => this.#detached(),
    () => new Uint8Array(new SharedArrayBuffer(256)),
    () => new Uint8Array(new SharedArrayBuffer(64, { maxByteLength: 256 })),
    () => new DataView(new ArrayBuffer(99), 7, 13),
    () => new ArrayBuffer(64),
    () => new SharedArrayBuffer(64),
    () => this.#view(),
    () => new Proxy(new Uint8Array(64), {}),
    () =>
      new (class extends Uint8Array {
        override get byteLength() {
          return 2 ** 40;
        }
      })(64),
    () =>
      Object.defineProperty(new Uint8Array(64), "byteLength", {
        value: 2 ** 40,
      }),
  ];

  /** Living and dead objects of the module. */
  readonly #living: (() => object | undefined)[] = [
    () => this.#world.random.pick(this.#world.maps),
    () => this.#world.random.pick(this.#world.sources),
    () => this.#world.random.pick(this.#world.reservations),
    () => this.#world.random.pick(this.#world.walks),
    () => this.#world.random.pick(this.#world.graveyard),
    () => this.#world.random.pick(this.#world.graveyard),
    () => this.#world.random.pick(this.#world.emulations),
  ];

  #revoked(): unknown {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  }

  #shrunk(): Uint8Array {
    const buffer = new ArrayBuffer(8192, { maxByteLength: 8192 });
    const array = new Uint8Array(buffer, 4096, 64);
    buffer.resize(10);
    return array;
  }

  #detached(): Uint8Array {
    const array = new Uint8Array(64);
    array.buffer.transfer();
    return array;
  }
}
