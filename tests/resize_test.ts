import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { ForeignCode } from "./support/foreign_code.ts";
import { assertRefused } from "./support/refusal.ts";
import { PAGE } from "./support/page.ts";

const MIB = 2 ** 20;

/** Where nothing else is, most likely; far from what the system chooses. */
const FAR = 0x1400_0000_0000n;

Deno.test("Pmem2VmReservation.extend() makes it longer in place", () => {
  using source = Pmem2Source.anonymous(PAGE);
  const address = FAR + 2n ** 40n;
  using reservation = new Pmem2VmReservation(PAGE, { address });
  const first = reservation.map(source);
  reservation.extend(2 * PAGE);
  assertEquals(reservation.size, 3 * PAGE);
  assertEquals(reservation.address, address);
  const last = reservation.map(source, { at: 2 * PAGE });
  last.bytes[PAGE - 1] = 1;
  assertEquals([...reservation], [first, last]);
  assertEquals([...reservation.gaps()], [{ offset: PAGE, size: PAGE }]);
  reservation.extend(8 * MIB);
  assertEquals(reservation.size, 8 * MIB + 3 * PAGE);
  using far = Pmem2Source.anonymous(4 * MIB);
  reservation.map(far, { at: 4 * MIB + 3 * PAGE }).bytes[4 * MIB - 1] = 1;
});

Deno.test("Pmem2VmReservation.extend() refuses where something else is", () => {
  using foreign = new ForeignCode();
  using reservation = new Pmem2VmReservation(PAGE, { address: FAR });
  // Behind what a reservation of a page takes of the address space.
  const behind = reservation.address + BigInt(4 * MIB);
  assert(foreign.take(behind, PAGE));
  assertRefused(
    () => reservation.extend(8 * MIB),
    "PMEM2_E_MAPPING_EXISTS",
    "pmem2_vm_reservation_extend",
  );
  assertEquals(reservation.size, PAGE);
  foreign.release(behind, PAGE);
  reservation.extend(8 * MIB);
  assertEquals(reservation.size, 8 * MIB + PAGE);
});

Deno.test("Pmem2VmReservation.extend() refuses what libpmem2 would get wrong", () => {
  using reservation = new Pmem2VmReservation(PAGE);
  const most = 2 ** 47 - PAGE;
  for (const size of [-1, -PAGE, 0.5, NaN, most + 1, 2 ** 53, 2 ** 64 - PAGE]) {
    assertThrows(
      () => reservation.extend(size),
      RangeError,
      `Cannot extend the reservation as size must be an integer from 0 to ${most}`,
    );
  }
  assertRefused(() => reservation.extend(100), "PMEM2_E_LENGTH_UNALIGNED");
  assertEquals(reservation.size, PAGE);
});

Deno.test("Pmem2VmReservation.shrink() gives back the end", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(4 * PAGE);
  const { address } = reservation;
  const map = reservation.map(source, { at: PAGE });
  reservation.shrink(2 * PAGE, 2 * PAGE);
  assertEquals([reservation.address, reservation.size], [address, 2 * PAGE]);
  assertEquals([...reservation], [map]);
  assertThrows(
    () => reservation.map(source, { at: 2 * PAGE }),
    RangeError,
  );
});

Deno.test("Pmem2VmReservation.shrink() of the head shifts all offsets", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(6 * PAGE);
  const { address } = reservation;
  const first = reservation.map(source, { at: 2 * PAGE });
  const second = reservation.map(source, { at: 5 * PAGE });
  first.bytes[0] = 11;
  reservation.shrink(0, 2 * PAGE);
  assertEquals(reservation.address, address + BigInt(2 * PAGE));
  assertEquals(reservation.size, 4 * PAGE);
  assertEquals([first.offset, second.offset], [0, 3 * PAGE]);
  assertEquals(first.address, address + BigInt(2 * PAGE));
  assertEquals(first.bytes[0], 11);
  assertStrictEquals(reservation.find(0), first);
  assertStrictEquals(reservation.find(3 * PAGE), second);
  assertEquals(reservation.find(2 * PAGE), null);
  assertEquals([...reservation.gaps()], [{ offset: PAGE, size: 2 * PAGE }]);
  const third = reservation.map(source);
  assertEquals(third.offset, PAGE);
  assertStrictEquals(reservation.findNext(first), third);
});

Deno.test("Pmem2VmReservation.shrink() refuses the middle, the whole, the taken", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(4 * PAGE);
  reservation.map(source, { at: 0 });
  const call = "pmem2_vm_reservation_shrink";
  for (
    const [offset, size, code] of [
      [PAGE, PAGE, "PMEM2_E_NOSUPP"],
      [0, 4 * PAGE, "PMEM2_E_NOSUPP"],
      [0, PAGE, "PMEM2_E_VM_RESERVATION_NOT_EMPTY"],
      [100, PAGE, "PMEM2_E_OFFSET_UNALIGNED"],
      [3 * PAGE, 100, "PMEM2_E_LENGTH_UNALIGNED"],
      [3 * PAGE, 0, "PMEM2_E_LENGTH_OUT_OF_RANGE"],
    ] as const
  ) {
    assertRefused(() => reservation.shrink(offset, size), code, call);
  }
  for (
    const [offset, size] of [
      [5 * PAGE, 0],
      [0, 5 * PAGE],
      [3 * PAGE, 2 * PAGE],
      [-PAGE, PAGE],
      [PAGE, NaN],
    ] as const
  ) {
    assertThrows(
      () => reservation.shrink(offset, size),
      RangeError,
      "Cannot shrink the reservation as ",
    );
  }
  assertEquals(reservation.size, 4 * PAGE);
});
