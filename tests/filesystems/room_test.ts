import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import { Disk, diskObstacle, type DiskType } from "../support/disk.ts";
import { assertRefused } from "../support/refusal.ts";
import { testUnless } from "../support/test_unless.ts";

const MIB = 2 ** 20;
const PAGE = 4096;

/** Whether all of a map can be stored to, which else ends the process. */
function storeEverywhere(path: string): void {
  using map = Pmem2Map.open(path);
  map.fill(1);
  map.persist();
}

const allocating: readonly DiskType[] = ["ext4", "xfs", "btrfs", "tmpfs"];
const others: readonly DiskType[] = ["ext2", "ramfs", "fuse"];

for (const type of allocating) {
  testUnless(
    diskObstacle(type),
    `${type}: a file takes two thirds of the disk, and is opened again`,
    () => {
      using disk = new Disk(type);
      const size = Math.floor(disk.room * 0.66 / PAGE) * PAGE;
      const path = disk.path("file");
      Pmem2Source.open(path, { create: true, size }).close();
      assertEquals(Deno.statSync(path).size, size);
      // There is less left than the file has; what btrfs has it doesn't know itself.
      if (type !== "btrfs") assert(disk.room < size, `${disk.room} ${size}`);
      for (let i = 0; i < 2; i++) {
        using source = Pmem2Source.open(path, { size });
        assertEquals(source.size, size);
        if (type !== "btrfs") storeEverywhere(path);
      }
    },
  );

  testUnless(
    diskObstacle(type),
    `${type}: what is more than the disk has is refused, and changes nothing`,
    () => {
      using disk = new Disk(type);
      const [old, made] = [disk.path("old"), disk.path("new")];
      const content = new Uint8Array(5000).fill(7);
      Deno.writeFileSync(old, content);
      const { room } = disk;
      for (const path of [old, made]) {
        for (const size of [room + 64 * MIB, 2 * room, 100 * room]) {
          assertRefused(
            () => Pmem2Map.open(path, { create: true, size }),
            "ENOSPC",
            "fallocate",
          );
        }
      }
      assertEquals(Deno.readFileSync(old), content);
      assertEquals(Deno.statSync(made).size, 0);
      assert(disk.room > room - MIB, `${room - disk.room}`);
    },
  );
}

testUnless(
  diskObstacle("ext4"),
  "ext4: what a refused growth has taken is given back where nobody else has the file",
  () => {
    using disk = new Disk("ext4", 64 * MIB);
    const path = disk.path("file");
    Deno.writeFileSync(path, new Uint8Array(5000).fill(7));
    const { blocks } = Deno.statSync(path);
    // statfs counts what ext4 itself needs for so many extents as free.
    const free = disk.room;
    using other = Deno.openSync(path, { read: true });
    let refused = false;
    for (let size = free + 4 * PAGE; size > 0.9 * free; size -= 16 * PAGE) {
      try {
        Pmem2Source.open(path, { size }).close();
        break;
      } catch {
        refused = true;
      }
      assertEquals(Deno.statSync(path).size, 5000);
    }
    assert(refused);
    other.close();
    Deno.writeFileSync(path, new Uint8Array(5000).fill(7));
    assertRefused(
      () => Pmem2Source.open(path, { size: 2 * free }),
      "ENOSPC",
    );
    assertEquals(Deno.statSync(path).blocks, blocks);
  },
);

for (const type of ["ext4", "xfs", "tmpfs"] as const) {
  testUnless(
    diskObstacle(type),
    `${type}: on a full disk a source is written to where it has blocks, and refused where it has none`,
    () => {
      using disk = new Disk(type);
      const [path, sparse] = [disk.path("file"), disk.path("sparse")];
      Pmem2Source.open(path, { create: true, size: 16 * MIB }).close();
      Deno.createSync(sparse).close();
      Deno.truncateSync(sparse, 64 * MIB);
      disk.fill();
      const data = new Uint8Array(8 * MIB).fill(3);
      using source = Pmem2Source.open(path);
      source.write(data, 4 * MIB);
      const back = new Uint8Array(8 * MIB);
      source.read(back, 4 * MIB);
      assertEquals(back, data);
      using holes = Pmem2Source.open(sparse);
      const large = new Uint8Array(32 * MIB).fill(3);
      assertRefused(() => holes.write(large), "ENOSPC", "fallocate");
      const first = new Uint8Array(PAGE);
      holes.read(first);
      assertEquals(first, new Uint8Array(PAGE));
    },
  );
}

testUnless(
  diskObstacle("xfs"),
  "xfs: a hole is filled on a disk that hasn't the room of the file once more",
  () => {
    using disk = new Disk("xfs");
    const path = disk.path("file");
    const size = Math.floor(disk.room * 0.6 / PAGE) * PAGE;
    Pmem2Source.open(path, { create: true, size }).close();
    new Deno.Command("fallocate", {
      args: ["-p", "-o", String(MIB), "-l", String(MIB), path],
    }).outputSync();
    const { blocks } = Deno.statSync(path);
    Pmem2Source.open(path, { size }).close();
    assertEquals(Deno.statSync(path).blocks, blocks! + MIB / 512);
    storeEverywhere(path);
  },
);

testUnless(
  diskObstacle("tmpfs"),
  "tmpfs without a limit: size is granted, though statfs knows nothing",
  () => {
    using disk = new Disk("tmpfs", 0);
    const path = disk.path("file");
    Pmem2Map.open(path, { create: true, size: 4 * MIB }).close();
    assertEquals(Deno.statSync(path).blocks, 4 * MIB / 512);
  },
);

for (const type of others) {
  testUnless(
    diskObstacle(type),
    `${type}: without fallocate a file grows by zeros at its end`,
    () => {
      using disk = new Disk(type);
      const path = disk.path("file");
      Deno.writeFileSync(path, new Uint8Array(5000).fill(7));
      for (const size of [4000, 5000, 100_000, MIB + 1]) {
        using source = Pmem2Source.open(path, { size });
        assertEquals(source.size, Math.max(size, 5000));
        // Nobody sees how it was done.
        source.write(Uint8Array.of(8), 10);
      }
      const bytes = Deno.readFileSync(path);
      assertEquals(bytes.indexOf(0), 5000);
      assertEquals(bytes.findLastIndex((byte) => byte !== 0), 4999);
      assertEquals([bytes[9], bytes[10], bytes[11]], [7, 8, 7]);
      Pmem2Map.open(disk.path("new"), { create: true, size: MIB }).close();
      storeEverywhere(disk.path("new"));
    },
  );

  testUnless(
    diskObstacle(type),
    `${type}: a source is written to, all of it`,
    () => {
      using disk = new Disk(type);
      const path = disk.path("file");
      Deno.createSync(path).close();
      Deno.truncateSync(path, MIB);
      using source = Pmem2Source.open(path);
      const data = crypto.getRandomValues(new Uint8Array(50_000));
      source.write(data, 777);
      const back = new Uint8Array(50_000);
      source.read(back, 777);
      assertEquals(back, data);
    },
  );
}

testUnless(
  diskObstacle("ext2"),
  "ext2: where a full disk takes a part, a write is refused all the same",
  () => {
    using disk = new Disk("ext2", 8 * MIB);
    const path = disk.path("sparse");
    Deno.createSync(path).close();
    Deno.truncateSync(path, 64 * MIB);
    using source = Pmem2Source.open(path);
    const data = new Uint8Array(32 * MIB).fill(3);
    assertRefused(
      () => source.write(data),
      "ENOSPC",
      "pmem2_source_pwrite_mcsafe",
    );
  },
);
