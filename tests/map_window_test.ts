import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ForeignMemory } from "./support/native_process.ts";
import { Scratch } from "./support/scratch.ts";

const PAGE = 65_536; // a multiple of every page size

Deno.test("Pmem2Map.sourceOffset, sharing and readable are what was asked for", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 3 * PAGE);
  using reservation = new Pmem2VmReservation(8 * PAGE);
  using source = Pmem2Source.open(path);
  using memory = Pmem2Source.anonymous(2 * PAGE);
  const private_ = { sharing: "private" } as const;
  const cases: [Pmem2Map, number, string, boolean, boolean][] = [
    [Pmem2Map.open(path), 0, "shared", true, true],
    [Pmem2Map.open(path, { offset: PAGE }), PAGE, "shared", true, true],
    [Pmem2Map.open(path, private_), 0, "private", true, true],
    [Pmem2Map.from(source, { write: false }), 0, "shared", true, false],
    [Pmem2Map.from(source, { read: false }), 0, "shared", false, true],
    [
      Pmem2Map.from(source, { ...private_, read: false, write: false }),
      0,
      "private",
      false,
      false,
    ],
    [
      reservation.map(source, { offset: 2 * PAGE, ...private_, write: false }),
      2 * PAGE,
      "private",
      true,
      false,
    ],
    [reservation.map(memory, { offset: PAGE }), PAGE, "shared", true, true],
  ];
  for (const [map, sourceOffset, sharing, readable, writable] of cases) {
    assertEquals(
      [map.sourceOffset, map.sharing, map.readable, map.writable],
      [sourceOffset, sharing, readable, writable],
    );
    map.close();
    for (const key of ["sourceOffset", "sharing", "readable"] as const) {
      assertThrows(() => map[key], TypeError, "the map is closed");
    }
  }
});

Deno.test("two windows of one file, private and read-only maps are told apart when printed", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 2 * PAGE);
  using reservation = new Pmem2VmReservation(4 * PAGE);
  const first = reservation.map(path, { length: PAGE });
  const second = reservation.map(path, { offset: PAGE });
  reservation.map(path, { length: PAGE, sharing: "private" });
  reservation.map(path, { length: PAGE, read: false, write: false });
  assert(!Deno.inspect(first).includes("from"));
  assert(Deno.inspect(second).includes("shared, from 0x10000"));
  const lines = Deno.inspect(reservation, { breakLength: 200 }).split("\n");
  assertEquals(lines.length, 6);
  const marks = lines.slice(2).map((line) =>
    line.replace(/^.*?(page|cache-line|byte) */, "")
  );
  assertEquals(marks, [
    path,
    `${path} from 0x10000`,
    `private    ${path}`,
    `no access  ${path}`,
  ]);
});

Deno.test("a map of existing memory tells what the system knows of it", () => {
  using memory = new ForeignMemory(PAGE);
  using source = Pmem2Source.anonymous(PAGE);
  using map = Pmem2Map.unsafeFromExisting(
    source,
    memory.address,
    PAGE,
    "byte",
  );
  assertEquals(
    [map.sourceOffset, map.sharing, map.readable, map.writable],
    [0, "private", true, true],
  );
});
