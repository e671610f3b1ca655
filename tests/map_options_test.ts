import {
  type Granularity,
  type MapOptions,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { numberOf } from "../ffi/c/error_code.ts";
import { remedyOf } from "../ffi/native/remedy.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { mappingAt } from "./support/native_process.ts";
import { PAGE } from "./support/page.ts";

/** The three ways to map with options. */
function* ways(
  path: string,
): Generator<[string, (options?: MapOptions) => Pmem2Map]> {
  using source = Pmem2Source.open(path);
  using reservation = new Pmem2VmReservation(2 ** 20);
  yield ["Pmem2Map.open()", (options) => Pmem2Map.open(path, options)];
  yield ["Pmem2Map.from()", (options) => Pmem2Map.from(source, options)];
  yield ["map(source)", (options) => reservation.map(source, options)];
  yield ["map(path)", (options) => reservation.map(path, options)];
}

/** The protection of the mapping at an address, like "rw-s". */
function protection(address: bigint): string {
  return mappingAt(address)?.flags ?? "none";
}

function byteAt(map: Pmem2Map, offset: number): number {
  const bytes = new Uint8Array(1);
  map.read(bytes, offset);
  return bytes[0]!;
}

Deno.test("without options all of a file is mapped, shared and writable", () => {
  using scratch = new Scratch();
  for (const [way, map] of ways(scratch.file("a", 3 * PAGE + 5))) {
    for (const options of [undefined, {}, null as unknown as MapOptions]) {
      using mapped = map(options);
      assertEquals(mapped.size, 3 * PAGE + 5, way);
      assertEquals(mapped.writable, true, way);
      assertEquals(protection(mapped.address), "rw-s", way);
      assertEquals(byteAt(mapped, 3 * PAGE + 4), (3 * PAGE + 4) % 251, way);
    }
  }
});

Deno.test("undefined options are the defaults", () => {
  using scratch = new Scratch();
  for (const [way, map] of ways(scratch.file("a", PAGE))) {
    using mapped = map({
      offset: undefined,
      length: undefined,
      granularity: undefined,
      sharing: undefined,
      read: undefined,
      write: undefined,
      exec: undefined,
    });
    assertEquals(mapped.size, PAGE, way);
    assertEquals(protection(mapped.address), "rw-s", way);
  }
});

Deno.test("offset and length map a part", () => {
  using scratch = new Scratch();
  for (const [way, map] of ways(scratch.file("a", 4 * PAGE + 100))) {
    {
      using mapped = map({ offset: PAGE });
      assertEquals(mapped.size, 3 * PAGE + 100, way);
      assertEquals(byteAt(mapped, 3), (PAGE + 3) % 251, way);
    }
    {
      using mapped = map({ offset: PAGE, length: 2 * PAGE });
      assertEquals(mapped.size, 2 * PAGE, way);
      assertEquals(byteAt(mapped, PAGE), (2 * PAGE) % 251, way);
    }
    {
      using mapped = map({ length: PAGE });
      assertEquals(mapped.size, PAGE, way);
      assertEquals(byteAt(mapped, 0), 0, way);
    }
    {
      using mapped = map({ offset: 4 * PAGE });
      assertEquals(mapped.size, 100, way);
    }
  }
});

Deno.test("offset and length past the end of the source are refused", () => {
  using scratch = new Scratch();
  for (const [way, map] of ways(scratch.file("a", 4 * PAGE))) {
    for (const offset of [4 * PAGE, 5 * PAGE, 2 ** 40, 2 ** 53 - 1]) {
      for (const length of [undefined, PAGE]) {
        assertThrows(
          () => map({ offset, length }),
          RangeError,
          `as offset must be less than 16384, the source's size: received ${offset}`,
          way,
        );
      }
    }
    for (
      const [offset, length] of [
        [0, 5 * PAGE],
        [3 * PAGE, 2 * PAGE],
        [0, 2 ** 53 - 1],
        [3 * PAGE, PAGE + 1],
      ] as const
    ) {
      assertThrows(
        () => map({ offset, length }),
        RangeError,
        `as offset + length must be at most 16384, the source's size: received ${offset} + ${length}`,
        way,
      );
    }
    assertThrows(
      () => map({ length: 0 }),
      RangeError,
      "length must be a safe integer from 1: received 0",
      way,
    );
  }
});

Deno.test("an unaligned offset or length is libpmem2's to judge", () => {
  using scratch = new Scratch();
  for (const [, map] of ways(scratch.file("a", 4 * PAGE))) {
    assertRefused(
      () => map({ offset: 100 }),
      "PMEM2_E_OFFSET_UNALIGNED",
      "pmem2_map_new",
    );
    assertRefused(
      () => map({ length: 5000 }),
      "PMEM2_E_LENGTH_UNALIGNED",
      "pmem2_map_new",
    );
    assertRefused(
      () => map({ offset: PAGE, length: 1 }),
      "PMEM2_E_LENGTH_UNALIGNED",
      "pmem2_map_new",
    );
  }
});

Deno.test("offset and length of an anonymous source", () => {
  using source = Pmem2Source.anonymous(4 * PAGE);
  using rest = Pmem2Map.from(source, { offset: PAGE });
  assertEquals(rest.size, 3 * PAGE);
  using part = Pmem2Map.from(source, { offset: PAGE, length: PAGE });
  assertEquals(part.size, PAGE);
  assertThrows(() => Pmem2Map.from(source, { offset: 4 * PAGE }), RangeError);
  assertThrows(() => Pmem2Map.from(source, { length: 5 * PAGE }), RangeError);
  using odd = Pmem2Source.anonymous(5000);
  using whole = Pmem2Map.from(odd);
  assertEquals(whole.size, 5000);
});

Deno.test("an empty file is refused", () => {
  using scratch = new Scratch();
  for (const [, map] of ways(scratch.file("a", 0))) {
    const { message } = assertRefused(
      () => map(),
      "PMEM2_E_SOURCE_EMPTY",
      "pmem2_map_new",
    );
    assertMatch(message, /; open it with size\b/);
    assertThrows(() => map({ length: PAGE }), RangeError);
    assertThrows(() => map({ offset: PAGE }), RangeError);
  }
});

Deno.test("a store to a shared map reaches the file", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  for (const [way, map] of ways(path)) {
    using mapped = map({ sharing: "shared" });
    mapped.write(new Uint8Array([200]), 4321);
    assertEquals(Deno.readFileSync(path)[4321], 200, way);
    mapped.write(new Uint8Array([4321 % 251]), 4321);
  }
});

Deno.test("a store to a private map stays with the map", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  for (const [way, map] of ways(path)) {
    using mapped = map({ sharing: "private" });
    assertEquals(protection(mapped.address), "rw-p", way);
    assertEquals(mapped.granularity, "byte", way);
    mapped.write(new Uint8Array([200]), 4321);
    assertEquals(byteAt(mapped, 4321), 200, way);
    assertEquals(Deno.readFileSync(path)[4321], 4321 % 251, way);
  }
});

Deno.test("a private map needs no file that is open for writing", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("a", PAGE), { write: false });
  using map = Pmem2Map.from(source, { sharing: "private" });
  map.bytes[0] = 9;
  assertEquals(map.writable, true);
});

Deno.test("read, write and exec are the memory's protection", () => {
  using scratch = new Scratch();
  for (const [way, map] of ways(scratch.file("a", PAGE))) {
    for (const read of [true, false]) {
      for (const write of [true, false]) {
        using mapped = map({ read, write });
        const flags = `${read ? "r" : "-"}${write ? "w" : "-"}-s`;
        assertEquals(protection(mapped.address), flags, way);
        assertEquals(mapped.writable, write, way);
      }
    }
  }
  // A file's medium may forbid it.
  using source = Pmem2Source.anonymous(PAGE);
  using map = Pmem2Map.from(source, { exec: true, write: false });
  assertEquals(protection(map.address), "r-xs");
});

Deno.test("granularity is what the caller accepts at most", () => {
  const order: Granularity[] = ["byte", "cache-line", "page"];
  for (const medium of order) {
    using pmem = emulatePmem(medium);
    const path = pmem.path("a");
    Deno.writeFileSync(path, new Uint8Array(PAGE));
    for (const [way, map] of ways(path)) {
      for (const granularity of order) {
        if (order.indexOf(medium) <= order.indexOf(granularity)) {
          using mapped = map({ granularity });
          assertEquals(mapped.granularity, medium, way);
        } else {
          assertRefused(
            () => map({ granularity }),
            "PMEM2_E_GRANULARITY_NOT_SUPPORTED",
            "pmem2_map_new",
          );
        }
      }
    }
  }
});

Deno.test("every granularity can be forced on the whole process", async () => {
  using scratch = new Scratch();
  const path = scratch.file("a", PAGE);
  for (
    const [force, granularity] of [
      ["BYTE", "byte"],
      ["CACHE_LINE", "cache-line"],
      ["PAGE", "page"],
    ] as const
  ) {
    const ended = await run(
      `
      import { Pmem2Map } from "@pmem2/pmem2";
      using map = Pmem2Map.open(Deno.args[0]!);
      map.write(new TextEncoder().encode("${force}"));
      map.bytes[10] = 65;
      map.persist(10, 1);
      map.flush();
      map.drain();
      map.deepFlush();
      await map.persistAsync();
      console.log(map.granularity);
      `,
      { args: [path], env: { PMEM2_FORCE_GRANULARITY: force } },
    );
    assertEquals(ended, {
      code: 0,
      signal: null,
      stdout: `${granularity}\n`,
      stderr: "",
    });
    const text = Deno.readTextFileSync(path);
    assert(text.startsWith(force));
    assertEquals(text[10], "A");
  }
});

Deno.test("a refusal says what the caller can do about it", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("a", PAGE), { write: false });
  const { message } = assertRefused(
    () => Pmem2Map.from(source),
    "PMEM2_E_NO_ACCESS",
    "pmem2_map_new",
  );
  assertMatch(
    message,
    /; its file is open for reading only: pass write: false, or sharing: "private"$/,
  );
  using read = Pmem2Map.from(source, { write: false });
  using copy = Pmem2Map.from(source, { sharing: "private" });
  assertEquals([read.size, copy.size], [PAGE, PAGE]);
});

Deno.test("remedyOf() depends on what was mapped, and how", () => {
  const file = { anonymous: false, path: "/a" };
  const anonymous = { anonymous: true, path: null };
  const shared = { shared: true, write: true, exec: false };
  for (
    const [code, source, settings, remedy] of [
      ["PMEM2_E_NO_ACCESS", file, shared, /write: false/],
      ["PMEM2_E_NO_ACCESS", file, { ...shared, write: false }, /^$/],
      ["PMEM2_E_SOURCE_EMPTY", file, shared, /open it with size/],
      ["PMEM2_E_GRANULARITY_NOT_SUPPORTED", file, shared, /"page"/],
      ["ENOMEM", file, shared, /^$/],
      ["ENOMEM", file, { ...shared, shared: false }, /map less, with offset/],
      ["ENOMEM", anonymous, shared, /ask for less/],
      ["EPERM", file, shared, /^$/],
      ["EPERM", file, { ...shared, exec: true }, /noexec/],
      ["ENODEV", file, shared, /does not support mapping it/],
      ["PMEM2_E_MAPPING_EXISTS", file, shared, /^$/],
    ] as const
  ) {
    assertMatch(remedyOf(numberOf(code), source, settings), remedy, code);
  }
});
