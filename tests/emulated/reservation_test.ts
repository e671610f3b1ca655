import { assertEquals, assertStrictEquals } from "@std/assert";
import { Pmem2Source, Pmem2VmReservation } from "../../mod.ts";
import { PAGE } from "../support/page.ts";
import { scratchFolder, testOnPersistentMemory } from "./persistent_memory.ts";

const MiB = 1024 * 1024;

/** Where devdax needs a larger alignment than a small reservation has. */
const test: typeof testOnPersistentMemory = PAGE === 4096
  ? testOnPersistentMemory
  : (name) => Deno.test.ignore(`${name} [needs pages of 4 KiB]`, () => {});

test(
  "Pmem2VmReservation walks fsdax and devdax maps side by side",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    using reservation = new Pmem2VmReservation(16 * MiB);
    const device = reservation.map(machine.devdax, {
      at: 4 * MiB,
      length: 4 * MiB,
    });
    const before = reservation.map(folder.path("before"), {
      at: 3 * MiB,
      create: true,
      size: MiB,
    });
    const after = reservation.map(folder.path("after"), {
      at: 8 * MiB,
      create: true,
      size: 2 * MiB,
    });

    const expected = [before, device, after];
    assertEquals([...reservation].length, 3);
    [...reservation].forEach((map, i) => assertStrictEquals(map, expected[i]));
    const reversed = [...reservation.maps({ reverse: true })].reverse();
    reversed.forEach((map, i) => assertStrictEquals(map, expected[i]));
    assertEquals([...reservation.gaps()], [
      { offset: 0, size: 3 * MiB },
      { offset: 10 * MiB, size: 6 * MiB },
    ]);
    assertStrictEquals(reservation.find(4 * MiB - 1), before);
    assertStrictEquals(reservation.find(8 * MiB - 1), device);
    assertStrictEquals(reservation.findNext(device), after);
    assertEquals(
      expected.map((map) => map.granularity),
      Array(3).fill(machine.granularity),
    );
    assertEquals(device.address - before.address, BigInt(before.size));
    assertEquals(after.address - device.address, BigInt(device.size));
  },
);

test(
  "Pmem2VmReservation.map() puts a devdax map into a gap by its alignment",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    using reservation = new Pmem2VmReservation(8 * MiB);
    reservation.map(folder.path("file"), { create: true, size: 4096 });
    using source = Pmem2Source.open(machine.devdax);
    const device = reservation.map(source, { length: 2 * MiB });
    assertEquals(device.offset, 2 * MiB);
    assertEquals(Number(device.address % BigInt(source.alignment)), 0);
  },
);

test(
  "Pmem2VmReservation fills the place of a closed devdax map again",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    using reservation = new Pmem2VmReservation(4 * MiB);
    for (let i = 0; i < 3; i++) {
      const device = reservation.map(machine.devdax, {
        at: 2 * MiB,
        length: 2 * MiB,
      });
      device.fill(i + 1, 0, 4096);
      device.close();
      const file = reservation.map(folder.path("file"), {
        at: 2 * MiB,
        create: true,
        size: 4096,
      });
      assertEquals(file.bytes[0], i === 0 ? 0 : 255);
      file.fill(255);
      file.close();
    }
    assertEquals([...reservation], []);
    assertEquals([...reservation.gaps()], [{ offset: 0, size: 4 * MiB }]);
  },
);
