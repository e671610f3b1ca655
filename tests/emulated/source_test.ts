import { assert, assertEquals, assertThrows } from "@std/assert";
import { Pmem2Error, Pmem2Source } from "../../mod.ts";
import {
  type PersistentMemory,
  readAttribute,
  scratchFolder,
  testOnPersistentMemory,
} from "./persistent_memory.ts";

/** The folder of sysfs that describes the region a device lies in. */
function region(device: string): string {
  const kind = device.startsWith("/dev/dax") ? "bus/dax/devices" : "block";
  const name = device.replace("/dev/", "");
  const path = Deno.realPathSync(`/sys/${kind}/${name}`);
  return /^.*\/region\d+/.exec(path)![0];
}

function sources(
  machine: PersistentMemory,
  folder: { path(name: string): string },
): Array<[device: string, path: string]> {
  const file = folder.path("file");
  Pmem2Source.open(file, { create: true, size: 65_536 }).close();
  return [[machine.pmem, file], [machine.devdax, machine.devdax]];
}

testOnPersistentMemory(
  "Pmem2Source.deviceId() is the id of the NVDIMM",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    for (const [device, path] of sources(machine, folder)) {
      const [dimm] = readAttribute(`${region(device)}/mapping0`).split(",");
      const id = readAttribute(`/sys/bus/nd/devices/${dimm}/nfit/id`);
      using source = Pmem2Source.open(path);
      assert(id.length > 0);
      assertEquals(source.deviceId(), id);
    }
  },
);

testOnPersistentMemory(
  "Pmem2Source.numaNode() is the node of the region",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    for (const [device, path] of sources(machine, folder)) {
      using source = Pmem2Source.open(path);
      const node = Number(readAttribute(`${region(device)}/numa_node`));
      assertEquals(source.numaNode(), node);
    }
  },
);

testOnPersistentMemory(
  "Pmem2Source.unsafeShutdownCount() throws where the NVDIMM doesn't count",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    for (const [, path] of sources(machine, folder)) {
      using source = Pmem2Source.open(path);
      const error = assertThrows(
        () => source.unsafeShutdownCount(),
        Pmem2Error,
      );
      assertEquals(error.code, "PMEM2_E_NOSUPP");
    }
  },
);

testOnPersistentMemory(
  "Pmem2Source.deviceId() and numaNode() throw on a disk",
  ({ ext4 }) => {
    using folder = scratchFolder(ext4);
    using source = Pmem2Source.open(folder.path("file"), {
      create: true,
      size: 65_536,
    });
    const id = assertThrows(() => source.deviceId(), Pmem2Error);
    assertEquals(id.code, "PMEM2_E_NOSUPP");
    const node = assertThrows(() => source.numaNode(), Pmem2Error);
    assertEquals(node.code, "PMEM2_E_DAX_REGION_NOT_FOUND");
  },
);

testOnPersistentMemory(
  "Pmem2Source.read() and write() go past the mapping, to the same bytes",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    const data = crypto.getRandomValues(new Uint8Array(10_000));
    for (const [, path] of sources(machine, folder)) {
      using source = Pmem2Source.open(path);
      source.write(data, 5000);
      const found = new Uint8Array(data.length);
      source.read(found, 5000);
      assertEquals(found, data);
    }
  },
);
