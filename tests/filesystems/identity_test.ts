import { assert, assertEquals } from "@std/assert";
import { Disk, diskObstacle, type DiskType } from "../support/disk.ts";
import { run } from "../support/subprocess.ts";
import { testUnless } from "../support/test_unless.ts";

for (const type of ["fuse", "tmpfs", "ext4"] satisfies DiskType[]) {
  testUnless(
    diskObstacle(type),
    `${type}: while a link is flipped, only the file that may be read is mapped`,
    async () => {
      using disk = new Disk(type, 16 * 2 ** 20);
      for (const [name, byte] of [["allowed", 1], ["forbidden", 2]] as const) {
        Deno.writeFileSync(disk.path(name), new Uint8Array(4096).fill(byte));
      }
      Deno.symlinkSync("allowed", disk.path("link"));
      const flipping = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--allow-all",
          new URL("../support/flip_link.ts", import.meta.url).pathname,
          disk.directory,
          "link",
          "allowed",
          "forbidden",
        ],
        stdout: "null",
        stderr: "inherit",
      }).spawn();
      const { code, stdout, stderr } = await run(
        `
        import { Pmem2Map } from "@pmem2/pmem2";
        const [path] = Deno.args;
        const seen = { allowed: 0, forbidden: 0, refused: 0 };
        const byte = new Uint8Array(1);
        for (const end = Date.now() + 3000; Date.now() < end;) {
          try {
            using map = Pmem2Map.open(path!, { write: false });
            map.read(byte);
            if (byte[0] === 1) seen.allowed++;
            else seen.forbidden++;
          } catch {
            seen.refused++;
          }
        }
        console.log(JSON.stringify(seen));
        `,
        {
          flags: [
            "--allow-ffi",
            `--allow-read=${disk.path("link")},${disk.path("allowed")}`,
          ],
          args: [disk.path("link")],
        },
      );
      flipping.kill("SIGKILL");
      await flipping.status;
      assertEquals(code, 0, stderr);
      const seen = JSON.parse(stdout);
      assertEquals(seen.forbidden, 0, stdout);
      assert(seen.allowed > 0 && seen.refused > 0, stdout);
    },
  );
}
