import { type Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { ForeignCode } from "./support/foreign_code.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

const MIB = 2 ** 20;

/** Where nothing else is, most likely; far from what the system chooses. */
const FAR = 0x2000_0000_0000n;

Deno.test("Pmem2VmReservation has a size and an aligned address", () => {
  for (const size of [PAGE, 3 * PAGE, 2 * MIB, 2 ** 31, 2 ** 40]) {
    using reservation = new Pmem2VmReservation(size);
    assertEquals(reservation.size, size);
    const alignment = size < 2 ** 31 ? 2 * MIB : 2 ** 30;
    assertEquals(reservation.address % BigInt(alignment), 0n);
    assert(reservation.unsafeHandle > 0n);
    assertEquals(reservation.closed, false);
    assertEquals([...reservation], []);
  }
});

Deno.test("Pmem2VmReservation takes an address", () => {
  {
    using reservation = new Pmem2VmReservation(PAGE, { address: FAR });
    assertEquals(reservation.address, FAR);
    assertRefused(
      () => new Pmem2VmReservation(PAGE, { address: FAR }),
      "PMEM2_E_MAPPING_EXISTS",
      "pmem2_vm_reservation_new",
    );
  }
  using again = new Pmem2VmReservation(2 ** 31, { address: FAR });
  assertEquals(again.address, FAR);
});

Deno.test("Pmem2VmReservation refuses an address that is out of the question", () => {
  for (
    const [size, address] of [
      [PAGE, FAR + BigInt(PAGE)],
      [PAGE, FAR + BigInt(MIB)],
      [2 ** 31, FAR + 2n ** 29n],
      [PAGE, 0n],
      [PAGE, -2n * BigInt(MIB)],
      [PAGE, Deno.build.arch === "aarch64" ? 2n ** 52n : 2n ** 47n],
      [PAGE, 2n ** 64n + FAR],
    ] as const
  ) {
    assertThrows(
      () => new Pmem2VmReservation(size, { address }),
      RangeError,
      "Cannot make a reservation as address must be",
    );
  }
});

Deno.test("Pmem2VmReservation refuses a size that libpmem2 would accept", () => {
  for (const size of [0, -1, -PAGE, 0.5, NaN, Infinity, 2 ** 47 + 1, 2 ** 64]) {
    assertThrows(
      () => new Pmem2VmReservation(size),
      RangeError,
      "Cannot make a reservation as size must be an integer from 1 to 140737488355328",
    );
  }
  assertRefused(
    () => new Pmem2VmReservation(PAGE + 1),
    "PMEM2_E_LENGTH_UNALIGNED",
  );
  assertRefused(() => new Pmem2VmReservation(2 ** 47), "ENOMEM");
});

Deno.test("Pmem2VmReservation.map() maps sources and paths", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  using reservation = new Pmem2VmReservation(MIB);
  using source = Pmem2Source.open(path);
  const first = reservation.map(source, { at: 8 * PAGE });
  const second = reservation.map(path, { at: 0 });
  const third = reservation.map(new URL(`file://${path}`), { at: 16 * PAGE });
  for (const map of [first, second, third]) {
    assertStrictEquals(map.reservation, reservation);
    assertEquals(map.path, path);
    assertEquals(map.size, 5000);
    assertEquals(map.address, reservation.address + BigInt(map.offset));
    assertEquals(map.bytes[4000], 4000 % 251);
  }
  assertEquals([...reservation], [second, first, third]);
});

Deno.test("Pmem2VmReservation.map() creates and grows files", () => {
  using scratch = new Scratch();
  const path = scratch.path("a");
  using reservation = new Pmem2VmReservation(MIB);
  const map = reservation.map(path, { createNew: true, size: 2 * PAGE });
  assertEquals(map.size, 2 * PAGE);
  map.bytes[0] = 1;
  assertEquals(reservation.map(path, { size: 3 * PAGE }).size, 3 * PAGE);
  assertThrows(
    () => reservation.map(path, { createNew: true }),
    Deno.errors.AlreadyExists,
  );
  assertThrows(
    () => reservation.map(scratch.path("none")),
    Deno.errors.NotFound,
  );
});

Deno.test("Pmem2VmReservation.map() checks the place before it touches a file", () => {
  using scratch = new Scratch();
  using reservation = new Pmem2VmReservation(4 * PAGE);
  const path = scratch.path("a");
  for (const at of [4 * PAGE, 2 ** 40, 2 ** 53 - 1]) {
    assertThrows(
      () => reservation.map(path, { create: true, size: PAGE, at }),
      RangeError,
      `as at must be less than ${
        4 * PAGE
      }, the reservation's size: received ${at}`,
    );
  }
  assertThrows(
    () => reservation.map(path, { create: true, at: 0, length: 5 * PAGE }),
    RangeError,
  );
  reservation.close();
  assertThrows(
    () => reservation.map(path, { create: true, size: PAGE }),
    TypeError,
    "Cannot map into the reservation as the reservation is closed",
  );
  assertThrows(() => Deno.statSync(path), Deno.errors.NotFound);
});

Deno.test("Pmem2VmReservation.map() refuses what reaches past the end", () => {
  using source = Pmem2Source.anonymous(2 * PAGE);
  using reservation = new Pmem2VmReservation(4 * PAGE);
  for (const length of [undefined, 2 * PAGE]) {
    assertThrows(
      () => reservation.map(source, { at: 3 * PAGE, length }),
      RangeError,
      `at + length, in whole pages, must be at most ${
        4 * PAGE
      }, the reservation's size: received ${3 * PAGE} + ${2 * PAGE}`,
    );
  }
  using odd = Pmem2Source.anonymous(PAGE + 1);
  assertThrows(() => reservation.map(odd, { at: 3 * PAGE }), RangeError);
  assertEquals(reservation.map(odd, { at: 2 * PAGE }).size, PAGE + 1);
  using huge = Pmem2Source.anonymous(2 ** 47);
  assertThrows(() => reservation.map(huge, { at: 0 }), RangeError);
  assertEquals([...reservation].length, 1);
});

Deno.test("Pmem2VmReservation.map() refuses a place that is taken or unaligned", () => {
  using source = Pmem2Source.anonymous(2 * PAGE);
  using reservation = new Pmem2VmReservation(6 * PAGE);
  const map = reservation.map(source, { at: 2 * PAGE });
  for (const at of [PAGE, 2 * PAGE, 3 * PAGE]) {
    assertRefused(
      () => reservation.map(source, { at }),
      "PMEM2_E_MAPPING_EXISTS",
      "pmem2_map_new",
    );
  }
  assertRefused(
    () => reservation.map(source, { at: 100 }),
    "PMEM2_E_OFFSET_UNALIGNED",
  );
  assertEquals([...reservation], [map]);
});

Deno.test("Pmem2VmReservation.close() refuses while there are maps", () => {
  using source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(2 * PAGE);
  const map = reservation.map(source);
  for (const options of [undefined, {}, { maps: false }, { maps: undefined }]) {
    assertRefused(
      () => reservation.close(options),
      "PMEM2_E_VM_RESERVATION_NOT_EMPTY",
      "pmem2_vm_reservation_delete",
    );
  }
  assertEquals([map.closed, reservation.closed], [false, false]);
  map.bytes[0] = 1;
  map.close();
  reservation.close();
  assertEquals(reservation.closed, true);
});

Deno.test("Pmem2VmReservation.close() closes its maps where asked, once", () => {
  using source = Pmem2Source.anonymous(PAGE);
  const reservation = new Pmem2VmReservation(4 * PAGE);
  const maps = [0, 1, 2].map(() => reservation.map(source));
  reservation.close({ maps: true });
  assertEquals(maps.map((map) => map.closed), [true, true, true]);
  using other = new Pmem2VmReservation(PAGE);
  reservation.close();
  reservation.close({ maps: true });
  reservation[Symbol.dispose]();
  assertEquals(other.closed, false);
});

Deno.test("Pmem2VmReservation and its maps are closed at a using's end", () => {
  using source = Pmem2Source.anonymous(PAGE);
  let escaped: [Pmem2VmReservation, Pmem2Map];
  {
    using reservation = new Pmem2VmReservation(2 * PAGE);
    escaped = [reservation, reservation.map(source)];
  }
  assertEquals(escaped.map(({ closed }) => closed), [true, true]);
});

Deno.test("Pmem2VmReservation.close() gives its addresses back", () => {
  using source = Pmem2Source.anonymous(PAGE);
  const address = FAR * 2n;
  // Each makes libpmem2 forget another part of what it has taken.
  const changes: ((reservation: Pmem2VmReservation) => void)[] = [
    () => {},
    (reservation) => reservation.extend(8 * MIB),
    (reservation) => reservation.shrink(0, reservation.size - PAGE),
    (reservation) => reservation.shrink(PAGE, reservation.size - PAGE),
    (reservation) => {
      reservation.extend(8 * MIB);
      reservation.shrink(0, reservation.size - 3 * MIB);
    },
    (reservation) => {
      reservation.shrink(0, PAGE);
      reservation.extend(8 * MIB);
      reservation.shrink(reservation.size - MIB, MIB);
    },
  ];
  for (const size of [2 * PAGE, 3 * MIB, 4 * MIB, 2 ** 31]) {
    for (const [i, change] of changes.entries()) {
      {
        using reservation = new Pmem2VmReservation(size, { address });
        reservation.map(source).close();
        change(reservation);
        reservation.map(source);
      }
      using foreign = new ForeignCode();
      const all = size + 2 ** 31;
      assert(foreign.take(address, all), `${size}, ${i}`);
      foreign.release(address, all);
    }
  }
});
