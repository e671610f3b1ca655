import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ForeignMemory, native } from "../support/native_process.ts";
import { Scratch } from "../support/scratch.ts";
import { frugal } from "../support/subprocess.ts";
import { assertSurvives } from "./survival.ts";

Deno.test("H1: 1,100 maps at once take no pthread key", () =>
  assertSurvives(`
    using scratch = new Scratch();
    using file = Pmem2Source.open(scratch.file("file", 4096));
    using memory = Pmem2Source.anonymous(4096);
    const reservation = new Pmem2VmReservation(2 ** 23);
    Pmem2Map.from(file).close();
    const before = process.freeKeys();

    const maps = [];
    for (let i = 0; i < 1100; i++) {
      maps.push(Pmem2Map.from(i % 2 ? file : memory), reservation.map(memory));
      maps.at(-1).fill(i % 251);
    }
    assertEquals(process.freeKeys(), before);
    // Without keys it's the next error that ends the process.
    assertRefused(() => new Pmem2VmReservation(100), "PMEM2_E_LENGTH_UNALIGNED");

    for (const map of maps) map.close();
    reservation.close();
    assertEquals(process.freeKeys(), before);
  `));

Deno.test("H2: maps of existing memory never take the last pthread keys", () =>
  assertSurvives(`
    using source = Pmem2Source.anonymous(4096);
    using memory = new process.ForeignMemory(4096);
    const cycle = () => Pmem2Map
      .unsafeFromExisting(source, memory.address, 4096, "byte").close();
    cycle();
    const before = process.freeKeys();
    let refusal = null;
    for (let i = 0; i < 1200 && refusal === null; i++) {
      try { cycle(); } catch (error) { refusal = error; }
    }
    // libpmem2 1.12 leaks one a cycle, the later ones none.
    if (refusal === null) assertEquals(process.freeKeys(), before);
    else assert(refusal instanceof RangeError, refusal);

    // Each that is open has one, in 1.13 too.
    const size = 4096 * 1200;
    using more = new process.ForeignMemory(size);
    const maps = [];
    try {
      for (let at = 0; at < size; at += 4096) {
        const address = more.address + BigInt(at);
        maps.push(Pmem2Map.unsafeFromExisting(source, address, 4096, "byte"));
      }
      assertEquals(process.freeKeys(), before);
    } catch (error) {
      assert(error instanceof RangeError, error);
      assert(/pthread key/.test(error.message), error);
    }
    assert(process.freeKeys() >= 63, \`\${process.freeKeys()} left\`);
    assertRefused(() => new Pmem2VmReservation(100), "PMEM2_E_LENGTH_UNALIGNED");
    using map = Pmem2Map.from(source);
    map.fill(1);
    for (const map of maps) map.close();
    assert(memory.intact && more.intact);
  `));

Deno.test("H10: a persist of existing memory at page granularity returns", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 3 * 4096);
    using source = Pmem2Source.open(path);
    const { mmap, munmap } = process.native();
    const [PROT_READ_WRITE, MAP_SHARED] = [3, 1];
    const address = mmap(0n, 3n * 4096n, PROT_READ_WRITE, MAP_SHARED, source.fd, 0n);
    const map = Pmem2Map.unsafeFromExisting(source, address, 3 * 4096, "page");
    assertEquals(map.granularity, "page");
    for (const [offset, length] of [[0, 1], [0, 3 * 4096], [1, 10], [4095, 2]]) {
      map.write(new Uint8Array(length).fill(7), offset);
      map.fill(8, offset, length);
      map.move(offset, 0, length);
      map.persist(offset, length);
      map.flush(offset, length);
      map.drain();
      map.deepFlush(offset, length);
      await map.persistAsync(offset, length);
      await map.deepFlushAsync(offset, length);
    }
    map.persist();
    map.close();
    assertEquals(Deno.readFileSync(path), new Uint8Array(3 * 4096).fill(8));
    munmap(address, 3n * 4096n);
  `));

Deno.test("H14: a map that the kernel won't unmap stays open and whole", () =>
  assertSurvives(
    `
    process.stockUp();
    using memory = Pmem2Source.anonymous(4096);
    using reservation = new Pmem2VmReservation(2 ** 21);
    const maps = Array.from({ length: 9 }, () => reservation.map(memory));
    const [spare, inside] = [maps.pop(), maps[4]];
    const loose = Pmem2Map.from(memory);
    const view = inside.bytes;
    view.fill(0x5a);

    const { mmap, munmap } = process.native();
    const pages = 140_000n;
    const PRIVATE_ANONYMOUS = 0x22, FIXED = 0x10, FAILED = 2n ** 64n - 1n;
    const area = mmap(0n, pages * 4096n, 0, PRIVATE_ANONYMOUS, -1, 0n);
    let page = 1n, failed = false;
    const crowd = (end) => {
      for (; page < end; page += 2n) {
        const flags = PRIVATE_ANONYMOUS | FIXED;
        if (mmap(area + page * 4096n, 4096n, 1, flags, -1, 0n) === FAILED) break;
      }
      // What needs no split goes on for one more.
      for (let i = 0; i < 9 && !failed; i++) {
        failed = mmap(0n, 4096n, i % 2, PRIVATE_ANONYMOUS, -1, 0n) === FAILED;
      }
    };
    const attempt = (map) => {
      try { map.close(); } catch (error) { return error; }
    };
    // Once in advance: at the limit nothing can be compiled.
    crowd(9n);
    attempt(spare);
    assertRefused(() => reservation.map(memory, { at: 0 }), "PMEM2_E_MAPPING_EXISTS");

    crowd(pages);
    const refusal = attempt(inside);
    const [length, closed] = [view.length, inside.closed];
    munmap(area, pages * 4096n);

    assert(failed, "the limit was not reached");
    assert(refusal instanceof Pmem2Error, refusal);
    assertEquals([refusal.code, refusal.call], ["ENOMEM", "pmem2_map_delete"]);
    assertEquals([closed, length], [false, 4096]);
    assertEquals(view, new Uint8Array(4096).fill(0x5a));
    assertEquals([...reservation], maps);
    assertEquals(process.nativeMaps(reservation.unsafeHandle).length, maps.length);
    inside.fill(1);
    inside.close();
    assertEquals(view.length, 0);
    loose.close();
    reservation.close({ maps: true });
  `,
    [frugal],
  ));

Deno.test("H15: memory in a live reservation is not taken for somebody else's", () => {
  using source = Pmem2Source.anonymous(4096);
  const reservation = new Pmem2VmReservation(2 ** 21);
  const { address } = reservation;
  // Accessible, so that only the reservation speaks against it.
  const PROT_READ_WRITE = 3;
  native().mprotect(address, 8192n, PROT_READ_WRITE);
  const take = (from: bigint, size: number) =>
    Pmem2Map.unsafeFromExisting(source, from, size, "byte");
  for (
    const [from, size] of [
      [address, 4096],
      [address + 4096n, 4096],
      [address - 4096n, 8192],
      [address + 2n ** 21n - 4096n, 8192],
    ] as const
  ) {
    assertThrows(() => take(from, size), RangeError, "in a reservation");
  }
  using map = reservation.map(source, { at: 0 });
  map.fill(1);
  map.close();
  reservation.close();
  using memory = new ForeignMemory(8192, address);
  take(address, 8192).close();
  assert(memory.intact);
});

Deno.test("H16: nothing closed or foreign reaches C", () =>
  assertSurvives(`
    using source = Pmem2Source.anonymous(4096);
    const reservation = new Pmem2VmReservation(2 ** 21);
    const other = new Pmem2VmReservation(2 ** 21);
    const [first, second, third] = [0, 1, 2].map(() => reservation.map(source));
    const foreign = other.map(source);
    const loose = Pmem2Map.from(source);
    second.close();
    second.close();
    for (const map of [second, foreign, loose, null, {}, Object.create(first),
      new Proxy(first, {}), Object.create(Pmem2Map.prototype)]) {
      assertThrows(() => reservation.findNext(map), TypeError);
      assertThrows(() => reservation.findPrev(map), TypeError);
    }
    assertEquals(reservation.findNext(first), third);
    for (const name of ["BYTE", "", "pages", 2, 77, null]) {
      assertThrows(
        () => Pmem2Map.unsafeFromExisting(source, 2n ** 30n, 4096, name),
        TypeError,
      );
    }
    other.close({ maps: true });
    reservation.close({ maps: true });
    reservation.close();
    for (const use of [
      () => reservation.findFirst(),
      () => reservation.find(0),
      () => reservation.map(source),
      () => [...reservation],
      () => [...reservation.gaps()],
      () => reservation.extend(4096),
      () => reservation.shrink(0, 4096),
      () => first.persist(),
      () => first.fill(1),
      () => first.unsafeHandle,
    ]) assertThrows(use, TypeError, "closed");
    const closed = Pmem2Source.anonymous(4096);
    closed.close();
    assertThrows(() => Pmem2Map.from(closed), TypeError, "closed");
    assertThrows(() => closed.size, TypeError, "closed");
    loose.close();
  `));

Deno.test("H21: memory that can't be accessed is not flushed", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 4096);
    using memory = Pmem2Source.anonymous(4096);
    for (const granularity of ["byte", "cache-line", "page"]) {
      using _pmem = forceGranularity(granularity);
      for (const exec of [false, true]) {
        const none = { read: false, write: false, exec };
        for (const map of [Pmem2Map.open(path, none), Pmem2Map.from(memory, none)]) {
          for (const use of [
            () => map.persist(), () => map.flush(), () => map.deepFlush(),
            () => map.persist(0, 1), () => map.flush(64, 64),
          ]) assertThrows(use, TypeError, "neither readable nor writable");
          await assertRejects(() => map.persistAsync(), TypeError);
          await assertRejects(() => map.deepFlushAsync(), TypeError);
          assertThrows(() => map.read(new Uint8Array(1)), TypeError);
          assertThrows(() => map.fill(1), TypeError);
          assertThrows(() => map.bytes, TypeError);
          map.drain();
          map.close();
        }
      }
    }
  `));

Deno.test("a map of 4 TiB is viewed and closed", () => {
  using scratch = new Scratch();
  const path = scratch.path("sparse");
  Deno.createSync(path).close();
  Deno.truncateSync(path, 2 ** 42);
  const map = Pmem2Map.open(path);
  const { bytes } = map;
  assertEquals(bytes.length, 2 ** 42);
  assertEquals(bytes[2 ** 42 - 1], 0);
  map.close();
  assertEquals(bytes.length, 0);
});
