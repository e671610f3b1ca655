import { Pmem2Source } from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import { Disk, diskObstacle, type DiskType } from "../support/disk.ts";
import { run } from "../support/subprocess.ts";
import { testUnless } from "../support/test_unless.ts";

const MIB = 2 ** 20;

for (const type of ["ext2", "ramfs", "fuse"] satisfies DiskType[]) {
  testUnless(
    diskObstacle(type),
    `${type}: opening a file with its size undoes no store of another process`,
    async () => {
      using disk = new Disk(type, 16 * MIB);
      const path = disk.path("file");
      Pmem2Source.open(path, { create: true, size: MIB }).close();
      let stored = "";
      const storing = run(
        `
        import { Pmem2Map } from "@pmem2/pmem2";
        using map = Pmem2Map.open(Deno.args[0]!);
        const { bytes } = map;
        let [stores, undone] = [0, 0];
        // Who writes a byte of each block back would write a zero over a store.
        for (const end = Date.now() + 3000; Date.now() < end;) {
          for (let i = 1023; i < bytes.length; i += 1024) bytes[i] = 0;
          for (let i = 1023; i < bytes.length; i += 1024) bytes[i] = 1;
          for (let i = 1023; i < bytes.length; i += 1024, stores++) {
            if (bytes[i] !== 1) undone++;
          }
        }
        console.log(stores, undone);
        `,
        { args: [path] },
      ).then(({ stdout, stderr }) => stored = stdout + stderr);
      let opens = 0;
      while (stored === "") {
        for (let i = 0; i < 10; i++, opens++) {
          Pmem2Source.open(path, { size: MIB }).close();
        }
        await new Promise((resolve) => setTimeout(resolve));
      }
      await storing;
      const [stores, undone] = stored.split(" ").map(Number);
      assert(stores! > 0 && opens > 10, stored);
      assertEquals(undone, 0, stored);
    },
  );
}
