import { Pmem2Error, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assertEquals } from "@std/assert";
import { Disk, diskObstacle } from "../support/disk.ts";
import { run } from "../support/subprocess.ts";
import { testUnless } from "../support/test_unless.ts";

const MIB = 2 ** 20;

/** What makes 8 MiB durable, and how a map of it is made. */
const ways = {
  persist: "map.bytes.fill(2); map.persist();",
  "persist piece by piece":
    "map.bytes.fill(2); for (let i = 0; i < map.size; i += 65536) map.persist(i, 65536);",
  persistAsync: "map.bytes.fill(2); await map.persistAsync();",
  "several persistAsync":
    "map.bytes.fill(2); await Promise.all([0, 1, 2, 3].map((i) => map.persistAsync(i * 2 ** 21, 2 ** 21)));",
  flush: "map.bytes.fill(2); map.flush();",
  deepFlush: "map.bytes.fill(2); map.deepFlush();",
  deepFlushAsync: "map.bytes.fill(2); await map.deepFlushAsync();",
  write: "map.write(new Uint8Array(map.size).fill(2));",
  fill: "map.fill(2);",
};

/** A program that stores to a disk which fails once it has read a line. */
const program = (way: string, existing: boolean) => `
  import { Pmem2Error, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
  import { assert, assertEquals, assertThrows } from "@std/assert";
  import { native } from "./tests/support/native_process.ts";

  const [path, full] = Deno.args;
  const size = 8 * 2 ** 20;
  const source = Pmem2Source.open(path!, { create: true, size });
  const address = ${
  existing ? "native().mmap(0n, BigInt(size), 3, 1, source.fd!, 0n)" : "0n"
};
  const map = ${
  existing
    ? 'Pmem2Map.unsafeFromExisting(source, address, size, "page")'
    : "Pmem2Map.from(source)"
};
  const other = Pmem2Map.from(source);
  const apart = Pmem2Map.open(path!);
  // The disk fails: what it lies on has no more room.
  if (full === undefined) {
    console.log("fail");
    await Deno.stdin.read(new Uint8Array(1));
  } else {
    const file = Deno.openSync(full, { create: true, write: true });
    try {
      for (;;) file.writeSync(new Uint8Array(65536));
    } catch { /* as it should be */ }
  }
  let failed;
  try {
    ${way}
  } catch (error) {
    failed = error;
  }
  assert(failed instanceof Pmem2Error, String(failed));
  assert(["EIO", "ENOSPC"].includes(failed.code), failed.message);
  assertEquals(failed.call, "msync");
  assert(failed.message.includes(path!), failed.message);
  for (const one of [map, other, Pmem2Map.from(source)]) {
    assertThrows(() => one.persist(0, 1), Pmem2Error);
    assertThrows(() => one.write(Uint8Array.of(1)), Pmem2Error);
    assertThrows(() => one.flush(0, 1), Pmem2Error);
    assertThrows(() => one.drain(), Pmem2Error);
  }
  // The kernel tells it once to each who has opened the file.
  assertThrows(() => apart.persist(), Pmem2Error);
  assertThrows(() => apart.persist(), Pmem2Error);
  console.log("alive");
`;

for (const [name, way] of Object.entries(ways)) {
  for (const existing of [false, true]) {
    const what = existing ? "existing memory" : "a map";
    testUnless(
      diskObstacle("ext4") ?? diskObstacle("tmpfs"),
      `${name} of ${what} on a disk that fails is an error`,
      async () => {
        using under = new Disk("tmpfs", 24 * MIB);
        using disk = new Disk("ext2", 64 * MIB, under.directory);
        const { code, signal, stdout, stderr } = await run(
          program(way, existing),
          { args: [disk.path("file"), under.path("filling")] },
        );
        assertEquals(
          [code, signal, stdout],
          [0, null, "alive\n"],
          stderr,
        );
      },
    );
  }
}

testUnless(
  diskObstacle("fuse"),
  "what is stored after a failure is durable once the file was opened again",
  () => {
    using disk = new Disk("fuse");
    const path = disk.path("file");
    const source = Pmem2Source.open(path, { create: true, size: MIB });
    const map = Pmem2Map.from(source);
    /** Fills the map until that is, or isn't, an error. */
    const until = (failing: boolean): Pmem2Error | null => {
      for (const end = Date.now() + 10_000; Date.now() < end;) {
        const error = failureOf(() => {
          using other = Pmem2Map.open(path);
          other.fill(9);
        });
        if ((error !== null) === failing) break;
      }
      return failureOf(() => map.fill(2));
    };
    map.fill(1);
    disk.failing = true;
    assertEquals(until(true)?.code, "EIO");
    disk.failing = false;
    // It's told to this map, but others can be opened.
    assertEquals(until(false)?.code, "EIO");
    map.close();
    source.close();
    using again = Pmem2Map.open(path);
    again.fill(3);
    assertEquals(Deno.readFileSync(path), new Uint8Array(MIB).fill(3));
  },
);

function failureOf(action: () => void): Pmem2Error | null {
  try {
    action();
    return null;
  } catch (error) {
    if (error instanceof Pmem2Error) return error;
    throw error;
  }
}
