import { assertEquals, assertThrows } from "@std/assert";
import { Pmem2Error, Pmem2Source } from "../../mod.ts";
import { PAGE } from "../support/page.ts";
import {
  type PersistentMemory,
  scratchFolder,
  testOnPersistentMemory,
} from "./persistent_memory.ts";

/** The file system has blocks as large as pages, for DAX. */
const BLOCK = PAGE;
const SECTOR = 512;

/** A file of 16 blocks that hold their number, plus one. */
function writeBlocks(path: string): void {
  const blocks = Uint8Array.from(
    { length: 16 * BLOCK },
    (_, i) => 1 + Math.floor(i / BLOCK),
  );
  using file = Deno.openSync(path, { write: true, createNew: true });
  for (let at = 0; at < blocks.length;) {
    at += file.writeSync(blocks.subarray(at));
  }
  file.syncSync();
}

/** Tells the kernel that the medium is broken below a block of the file. */
function breakBlock(machine: PersistentMemory, path: string, block: number) {
  const { success, stdout } = new Deno.Command("filefrag", {
    args: ["-v", path],
  }).outputSync();
  assertEquals(success, true);
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const extent = /^\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*(\d+)\.\./.exec(line);
    if (extent === null) continue;
    const [first, last, physical] = extent.slice(1).map(Number);
    if (block < first! || block > last!) continue;
    const sector = (physical! + block - first!) * (BLOCK / SECTOR);
    Deno.writeTextFileSync(
      `/sys/block/${machine.pmem.replace("/dev/", "")}/badblocks`,
      `${sector} ${BLOCK / SECTOR}`,
    );
    return;
  }
  throw new Error(`Cannot find block ${block} of ${path}`);
}

testOnPersistentMemory(
  "Pmem2Source.badBlocks() finds nothing in a sound file, on any medium",
  (machine) => {
    using onMemory = scratchFolder(machine.fsdax);
    using onDisk = scratchFolder(machine.ext4);
    const files = [onMemory.path("file"), onDisk.path("file")];
    files.forEach(writeBlocks);
    for (const path of [...files, machine.devdax]) {
      using source = Pmem2Source.open(path);
      assertEquals([...source.badBlocks()], []);
    }
  },
);

testOnPersistentMemory(
  "Pmem2Source finds bad blocks, fails to read them and clears them",
  (machine) => {
    using folder = scratchFolder(machine.fsdax);
    const path = folder.path("file");
    writeBlocks(path);
    using source = Pmem2Source.open(path);
    breakBlock(machine, path, 3);
    breakBlock(machine, path, 10);

    const found = [...source.badBlocks()];
    assertEquals(
      found.map(({ offset, length }) => [offset, length]),
      [[3 * BLOCK, BLOCK], [10 * BLOCK, BLOCK]],
    );
    const block = new Uint8Array(BLOCK);
    for (const { offset } of found) {
      const error = assertThrows(() => source.read(block, offset), Pmem2Error);
      assertEquals(error.code, "PMEM2_E_IO_FAIL");
    }
    source.read(block, 4 * BLOCK);
    assertEquals(block[0], 5);

    found[0]!.clear();
    assertEquals([...source.badBlocks()].map(({ offset }) => offset), [
      10 * BLOCK,
    ]);
    source.read(block, 3 * BLOCK);
    assertEquals(block[0], 0);

    for (const badBlock of source.badBlocks()) badBlock.clear();
    assertEquals([...source.badBlocks()], []);
    source.read(block, 10 * BLOCK);
    source.read(block, 11 * BLOCK);
    assertEquals(block[0], 12);
  },
);

testOnPersistentMemory(
  "Pmem2Map.bytes of a bad block ends the process with SIGBUS, as documented",
  async (machine) => {
    using folder = scratchFolder(machine.fsdax);
    const path = folder.path("file");
    writeBlocks(path);
    breakBlock(machine, path, 5);
    const script = folder.path("script.ts");
    const module = new URL("../../mod.ts", import.meta.url);
    Deno.writeTextFileSync(
      script,
      `import { Pmem2Map } from "${module}";
      using map = Pmem2Map.open("${path}");
      console.log(map.bytes[4 * ${BLOCK}]);
      console.log(map.bytes[5 * ${BLOCK}]);`,
    );
    const { signal, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", "--cached-only", script],
    }).output();
    using source = Pmem2Source.open(path);
    for (const badBlock of source.badBlocks()) badBlock.clear();
    assertEquals(new TextDecoder().decode(stdout), "5\n");
    assertEquals(signal, "SIGBUS");
  },
);
