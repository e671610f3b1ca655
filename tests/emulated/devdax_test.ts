import { assertEquals, assertThrows } from "@std/assert";
import { Pmem2Error, Pmem2Map, Pmem2Source } from "../../mod.ts";
import { readAttribute, testOnPersistentMemory } from "./persistent_memory.ts";

const MiB = 1024 * 1024;

function attribute(device: string, name: string): number {
  const folder = device.replace("/dev/", "/sys/bus/dax/devices/");
  return Number(readAttribute(`${folder}/${name}`));
}

testOnPersistentMemory(
  "Pmem2Source.size and alignment are those of the devdax device",
  ({ devdax }) => {
    using source = Pmem2Source.open(devdax);
    assertEquals(source.size, attribute(devdax, "size"));
    assertEquals(source.alignment, attribute(devdax, "align"));
    assertEquals(source.alignment, 2 * MiB);
  },
);

testOnPersistentMemory(
  "Pmem2Source.alignment is the page size on fsdax",
  ({ fsdax }) => {
    const path = Deno.makeTempFileSync({ dir: fsdax });
    try {
      using source = Pmem2Source.open(path, { size: 65_536 });
      assertEquals(source.alignment, 4096);
      assertEquals(source.size, 65_536);
    } finally {
      Deno.removeSync(path);
    }
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() maps the whole devdax device",
  ({ devdax }) => {
    using map = Pmem2Map.open(devdax);
    assertEquals(map.size, attribute(devdax, "size"));
    assertEquals(map.bytes.length, map.size);
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() maps a window of the devdax device",
  ({ devdax }) => {
    using whole = Pmem2Map.open(devdax);
    using part = Pmem2Map.open(devdax, { offset: 2 * MiB, length: 4 * MiB });
    assertEquals(part.size, 4 * MiB);
    part.write(new Uint8Array([1, 2, 3]), 3 * MiB);
    assertEquals([...whole.bytes.subarray(5 * MiB, 5 * MiB + 3)], [1, 2, 3]);
    whole.fill(0, 5 * MiB, 3);
    assertEquals([...part.bytes.subarray(3 * MiB, 3 * MiB + 3)], [0, 0, 0]);
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() refuses an unaligned window of the devdax device",
  ({ devdax }) => {
    const offset = assertThrows(
      () => Pmem2Map.open(devdax, { offset: 4096, length: 2 * MiB }),
      Pmem2Error,
    );
    assertEquals(offset.code, "PMEM2_E_OFFSET_UNALIGNED");
    const length = assertThrows(
      () => Pmem2Map.open(devdax, { length: 4096 }),
      Pmem2Error,
    );
    assertEquals(length.code, "PMEM2_E_LENGTH_UNALIGNED");
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() finds on devdax what an earlier map persisted",
  async ({ devdax }) => {
    const data = crypto.getRandomValues(new Uint8Array(8192));
    {
      using map = Pmem2Map.open(devdax);
      map.write(data, 2 * MiB - 4096);
      map.deepFlush(2 * MiB - 4096, data.length);
      await map.persistAsync();
    }
    using map = Pmem2Map.open(devdax, { write: false });
    const found = new Uint8Array(data.length);
    map.read(found, 2 * MiB - 4096);
    assertEquals(found, data);
  },
);
