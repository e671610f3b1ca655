import { assert, assertEquals, assertThrows } from "@std/assert";
import { Pmem2Error, Pmem2Map, Pmem2Source } from "../../mod.ts";
import { PAGE } from "../support/page.ts";
import { readAttribute, testOnPersistentMemory } from "./persistent_memory.ts";

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
    assert(source.alignment > PAGE);
  },
);

testOnPersistentMemory(
  "Pmem2Source.alignment is the page size on fsdax",
  ({ fsdax }) => {
    const path = Deno.makeTempFileSync({ dir: fsdax });
    try {
      using source = Pmem2Source.open(path, { size: 65_536 });
      assertEquals(source.alignment, PAGE);
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
    const align = attribute(devdax, "align");
    using whole = Pmem2Map.open(devdax);
    using part = Pmem2Map.open(devdax, { offset: align, length: align });
    assertEquals(part.size, align);
    part.write(new Uint8Array([1, 2, 3]), align / 2);
    const at = align + align / 2;
    assertEquals([...whole.bytes.subarray(at, at + 3)], [1, 2, 3]);
    whole.fill(0, at, 3);
    assertEquals([...part.bytes.subarray(align / 2, align / 2 + 3)], [0, 0, 0]);
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() refuses an unaligned window of the devdax device",
  ({ devdax }) => {
    const offset = assertThrows(
      () =>
        Pmem2Map.open(devdax, {
          offset: PAGE,
          length: attribute(devdax, "align"),
        }),
      Pmem2Error,
    );
    assertEquals(offset.code, "PMEM2_E_OFFSET_UNALIGNED");
    const length = assertThrows(
      () => Pmem2Map.open(devdax, { length: PAGE }),
      Pmem2Error,
    );
    assertEquals(length.code, "PMEM2_E_LENGTH_UNALIGNED");
  },
);

testOnPersistentMemory(
  "Pmem2Map.open() finds on devdax what an earlier map persisted",
  async ({ devdax }) => {
    const data = crypto.getRandomValues(new Uint8Array(8192));
    // Across the border of two of the device's own pages.
    const at = attribute(devdax, "align") - 4096;
    {
      using map = Pmem2Map.open(devdax);
      map.write(data, at);
      map.deepFlush(at, data.length);
      await map.persistAsync();
    }
    using map = Pmem2Map.open(devdax, { write: false });
    const found = new Uint8Array(data.length);
    map.read(found, at);
    assertEquals(found, data);
  },
);
