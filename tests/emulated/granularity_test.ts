import { assert, assertEquals, assertThrows } from "@std/assert";
import { Pmem2Error, Pmem2Map } from "../../mod.ts";
import { scratchFolder, testOnPersistentMemory } from "./persistent_memory.ts";

/** The kernel's flags of the mapping that starts at the address. */
function vmFlags(address: bigint): string[] {
  const smaps = Deno.readTextFileSync("/proc/self/smaps");
  const start = smaps.indexOf(`${address.toString(16).padStart(8, "0")}-`);
  assert(start >= 0, "the mapping is not in /proc/self/smaps");
  const flags = /^VmFlags: (.*)$/m.exec(smaps.slice(start));
  return flags![1]!.trim().split(" ");
}

testOnPersistentMemory(
  "Pmem2Map.open() gives the granularity of fsdax, mapped with MAP_SYNC",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    using map = Pmem2Map.open(folder.path("file"), {
      create: true,
      size: 65_536,
    });
    assertEquals(map.granularity, machine.granularity);
    assert(vmFlags(map.address).includes("sf"));
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() gives the granularity of devdax, mapped with MAP_SYNC",
  (machine) => {
    using map = Pmem2Map.open(machine.devdax);
    assertEquals(map.granularity, machine.granularity);
    assert(vmFlags(map.address).includes("sf"));
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() gives page granularity on a disk, mapped without MAP_SYNC",
  (machine) => {
    using folder = scratchFolder(machine.ext4);
    using map = Pmem2Map.open(folder.path("file"), {
      create: true,
      size: 65_536,
    });
    assertEquals(map.granularity, "page");
    assert(!vmFlags(map.address).includes("sf"));
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() meets the granularity asked for, or refuses",
  (machine) => {
    using onMemory = scratchFolder(machine.fsdax);
    using onDisk = scratchFolder(machine.ext4);
    const media = [
      [onMemory.path("file"), machine.granularity],
      [machine.devdax, machine.granularity],
      [onDisk.path("file"), "page"],
    ] as const;
    for (const [path, actual] of media) {
      if (path !== machine.devdax) {
        Pmem2Map.open(path, { create: true, size: 65_536 }).close();
      }
      const fromFine = ["byte", "cache-line", "page"] as const;
      for (const granularity of fromFine) {
        if (fromFine.indexOf(granularity) < fromFine.indexOf(actual)) {
          const error = assertThrows(
            () => Pmem2Map.open(path, { granularity }),
            Pmem2Error,
          );
          assertEquals(error.code, "PMEM2_E_GRANULARITY_NOT_SUPPORTED");
        } else {
          using map = Pmem2Map.open(path, { granularity });
          assertEquals(map.granularity, actual);
        }
      }
    }
  },
);

testOnPersistentMemory(
  "Pmem2Map.persist() and deepFlush() make stores readable through the file",
  async (machine) => {
    using onMemory = scratchFolder(machine.fsdax);
    using onDisk = scratchFolder(machine.ext4);
    for (const folder of [onMemory, onDisk]) {
      const path = folder.path("file");
      using map = Pmem2Map.open(path, { create: true, size: 65_536 });
      map.bytes.set([1, 2, 3], 100);
      map.persist(100, 3);
      map.bytes.set([4, 5, 6], 40_000);
      map.deepFlush(40_000, 3);
      map.write(new Uint8Array([7, 8, 9]), 50_000, { flush: false });
      await map.persistAsync(50_000, 3);
      map.fill(10, 60_000, 3);
      await map.deepFlushAsync(60_000, 3);
      const file = Deno.readFileSync(path);
      assertEquals([...file.subarray(100, 103)], [1, 2, 3]);
      assertEquals([...file.subarray(40_000, 40_003)], [4, 5, 6]);
      assertEquals([...file.subarray(50_000, 50_003)], [7, 8, 9]);
      assertEquals([...file.subarray(60_000, 60_003)], [10, 10, 10]);
    }
  },
);
