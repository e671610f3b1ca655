import { libraryInfo } from "@pmem2/pmem2";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { copyWithout, exportedFunctions } from "./support/elf.ts";
import { libraryFile } from "./support/library_file.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

/** What libpmem2 2.0 dropped. */
const dropped = [
  "pmem2_config_set_vdm",
  "pmem2_memcpy_async",
  "pmem2_memmove_async",
  "pmem2_memset_async",
];

/** The real library under another name, with 2.x's functions alone. */
function make2x(scratch: Scratch): string {
  const path = scratch.path("libpmem2_2x.so");
  copyWithout(dropped, libraryFile(), path);
  return path;
}

// Every method once, with what it should do.
const everything = `
import {
  libraryInfo,
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { forceGranularity } from "./tests/support/force_granularity.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";

const [directory] = Deno.args;
const code = (action) => assertThrows(action, Pmem2Error).code;

for (const granularity of ["byte", "cache-line", "page"]) {
  using pmem = forceGranularity(granularity, { directory });
  const path = pmem.path("file");
  using source = Pmem2Source.open(path, { createNew: true, size: 65536 });
  assertEquals([source.size, source.path], [65536, path]);
  assert(source.alignment >= 4096);
  const again = Pmem2Source.fromFd(source.fd);
  assertEquals(again.size, 65536);
  again.close();
  source.write(Uint8Array.of(1, 2, 3), 100);
  const three = new Uint8Array(3);
  source.read(three, 100);
  assertEquals([...three], [1, 2, 3]);
  assertEquals([...source.badBlocks()], []);

  using map = Pmem2Map.from(source);
  assertEquals([map.size, map.granularity], [65536, granularity]);
  map.read(three, 100);
  assertEquals([...three], [1, 2, 3]);
  for (
    const options of [
      undefined,
      { temporal: true },
      { temporal: false, writeCombining: true },
      { flush: false },
      { drain: false },
    ]
  ) {
    map.write(Uint8Array.of(4, 5, 6), 4095, options);
    map.move(4096, 4095, 3, options);
    map.fill(9, 4095, 1, options);
    map.drain();
    assertEquals([...map.bytes.subarray(4095, 4099)], [9, 4, 5, 6]);
  }
  map.persist();
  map.persist(map.bytes.subarray(10, 20));
  map.flush(5000, 10);
  map.drain();
  map.deepFlush();
  await Promise.all([map.persistAsync(), map.deepFlushAsync(0, 10)]);
  assertEquals([...Deno.readFileSync(path).subarray(4095, 4099)], [9, 4, 5, 6]);

  using reservation = new Pmem2VmReservation(2 ** 21);
  const inside = reservation.map(source, { at: 65536 });
  const first = reservation.map(Pmem2Source.anonymous(4096));
  assertEquals([first.offset, inside.offset], [0, 65536]);
  assertEquals(reservation.findFirst(), first);
  assertEquals(reservation.findLast(), inside);
  assertEquals(reservation.findNext(first), inside);
  assertEquals(reservation.findPrev(inside), first);
  assertEquals(reservation.find(65536 + 5), inside);
  assertEquals(reservation.find(8192), null);
  assertEquals([...reservation], [first, inside]);
  assertEquals([...reservation.gaps()].length, 2);
  inside.write(Uint8Array.of(77), 200);
  assertEquals(map.bytes[200], 77);
  assertEquals(code(() => reservation.map(source, { at: 65536 })), "PMEM2_E_MAPPING_EXISTS");
  reservation.shrink(2 ** 20, 2 ** 20);
  assertEquals(reservation.size, 2 ** 20);
  reservation.extend(2 ** 20);
  assertEquals(reservation.size, 2 ** 21);
  inside.close();
  first.close();
}

{
  using memory = Pmem2Source.anonymous(8192);
  assertEquals([memory.fd, memory.path, memory.size], [null, null, 8192]);
  assertEquals(code(() => memory.deviceId()), "PMEM2_E_NOSUPP");
  assertEquals(code(() => memory.numaNode()), "PMEM2_E_NOSUPP");
  assertEquals(code(() => memory.unsafeShutdownCount()), "PMEM2_E_NOSUPP");
  using map = Pmem2Map.from(memory);
  const error = await assertRejects(() => map.deepFlushAsync(), Pmem2Error);
  assertEquals(error.code, "PMEM2_E_NOSUPP");
  assertEquals(code(() => new Pmem2VmReservation(100)), "PMEM2_E_LENGTH_UNALIGNED");

  // Memory that others mapped.
  const { symbols } = Deno.dlopen(libraryInfo().path, {
    mmap: {
      parameters: ["u64", "u64", "i32", "i32", "i32", "i64"],
      result: "u64",
    },
  });
  const address = symbols.mmap(0n, 8192n, 3, 0x22, -1, 0n);
  using existing = Pmem2Map.unsafeFromExisting(memory, address, 8192, "page");
  existing.fill(3);
  existing.persist();
  assertEquals(existing.bytes[8191], 3);
}
console.log(libraryInfo().symbolVersion);
`;

/** Runs it against a library. */
function runEverything(library: string, directory: string) {
  return run(everything, {
    env: { PMEM2_LIBRARY: library },
    args: [directory],
  });
}

const real = libraryInfo().symbolVersion;

Deno.test("libraryInfo() tells the version of the symbols by what the library exports", () => {
  const exported = exportedFunctions(libraryFile());
  assertEquals(
    real,
    dropped.every((name) => exported.includes(name))
      ? "LIBPMEM2_1.0"
      : "LIBPMEM2_2.0",
  );
});

Deno.test("every method works with the library as it is", async () => {
  using scratch = new Scratch();
  const ended = await runEverything(libraryFile(), scratch.directory);
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout: `${real}\n`,
    stderr: "",
  });
});

Deno.test("every method works without the functions that 2.0 dropped", async () => {
  using scratch = new Scratch();
  const library = make2x(scratch);
  const left = exportedFunctions(library)
    .filter((name) => name.startsWith("pmem2_"));
  assertEquals(left.length, 49);
  assertEquals(left.filter((name) => dropped.includes(name)), []);
  const ended = await runEverything(library, scratch.directory);
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout: "LIBPMEM2_2.0\n",
    stderr: "",
  });
});

testUnless(
  real === "LIBPMEM2_1.0" ? null : "this is 2.x",
  "what 2.0 dropped is missing from the copy, and from it alone",
  async () => {
    using scratch = new Scratch();
    const library = make2x(scratch);
    const script = `
      for (const name of ${JSON.stringify(dropped)}) {
        const table = {
          [name]: { parameters: [], result: "i32", optional: true },
        };
        const [path] = Deno.args;
        console.log(Deno.dlopen(path, table).symbols[name] === null);
      }
    `;
    const missing = async (path: string) =>
      (await run(script, { args: [path] })).stdout.trim().split("\n");
    assertEquals(await missing(library), Array(4).fill("true"));
    assertEquals(await missing(libraryFile()), Array(4).fill("false"));
  },
);

Deno.test("without a function that all have the library is refused", async () => {
  using scratch = new Scratch();
  const path = scratch.path("libpmem2_old.so");
  copyWithout(["pmem2_vm_reservation_map_find"], libraryFile(), path);
  const { code, stderr } = await run(
    `
    import { Pmem2VmReservation } from "@pmem2/pmem2";
    new Pmem2VmReservation(4096);
    `,
    { env: { PMEM2_LIBRARY: path } },
  );
  assertEquals(code, 1);
  assertStringIncludes(stderr, path);
});
