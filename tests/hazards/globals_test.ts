import { assertSurvives } from "./survival.ts";

/**
 * Replaces each function of the engine that a caller can replace, in several ways,
 * and uses everything meanwhile.
 */
const program = (owners: string) => `
  const { defineProperty, getOwnPropertyDescriptor, getOwnPropertyNames, getOwnPropertySymbols } = Object;
  const { apply } = Reflect;
  const call = (fn, self, ...args) => apply(fn, self, args);
  // In memory: each persist on a disk takes long.
  const shm = "/dev/shm";
  using scratch = new Scratch(Deno.makeTempDirSync({
    dir: Deno.statSync(shm, {}).isDirectory ? shm : undefined,
  }));
  const path = scratch.file("file", 8192);

  /** Everything that a program does with the module, errors and all. */
  function use() {
    const tries = [];
    const attempt = (action) => { try { return action(); } catch { return undefined; } };
    const source = attempt(() => Pmem2Source.open(path));
    const memory = attempt(() => Pmem2Source.anonymous(8192));
    const reservation = attempt(() => new Pmem2VmReservation(2 ** 21));
    const map = attempt(() => Pmem2Map.open(path));
    const bytes = new Uint8Array(100);
    const inside = attempt(() => reservation.map(memory, { at: 4096 }));
    const first = attempt(() => reservation.map(path));
    for (const one of [map, inside, first]) {
      attempt(() => one.fill(7, 0, 100));
      attempt(() => one.write(bytes, 8192 - 100));
      attempt(() => one.write(bytes, 8192 - 99));
      attempt(() => one.read(bytes, 8000));
      attempt(() => one.move(0, 100, 100, { temporal: true }));
      attempt(() => one.persist(8000, 192));
      attempt(() => one.flush(0, 8193));
      attempt(() => one.deepFlush());
      attempt(() => one.bytes[0]++);
      attempt(() => one.persist(one.bytes));
      attempt(() => one.drain());
    }
    attempt(() => reservation.find(0, 2 ** 21));
    attempt(() => reservation.findLast());
    attempt(() => { for (const one of reservation) one.read(bytes, 0); });
    attempt(() => { for (const one of reservation.maps({ reverse: true, from: 10 })) one.size; });
    attempt(() => { for (const gap of reservation.gaps()) gap.size; });
    attempt(() => reservation.write(bytes, 4090));
    attempt(() => reservation.view(4096, 8192).length);
    attempt(() => reservation.persist());
    attempt(() => Deno.inspect(reservation));
    attempt(() => Deno.inspect(map));
    attempt(() => source.read(bytes, 0));
    attempt(() => source.write(bytes, 0));
    attempt(() => { for (const block of source.badBlocks()) block.clear(); });
    attempt(() => Pmem2Map.unsafeFromExisting(source, map.address, 4096, "page"));
    attempt(() => reservation.extend(4096));
    attempt(() => reservation.shrink(2 ** 21, 4096));
    attempt(() => Pmem2Map.open(path, { offset: 4096, length: 4096, sharing: "private" }).close());
    attempt(() => Pmem2Map.open(path, { lenght: 1 }));
    attempt(() => inside.close());
    attempt(() => first.read(bytes, 0));
    attempt(() => map.close());
    attempt(() => map.read(bytes));
    attempt(() => reservation.close({ maps: true }));
    attempt(() => source.close());
    attempt(() => memory.close());
    return [source, memory, reservation, map, inside, first];
  }
  /** With everything as it was, all that was made can be used and closed. */
  function settle(made) {
    const bytes = new Uint8Array(10);
    for (let i = made.length - 1; i >= 0; i--) {
      const one = made[i];
      if (one === undefined || one.closed) continue;
      try {
        if (one instanceof Pmem2Map) { one.fill(1); one.read(bytes, one.size - 10); }
        if (one instanceof Pmem2VmReservation) one.close({ maps: true });
        else one.close();
      } catch (error) {
        // A map may have been taken down half way.
        if (!(error instanceof Error)) throw error;
      }
    }
  }
  for (let i = 0; i < 3; i++) settle(use());
  const ways = {
    throws: () => () => { throw new Error("replaced"); },
    nothing: () => () => undefined,
    huge: () => () => 2 ** 40,
    hugeBigInt: () => () => 2n ** 46n,
    swapped: (fn) => function (...args) {
      for (let i = 0; i < args.length / 2; i++) {
        const last = args.length - 1 - i;
        const one = args[i];
        args[i] = args[last];
        args[last] = one;
      }
      return new.target ? Reflect.construct(fn, args) : apply(fn, this, args);
    },
    empty: () => () => ({ done: true, value: undefined, next: () => ({ done: true, value: undefined }), [Symbol.iterator]() { return this; } }),
  };
  const owners = ${owners};
  let replaced = 0;
  for (const name in owners) {
    const owner = owners[name];
    const names = getOwnPropertyNames(owner);
    const symbols = getOwnPropertySymbols(owner);
    const keys = [...names, ...symbols];
    for (let k = 0; k < keys.length; k++) {
      const key = keys[k];
      if (key === "constructor" || key === "caller" || key === "arguments") continue;
      const descriptor = getOwnPropertyDescriptor(owner, key);
      if (!descriptor.configurable) continue;
      const { value, get } = descriptor;
      const fn = typeof value === "function" ? value : get;
      if (typeof fn !== "function") continue;
      const waysOf = Object.keys(ways);
      for (let w = 0; w < waysOf.length; w++) {
        const way = waysOf[w];
        const other = ways[way](fn);
        let made = [];
        try {
          defineProperty(owner, key, value === undefined
            ? { get: other, configurable: true }
            : { value: other, configurable: true, writable: true });
          made = use();
        } catch {
          // The program's own use of what was replaced.
        } finally {
          defineProperty(owner, key, descriptor);
        }
        settle(made);
        replaced++;
      }
    }
  }
  settle(use());
  assert(replaced > 10);
`;

for (
  const [what, owners] of [
    [
      "arrays and iterators",
      `{
      Array, "Array.prototype": Array.prototype,
      "the array iterator": Object.getPrototypeOf([][Symbol.iterator]()),
      "the map iterator": Object.getPrototypeOf(new Map()[Symbol.iterator]()),
      "the set iterator": Object.getPrototypeOf(new Set()[Symbol.iterator]()),
      "Iterator.prototype": Iterator.prototype,
    }`,
    ],
    [
      "maps, sets and functions",
      `{
      "Map.prototype": Map.prototype, "Set.prototype": Set.prototype,
      "WeakMap.prototype": WeakMap.prototype, "WeakRef.prototype": WeakRef.prototype,
      "FinalizationRegistry.prototype": FinalizationRegistry.prototype,
      "Function.prototype": Function.prototype, Reflect, Object,
      "Object.prototype": Object.prototype, "performance": Object.getPrototypeOf(performance),
    }`,
    ],
    [
      "numbers",
      `{
      Number, "Number.prototype": Number.prototype, BigInt, "BigInt.prototype": BigInt.prototype, Math,
      "the global object": {
        get Number() { return 0; },
      },
    }`,
    ],
    [
      "buffers and arrays over them",
      `{
      ArrayBuffer, "ArrayBuffer.prototype": ArrayBuffer.prototype,
      "TypedArray": Object.getPrototypeOf(Uint8Array),
      "TypedArray.prototype": Object.getPrototypeOf(Uint8Array.prototype),
      "DataView.prototype": DataView.prototype,
      "Uint8Array.prototype": Uint8Array.prototype, "BigUint64Array.prototype": BigUint64Array.prototype,
      "TextEncoder.prototype": TextEncoder.prototype, "TextDecoder.prototype": TextDecoder.prototype,
    }`,
    ],
    [
      "texts and errors",
      `{
      "Error.prototype": Error.prototype, "Symbol.prototype": Symbol.prototype,
      "URL.prototype": URL.prototype,
    }`,
    ],
  ] as const
) {
  Deno.test(`H20: nobody dies of ${what} that were replaced`, () =>
    assertSurvives(program(owners)));
}

Deno.test("H20: nobody dies of global classes and functions that were replaced", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const names = Object.getOwnPropertyNames(globalThis).filter((name) =>
      typeof globalThis[name] === "function" && /^[A-Z]/.test(name));
    const { defineProperty, getOwnPropertyDescriptor } = Object;
    const use = () => {
      const attempt = (action) => { try { return action(); } catch { return undefined; } };
      const map = attempt(() => Pmem2Map.open(path));
      const reservation = attempt(() => new Pmem2VmReservation(2 ** 21));
      const inside = attempt(() => reservation.map(path, { at: 8192 }));
      const bytes = attempt(() => map.bytes);
      attempt(() => map.write(bytes, 0));
      attempt(() => inside.persist(8191, 1));
      attempt(() => inside.persist(8191, 2));
      attempt(() => map.close());
      attempt(() => reservation.close({ maps: true }));
      return [map, inside, reservation];
    };
    let replaced = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      const descriptor = getOwnPropertyDescriptor(globalThis, name);
      if (!descriptor.configurable) continue;
      for (const other of [
        () => 2 ** 40,
        class { constructor() { throw 1; } },
        function () { return undefined; },
      ]) {
        let made;
        try {
          defineProperty(globalThis, name, { value: other, configurable: true, writable: true });
          made = use();
        } finally {
          defineProperty(globalThis, name, descriptor);
        }
        for (const one of made) {
          try {
            if (one?.closed === false) one.close(one instanceof Pmem2VmReservation ? { maps: true } : undefined);
          } catch (error) {
            assert(error instanceof Error);
          }
        }
        replaced++;
      }
    }
    assert(replaced > 100);
  `));

Deno.test("H20: native code writes to no array of a class that was replaced", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 0);
    Deno.truncateSync(path, 2 ** 30 + 8192);
    Deno.chdir(path.slice(0, -"/file".length));
    const bytes = new Uint8Array(8192);
    const originals = {
      ArrayBuffer, BigUint64Array, DataView, Float64Array, Uint32Array, Uint8Array,
    };
    const buffers = [];
    const replaced = [];
    for (const name of Object.keys(originals)) {
      const Original = originals[name];
      globalThis[name] = class {
        constructor() {
          replaced.push(name + new Error().stack);
          if (name === "ArrayBuffer") return new Original(1);
          const buffer = new originals.ArrayBuffer(8);
          buffers.push(buffer);
          return new Original(buffer);
        }
      };
    }
    try {
      Pmem2Map.open("file", { length: 8192 }).close();
      assertThrows(() => Pmem2Map.open("file", { offset: 1 }), Pmem2Error);
      const source = Pmem2Source.open("file");
      // More than libpmem2 may read at once.
      source.read(bytes, 2 ** 30 - 4096);
      source.write(bytes, 2 ** 30 - 4096);
      try { source.deviceId(); } catch (error) { assert(error instanceof Pmem2Error); }
      const map = Pmem2Map.from(source, { length: 4096 });
      assertThrows(() => {
        Pmem2Map.unsafeFromExisting(source, map.address, 4096, "page");
      }, Pmem2Error);
      map.fill(1, 0, 1000, { temporal: true });
      map.close();
      source.close();
      const reservation = new Pmem2VmReservation(2 ** 21);
      for (let at = 0; at < 8192; at += 4096) reservation.map(path, { at, length: 4096 });
      reservation.fill(2, 100, 5000);
      reservation.write(bytes, 0);
      reservation.close({ maps: true });
      // What has no blocks yet is listed first.
      const sparse = scratch.directory + "/sparse";
      Deno.writeFileSync(sparse, bytes);
      Deno.truncateSync(sparse, 2 ** 20);
      Pmem2Map.open(sparse, { size: 2 ** 21 }).close();
    } finally {
      Object.assign(globalThis, originals);
    }
    assertEquals(replaced, []);
  `));

Deno.test("H20: the limit of mappings is seen though the text functions were replaced", () =>
  assertSurvives(
    `
    const reservations = [new Pmem2VmReservation(65536)];
    const TypedArray = Object.getPrototypeOf(Uint8Array.prototype);
    TypedArray.indexOf = () => -1;
    TypedArray.subarray = function () { return this; };
    const { prototype } = TextDecoder;
    const { decode } = prototype;
    prototype.decode = () => "99999999";
    globalThis.TextDecoder = class { decode() { return "99999999"; } };
    TextEncoder.prototype.encodeInto = () => ({ read: 0, written: 0 });
    globalThis.parseInt = () => 99999999;
    const error = assertThrows(() => {
      for (;;) reservations.push(new Pmem2VmReservation(65536));
    }, Pmem2Error);
    prototype.decode = decode;
    assertEquals(error.code, "ENOMEM");
  `,
  ));

/** A reservation whose index is made anew while an index of arrays runs a program's code. */
const indexed = `
  using memory = Pmem2Source.anonymous(2 ** 20);
  const page = memory.alignment;
  using source = Pmem2Source.anonymous(page);
  using reservation = new Pmem2VmReservation(64 * page);
  for (let i = 0; i < 20; i++) reservation.map(source, { at: (i + 40) * page });
  for (let i = 0; i < 3; i++) for (const _ of reservation);
  for (let i = 0; i < 25; i++) reservation.map(source, { at: i * page });
  /** Walks and searches while setters of Array.prototype get what is put into arrays. */
  function taken(set, from = 0, to = 64) {
    const put = Object.defineProperty;
    for (let i = from; i < to; i++) {
      put(Array.prototype, i, { configurable: true, get() {}, set(value) {
        put(this, i, { value, writable: true, configurable: true, enumerable: true });
        set(value, taken);
      } });
    }
    try {
      for (let i = 0; i < 60; i++) reservation.find(i % 25 * page);
      for (const _ of reservation);
      Deno.inspect(reservation);
      reservation.view(0, 3 * page);
    } catch {
      // The setter's own error.
    }
    for (let i = from; i < to; i++) delete Array.prototype[i];
  }
`;

Deno.test("H20: a setter of Array.prototype gets no native map", () =>
  assertSurvives(`${indexed}
    let native = 0;
    taken((value) => {
      if (typeof value?.delete === "function") native++;
    });
    assertEquals(native, 0);
    assertEquals([...reservation].length, 45);
  `));

Deno.test("H20: a setter of Array.prototype that throws leaves walks whole", () =>
  assertSurvives(`${indexed}
    // In the middle of an array, and not of that of the native maps.
    taken((value) => {
      if (typeof value?.delete !== "function") throw new Error("not this one");
    }, 40, 41);
    for (let i = 0; i < 3; i++) {
      const offsets = [...reservation].map(({ offset }) => offset / page);
      assertEquals(offsets.length, 45);
      assertEquals(offsets, offsets.toSorted((a, b) => a - b));
    }
    for (const map of reservation) map.close();
    assertEquals([...reservation], []);
  `));

Deno.test("H20: Array.prototype.map gets no native map from what is printed", () =>
  assertSurvives(`${indexed}
    const { map } = Array.prototype;
    let native = 0;
    Array.prototype.map = function (...rest) {
      for (let i = 0; i < this.length; i++) {
        if (typeof this[i]?.delete === "function" && "traits" in this[i]) native++;
      }
      return Reflect.apply(map, this, rest);
    };
    Deno.inspect(reservation);
    Array.prototype.map = map;
    assertEquals(native, 0);
  `));
