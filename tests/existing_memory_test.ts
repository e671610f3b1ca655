import {
  type Granularity,
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { dirtyBytes, dirtyPagesObstacle } from "./support/dirty_pages.ts";
import {
  ForeignMemory,
  freeAddress,
  native,
} from "./support/native_process.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { granularities } from "./support/store_checks.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

const PROT_NONE = 0;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

using probe = Pmem2Source.anonymous(1);
const page = probe.alignment;

/** Maps whole pages of a file as other native code would. */
class MappedFile implements Disposable {
  readonly address: bigint;
  readonly size: number;

  constructor(source: Pmem2Source, protection: number = PROT_READ_WRITE) {
    this.size = source.size;
    this.address = native().mmap(
      0n,
      BigInt(this.size),
      protection,
      MAP_SHARED,
      source.fd!,
      0n,
    );
    assert(this.address < 2n ** 63n, "mmap failed");
  }

  /** What the memory holds, not asking the module. */
  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    native().memmove(bytes, this.address, BigInt(this.size));
    return bytes;
  }

  [Symbol.dispose](): void {
    native().munmap(this.address, BigInt(this.size));
  }
}

Deno.test("Pmem2Map.unsafeFromExisting() gives a map of the memory itself, with the granularity told", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 4 * page);
  using source = Pmem2Source.open(path);
  using memory = new MappedFile(source);
  for (const granularity of granularities) {
    using map = Pmem2Map.unsafeFromExisting(
      source,
      memory.address,
      memory.size,
      granularity,
    );
    assertEquals(map.address, memory.address);
    assertEquals(map.size, memory.size);
    assertEquals(map.granularity, granularity);
    assertEquals(map.writable, true);
    assertEquals(map.path, path);
    assertEquals([map.reservation, map.offset], [null, 0]);

    map.write(Uint8Array.of(1, 2, 3), 5);
    map.move(page, 5, 3);
    map.fill(9, 2 * page - 1, 2);
    map.bytes[4 * page - 1] = 77;
    map.persist();
    const { bytes } = memory;
    assertEquals(
      [...bytes.subarray(4, 9)],
      [4, 1, 2, 3, 8],
    );
    assertEquals([...bytes.subarray(page, page + 3)], [1, 2, 3]);
    assertEquals([...bytes.subarray(2 * page - 1, 2 * page + 1)], [9, 9]);
    assertEquals(bytes[4 * page - 1], 77);
    assertEquals(Deno.readFileSync(path), bytes);
    const back = new Uint8Array(3);
    map.read(back, page);
    assertEquals([...back], [1, 2, 3]);
  }
});

testUnless(
  dirtyPagesObstacle(),
  "a map of existing memory writes out its pages, from its first byte on",
  async () => {
    using scratch = new Scratch();
    using source = Pmem2Source.open(scratch.path("file"), {
      createNew: true,
      size: 4 * page,
    });
    using memory = new MappedFile(source);
    using map = Pmem2Map.unsafeFromExisting(
      source,
      memory.address,
      memory.size,
      "page",
    );
    const dirty = () => dirtyBytes(memory.address) / page;
    const ways: [string, (offset: number, length: number) => unknown][] = [
      ["persist", (offset, length) => map.persist(offset, length)],
      ["flush", (offset, length) => map.flush(offset, length)],
      ["deepFlush", (offset, length) => map.deepFlush(offset, length)],
      ["persistAsync", (offset, length) => map.persistAsync(offset, length)],
      [
        "deepFlushAsync",
        (offset, length) => map.deepFlushAsync(offset, length),
      ],
      [
        "write",
        (offset, length) => map.write(new Uint8Array(length).fill(2), offset),
      ],
      ["move", (offset, length) => map.move(offset, 0, length)],
      [
        "fill",
        (offset, length) => map.fill(3, offset, length, { temporal: false }),
      ],
    ];
    for (const [name, act] of ways) {
      map.fill(1, 0, map.size, { flush: false });
      assertEquals(dirty(), 4, name);
      await act(0, 1);
      assertEquals(dirty(), 3, `${name} of the first byte`);
      await act(2 * page - 1, 2);
      assertEquals(dirty(), 1, `${name} of two pages by a byte each`);
      await act(0, map.size);
      assertEquals(dirty(), 0, `${name} of everything`);
      map.drain();
    }
    map.write(Uint8Array.of(1), 0, { flush: false });
    assertEquals(dirty(), 1, "told not to flush");
  },
);

Deno.test("Pmem2Map.persist() of existing memory at page granularity returns", async () => {
  const { code, signal, stdout, stderr } = await run(
    `
    import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
    import { ForeignMemory } from "./tests/support/native_process.ts";
    using source = Pmem2Source.anonymous(65536);
    using memory = new ForeignMemory(65536);
    using map = Pmem2Map.unsafeFromExisting(
      source, memory.address, memory.size, "page");
    map.persist();
    map.persist(0, 1);
    map.flush();
    map.drain();
    map.deepFlush(0, 1);
    map.write(Uint8Array.of(1));
    map.write(Uint8Array.of(1), 0, { temporal: true, writeCombining: true });
    map.move(0, 1, 1, { temporal: false });
    map.fill(1, 0, 1, { drain: false, writeCombining: false });
    await map.persistAsync();
    await map.deepFlushAsync(0, 1);
    console.log("returned");
    `,
    { deadline: 300_000 },
  );
  assertEquals([code, signal, stdout, stderr], [0, null, "returned\n", ""]);
});

Deno.test("Pmem2Map.close() leaves existing memory mapped, and detaches its views", () => {
  using memory = new ForeignMemory(2 * page);
  using source = Pmem2Source.anonymous(2 * page);
  const take = () =>
    Pmem2Map.unsafeFromExisting(source, memory.address, memory.size, "byte");
  const map = take();
  const { bytes } = map;
  assertEquals(bytes.length, 2 * page);
  map.close();
  assertEquals([map.closed, bytes.length], [true, 0]);
  assert(memory.intact);
  // The same memory once more, and at another size.
  take().close();
  Pmem2Map.unsafeFromExisting(source, memory.address, page, "byte").close();
  assert(memory.intact);
  map.close();
});

Deno.test("a map of existing memory outlives its source", () => {
  using memory = new ForeignMemory(page);
  const source = Pmem2Source.anonymous(page);
  using map = Pmem2Map.unsafeFromExisting(
    source,
    memory.address,
    page,
    "cache-line",
  );
  source.close();
  map.fill(1);
  map.persist();
  assertEquals(map.bytes[page - 1], 1);
});

Deno.test("Pmem2Map.unsafeFromExisting() refuses what overlaps a map", () => {
  using memory = new ForeignMemory(4 * page);
  using source = Pmem2Source.anonymous(4 * page);
  const take = (at: number, pages: number) =>
    Pmem2Map.unsafeFromExisting(
      source,
      memory.address + BigInt(at * page),
      pages * page,
      "byte",
    );
  using _map = take(1, 2);
  for (const [at, pages] of [[1, 2], [1, 1], [2, 1], [0, 2], [2, 2], [0, 4]]) {
    assertRefused(
      () => take(at!, pages!),
      "PMEM2_E_MAP_EXISTS",
      "pmem2_map_from_existing",
    );
  }
  using _before = take(0, 1);
  using _behind = take(3, 1);
  // What the module itself mapped counts too.
  using own = Pmem2Map.from(source);
  assertRefused(
    () => Pmem2Map.unsafeFromExisting(source, own.address, page, "byte"),
    "PMEM2_E_MAP_EXISTS",
  );
  own.fill(1);
  assertEquals(own.bytes[0], 1);
});

Deno.test("Pmem2Map.unsafeFromExisting() refuses what is in a reservation", () => {
  using source = Pmem2Source.anonymous(page);
  const size = 2 ** 21;
  const reservation = new Pmem2VmReservation(size);
  const { address } = reservation;
  const last = address + BigInt(size - page);
  const take = (from: bigint, length: number) =>
    Pmem2Map.unsafeFromExisting(source, from, length, "byte");
  using map = reservation.map(source, { at: 0 });
  for (
    const [from, length] of [
      [address, page],
      [address, size],
      [address + BigInt(page), page],
      [address - BigInt(page), page + 1],
      [last, page],
      [last, 2 * page],
      [address - BigInt(page), size + 2 * page],
    ] as const
  ) {
    assertThrows(
      () => take(from, length),
      RangeError,
      "address must not be in a reservation",
    );
  }
  // The place is as free as before.
  using next = reservation.map(source, { at: page });
  next.fill(3);
  map.fill(4);
  assertEquals([map.bytes[0], next.bytes[0]], [4, 3]);
  map.close();
  next.close();
  reservation.close();
  assertThrows(() => take(address, page), RangeError, "must be mapped");
});

Deno.test("Pmem2Map.unsafeFromExisting() refuses memory that isn't mapped, or can't be accessed", () => {
  using source = Pmem2Source.anonymous(page);
  const free = freeAddress(page, page);
  const take = (address: bigint, size: number) =>
    Pmem2Map.unsafeFromExisting(source, address, size, "byte");
  const message = "all of the memory must be mapped and accessible";
  assertThrows(() => take(free, page), RangeError, message);
  assertThrows(() => take(1n, 1), RangeError, message);
  assertThrows(() => take(2n ** 47n - 4096n, 4096), RangeError, message);

  using memory = new ForeignMemory(3 * page);
  const { mprotect, munmap } = native();
  const middle = memory.address + BigInt(page);
  mprotect(middle, BigInt(page), PROT_NONE);
  assertThrows(() => take(middle, page), RangeError, message);
  assertThrows(() => take(memory.address, 3 * page), RangeError, message);
  munmap(middle, BigInt(page));
  assertThrows(() => take(memory.address, 3 * page), RangeError, message);
  assertThrows(() => take(memory.address, page + 1), RangeError, message);
  take(memory.address, page).close();
});

Deno.test("a map of existing read-only memory can be read and not written to", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("file", 2 * page), {
    write: false,
  });
  using memory = new MappedFile(source, PROT_READ);
  using map = Pmem2Map.unsafeFromExisting(
    source,
    memory.address,
    memory.size,
    "page",
  );
  assertEquals(map.writable, false);
  const actions: (() => unknown)[] = [
    () => map.write(Uint8Array.of(1)),
    () => map.move(0, 1, 1),
    () => map.fill(1),
    () => map.bytes,
    () => map.buffer,
  ];
  for (const action of actions) {
    assertThrows(action, TypeError, "not writable", String(action));
  }
  const bytes = new Uint8Array(4);
  map.read(bytes, 100);
  assertEquals([...bytes], [100, 101, 102, 103]);
  map.persist();
});

Deno.test("a map of existing memory of which a page is read-only can't be written to", () => {
  using memory = new ForeignMemory(3 * page);
  using source = Pmem2Source.anonymous(page);
  native().mprotect(memory.address + BigInt(page), BigInt(page), PROT_READ);
  using map = Pmem2Map.unsafeFromExisting(
    source,
    memory.address,
    memory.size,
    "byte",
  );
  assertEquals(map.writable, false);
  assertThrows(() => map.fill(1, 0, 1), TypeError, "not writable");
  assertThrows(() => map.bytes, TypeError, "not writable");
});

Deno.test("Pmem2Map.persist() and persistAsync() of existing memory that is gone fail with ENOMEM", async () => {
  using source = Pmem2Source.anonymous(page);
  // So large that whatever is mapped there next does not fill it.
  const size = 2 ** 28;
  const MAP_PRIVATE_ANONYMOUS = 0x22;
  const address = native().mmap(
    0n,
    BigInt(size),
    PROT_READ_WRITE,
    MAP_PRIVATE_ANONYMOUS,
    -1,
    0n,
  );
  using map = Pmem2Map.unsafeFromExisting(source, address, size, "page");
  map.persist();
  await map.persistAsync();
  native().munmap(address, BigInt(size));
  const errors = [
    assertThrows(() => map.persist(), Pmem2Error),
    assertThrows(() => map.flush(), Pmem2Error),
    await assertRejects(() => map.persistAsync(), Pmem2Error),
    await assertRejects(() => map.deepFlushAsync(), Pmem2Error),
  ];
  for (const { code, errno, call } of errors) {
    assertEquals([code, errno, call], ["ENOMEM", -12, "msync"]);
  }
});

Deno.test("Pmem2Map.unsafeFromExisting() refuses bad arguments", () => {
  using source = Pmem2Source.anonymous(page);
  using memory = new ForeignMemory(page);
  const { address } = memory;
  // deno-lint-ignore no-explicit-any
  const any = Pmem2Map.unsafeFromExisting as any;
  const cases: [unknown[], typeof TypeError | typeof RangeError, string][] = [
    [[null, address, page, "byte"], TypeError, "source must be"],
    [[{}, address, page, "byte"], TypeError, "source must be"],
    [["file", address, page, "byte"], TypeError, "source must be"],
    [[source, Number(address), page, "byte"], TypeError, "address must be"],
    [[source, undefined, page, "byte"], TypeError, "address must be"],
    [[source, 0n, page, "byte"], RangeError, "address must be"],
    [[source, -1n, page, "byte"], RangeError, "address must be"],
    [[source, 2n ** 64n + address, page, "byte"], RangeError, "address must"],
    [[source, 2n ** 64n - 4096n, 8192, "byte"], RangeError, "address must"],
    [[source, address, "1", "byte"], TypeError, "size must be"],
    [[source, address, 1n, "byte"], TypeError, "size must be"],
    [[source, address, 0, "byte"], RangeError, "size must be"],
    [[source, address, -1, "byte"], RangeError, "size must be"],
    [[source, address, 0.5, "byte"], RangeError, "size must be"],
    [[source, address, 2 ** 52, "byte"], RangeError, "size must be"],
    [[source, address, page, "BYTE"], TypeError, "granularity must be"],
    [[source, address, page, 3], TypeError, "granularity must be"],
    [[source, address, page], TypeError, "granularity must be"],
  ];
  for (const [args, type, message] of cases) {
    assertThrows(() => any(...args), type, message);
  }
  source.close();
  const granularity: Granularity = "byte";
  assertThrows(
    () => Pmem2Map.unsafeFromExisting(source, address, page, granularity),
    TypeError,
    "the source is closed",
  );
  assert(memory.intact);
});

Deno.test("Pmem2Map.unsafeFromExisting() says when the process has too few pthread keys left, and harms nobody", async () => {
  const { code, signal, stdout, stderr } = await run(
    `
    import { libraryInfo, Pmem2Error, Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
    import { assert, assertEquals, assertThrows } from "@std/assert";
    import { ForeignMemory, freeKeys, native } from "./tests/support/native_process.ts";
    using source = Pmem2Source.anonymous(4096);
    using memory = new ForeignMemory(4096);
    const take = () =>
      Pmem2Map.unsafeFromExisting(source, memory.address, 4096, "byte");
    take().close();
    const key = new Uint32Array(1);
    const left = freeKeys() - 20;
    for (let i = 0; i < left; i++) native().pthread_key_create(key, 0n);
    const free = freeKeys();
    if (libraryInfo().symbolVersion === "LIBPMEM2_1.0") {
      assertThrows(take, RangeError, "pthread key");
      assertThrows(take, RangeError, "pthread key");
    } else {
      take().close();
    }
    assertEquals(freeKeys(), free);
    // Everything else needs none.
    using map = Pmem2Map.from(source);
    map.fill(1);
    map.persist();
    assertThrows(() => new Pmem2VmReservation(100), Pmem2Error, "100");
    assert(memory.intact);
    console.log("alive");
    `,
  );
  assertEquals([code, signal, stdout, stderr], [0, null, "alive\n", ""]);
});
