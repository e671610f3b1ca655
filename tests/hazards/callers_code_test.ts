import { Pmem2Error, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertInstanceOf } from "@std/assert";
import { assertSurvives } from "./survival.ts";

Deno.test("H20: options that close what they are given to end in an error", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const names = [
      "offset", "length", "granularity", "sharing", "read", "write", "exec", "at",
      "create", "createNew", "size", "mode", "flush", "drain", "temporal",
      "writeCombining", "from", "to", "reverse", "maps", "address",
      "iterableLimit", "breakLength", "colors",
    ];
    const inspect = Symbol.for("Deno.customInspect");
    for (const trap of names) {
      for (const use of [
        ({ source }, options) => Pmem2Map.from(source, options),
        ({ reservation, source }, options) => reservation.map(source, options),
        ({ reservation }, options) => reservation.map(path, options),
        ({ map }, options) => map.write(map.bytes.subarray(0, 4096), 0, options),
        ({ map }, options) => map.write(new Uint8Array(100), 0, options),
        ({ map }, options) => map.move(0, 100, 1000, options),
        ({ map }, options) => map.fill(1, 0, 4096, options),
        ({ reservation }, options) => reservation.write(reservation.view(4096, 8192), 0, options),
        ({ reservation }, options) => reservation.write(new Uint8Array(100), 8150, options),
        ({ reservation }, options) => reservation.move(4096, 0, 8192, options),
        ({ reservation }, options) => reservation.fill(1, 4096, 8192, options),
        ({ reservation }, options) => [...reservation.maps(options)],
        ({ reservation }, options) => reservation.close(options),
        ({ reservation }, options) => reservation[inspect](null, options),
        ({ map }, options) => map[inspect](null, options),
      ]) {
        const source = Pmem2Source.open(path);
        const reservation = new Pmem2VmReservation(2 ** 21);
        const map = reservation.map(source);
        reservation.map(source);
        const closed = () => {
          source.close();
          reservation.close({ maps: true });
        };
        const made = [];
        try {
          made.push(use({ source, reservation, map }, { get [trap]() { return closed(); } }));
        } catch (error) {
          // With another trap than "maps", the reservation is closed without them.
          assert(
            error instanceof TypeError || error instanceof RangeError ||
              error.code === "PMEM2_E_VM_RESERVATION_NOT_EMPTY",
            error,
          );
        }
        for (const object of made) if (object instanceof Pmem2Map) object.close();
        closed();
      }
    }
  `));

Deno.test("H20: arrays that lie about themselves are taken for what they are", () =>
  assertSurvives(`
    using source = Pmem2Source.anonymous(8192);
    using reservation = new Pmem2VmReservation(2 ** 21);
    const [first, map, last] = [0, 1, 2].map(() => reservation.map(source));
    for (const neighbor of [first, last]) neighbor.fill(0x5a);
    class Liar extends Uint8Array {
      get length() { return 2 ** 40; }
      get byteLength() { return 2 ** 40; }
      get byteOffset() { return -4096; }
      get buffer() { return map.buffer; }
    }
    const own = new Uint8Array(64);
    for (const key of ["length", "byteLength", "byteOffset", "buffer", "BYTES_PER_ELEMENT"]) {
      Object.defineProperty(own, key, { get: () => 2 ** 40 });
    }
    Object.defineProperty(own, "constructor", { get: () => Liar });
    Object.setPrototypeOf(own, Liar.prototype);
    for (const array of [new Liar(64), own, new Liar(new ArrayBuffer(0, { maxByteLength: 2 ** 20 }))]) {
      map.write(array, 8192 - 64);
      map.read(array, 8192 - 64);
      reservation.write(array, 2 * 8192 - 64);
      reservation.read(array, 2 * 8192 - 64);
      assertThrows(() => map.persist(array), TypeError);
      assertThrows(() => reservation.persist(array), TypeError);
      assertThrows(() => map.flush(new Liar(64)), TypeError);
    }
    // An overridden size means nothing either.
    class Map extends Object {}
    Object.defineProperty(map, "size", { value: 2 ** 40 });
    Object.defineProperty(reservation, "size", { value: 2 ** 40 });
    assertThrows(() => map.fill(1, 0, 8193), RangeError);
    assertThrows(() => map.persist(8192, 1), RangeError);
    assertThrows(() => reservation.fill(1, 3 * 8192, 2 ** 21), RangeError);
    assertThrows(() => reservation.view(0, 2 ** 22), RangeError);
    assertThrows(() => reservation.map(source, { at: 2 ** 21 }), RangeError);
    for (const offset of [{ valueOf() { map.close(); return 0; } }, [0], "0", 0n, new Number(0)]) {
      assertThrows(() => map.fill(1, offset), TypeError);
      assertThrows(() => map.read(new Uint8Array(1), offset), TypeError);
      assertThrows(() => map.persist(offset), TypeError);
      assertThrows(() => reservation.find(offset), TypeError);
    }
    for (const neighbor of [first, last]) {
      assertEquals(neighbor.bytes, new Uint8Array(8192).fill(0x5a));
    }
  `));

Deno.test("a method on another this throws, and doesn't reach globalThis.close()", () =>
  assertSurvives(`
    using source = Pmem2Source.anonymous(4096);
    const walk = new Pmem2VmReservation(4096).maps();
    const emulation = emulatePmem("page");
    for (const object of [Pmem2Map.from(source), source, new Pmem2VmReservation(4096), walk, emulation]) {
      const prototype = Object.getPrototypeOf(object);
      for (const key of Reflect.ownKeys(prototype)) {
        // What console.log calls prints whatever it's called on.
        if (key === "constructor" || key === Symbol.for("Deno.customInspect")) continue;
        const { get, value } = Object.getOwnPropertyDescriptor(prototype, key);
        const method = get ?? value;
        if (typeof method !== "function" || (prototype.constructor?.name === "Emulation" && key === "path")) continue;
        for (const other of [globalThis, undefined, null, {}, 1, Object.create(prototype), new Proxy(object, {}), prototype]) {
          const call = () => Reflect.apply(method, other, []);
          if (key.endsWith?.("Async") || key === Symbol.asyncDispose) await assertRejects(call, TypeError, "Cannot ");
          else assertThrows(call, TypeError, "Cannot ");
        }
      }
    }
    emulation[Symbol.dispose]();
  `));

Deno.test("-0 is 0 wherever a number goes", () => {
  using memory = Pmem2Source.anonymous(4096);
  using reservation = new Pmem2VmReservation(8192);
  using map = reservation.map(memory, { at: -0, offset: -0 });
  assertEquals(map.offset, 0);
  map.fill(1);
  map.fill(-0, -0, 8);
  map.fill(-0, 8, 8, { temporal: true });
  map.write(new Uint8Array(1), -0);
  map.move(-0, -0, 1);
  map.persist(-0, -0);
  const bytes = new Uint8Array(17);
  map.read(bytes, -0);
  assertEquals(bytes, new Uint8Array(17).fill(1, 16));
  assertEquals(reservation.find(-0, -0), map);
  assertEquals([...reservation.maps({ from: -0, to: -0 })], []);
  // It's a pipe, a terminal or a file; not an argument of the wrong type.
  try {
    Pmem2Source.fromFd(-0).close();
  } catch (error) {
    assertInstanceOf(error, Pmem2Error);
  }
});
