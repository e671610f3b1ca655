import { Pmem2Error, Pmem2Map, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { mappings } from "./support/native_process.ts";
import { PAGE } from "./support/page.ts";
import { Scratch } from "./support/scratch.ts";
import { testUnless } from "./support/test_unless.ts";

const TIB = 2 ** 40;

/** How the kernel sets memory aside; 2: for all that may be stored to. */
function overcommitMode(): number {
  return parseInt(Deno.readTextFileSync("/proc/sys/vm/overcommit_memory"));
}

/** A file without blocks, larger than the memory of most. */
function hugeFile(scratch: Scratch): string {
  const path = scratch.path("huge");
  Deno.writeFileSync(path, Uint8Array.of(1, 2, 3));
  Deno.truncateSync(path, TIB + 5000);
  return path;
}

const obstacle = overcommitMode() === 2
  ? "the kernel sets memory aside for all that may be stored to"
  : null;

testUnless(
  obstacle,
  "a private map may be larger than the memory",
  () => {
    using scratch = new Scratch();
    const path = hugeFile(scratch);
    const before = mappings().length;
    {
      using map = Pmem2Map.open(path, { sharing: "private" });
      assertEquals(map.size, TIB + 5000);
      assertEquals(
        [map.sharing, map.readable, map.writable, map.granularity],
        ["private", true, true, "byte"],
      );
      const bytes = new Uint8Array(3);
      map.read(bytes);
      assertEquals([...bytes], [1, 2, 3]);
      map.write(Uint8Array.of(7, 8), map.size - 2);
      map.bytes[TIB / 2] = 9;
      map.persist();
      map.read(bytes.subarray(0, 2), map.size - 2);
      assertEquals([...bytes], [7, 8, 3]);
      map.move(0, TIB / 2, 1);
      assertEquals(map.bytes[0], 9);
      // The file doesn't see it.
      using file = Pmem2Map.open(path, { write: false });
      file.read(bytes);
      assertEquals([...bytes], [1, 2, 3]);
      file.read(bytes.subarray(0, 2), map.size - 2);
      assertEquals([...bytes], [0, 0, 3]);
    }
    assert(mappings().length < before + 20);
    assertEquals(Deno.statSync(path).size, TIB + 5000);
  },
);

testUnless(
  obstacle,
  "a private map larger than the memory lies in a reservation, too, and is closed there",
  () => {
    using scratch = new Scratch();
    const path = hugeFile(scratch);
    using reservation = new Pmem2VmReservation(2 * TIB);
    for (let round = 0; round < 3; round++) {
      const small = scratch.file("small", PAGE);
      const first = reservation.map(small);
      const map = reservation.map(path, {
        sharing: "private",
        offset: PAGE,
        length: TIB,
      });
      assertEquals([map.offset, map.sourceOffset], [PAGE, PAGE]);
      const view = reservation.view(PAGE - 1, 2);
      view[1] = 5;
      assertEquals(map.bytes[0], 5);
      assertEquals(reservation.findLast(), map);
      assertThrows(
        () => reservation.map(small, { at: TIB }),
        Pmem2Error,
        "PMEM2_E_MAPPING_EXISTS",
      );
      map.close();
      assertEquals(view.length, 0);
      assertEquals(reservation.findLast(), first);
      first.close();
      assertEquals([...reservation.gaps()], [{ offset: 0, size: 2 * TIB }]);
    }
  },
);

testUnless(
  obstacle,
  "a private map larger than the memory has the protection that was asked for",
  () => {
    using scratch = new Scratch();
    const path = hugeFile(scratch);
    const flags = (options: object) => {
      using map = Pmem2Map.open(path, { sharing: "private", ...options });
      return mappings().find(({ from }) => from === map.address)?.flags;
    };
    assertEquals(flags({}), "rw-p");
    assertEquals(flags({ write: false }), "r--p");
    assertEquals(flags({ read: false }), "-w-p");
  },
);

Deno.test("what is refused for another reason is refused still", () => {
  using reservation = new Pmem2VmReservation(16 * PAGE);
  using scratch = new Scratch();
  const path = scratch.file("file", 2 * PAGE);
  for (const offset of [1, PAGE + 1]) {
    const error = assertThrows(
      () => reservation.map(path, { sharing: "private", offset }),
      Pmem2Error,
    );
    assertEquals(error.code, "PMEM2_E_OFFSET_UNALIGNED");
  }
  assertEquals([...reservation], []);
});
