/**
 * The machine's persistent memory and disks: sparse files that outlive it.
 *
 * @module
 */

import { dataOffset, infoBlock, infoBlockOffset } from "./info_block.ts";
import { run } from "./host.ts";

const MiB = 1024 * 1024;

export interface MediaOptions {
  /** Bytes of the persistent memory, and of each disk. */
  size: number;
  /** The guest's page size, in bytes. */
  pageSize: number;
  devdaxAlignment: number;
  failingDisk: boolean;
}

/** Bytes of the devdax device's memory. */
export const devdaxSize = 96 * MiB;

/** Makes new media in `folder`, formatted. */
export async function makeMedia(
  folder: string,
  { size, pageSize, devdaxAlignment, failingDisk }: MediaOptions,
): Promise<void> {
  await Promise.all([
    (async () => {
      const path = `${folder}/pmem.img`;
      await makeNvdimm(path, size, pageSize, "fsdax", pageSize);
      const offset = dataOffset(pageSize);
      // Blocks must be as large as pages for DAX.
      await makeExt4(path, size - offset, pageSize, ["-E", `offset=${offset}`]);
    })(),
    makeNvdimm(
      `${folder}/devdax.img`,
      devdaxSize,
      pageSize,
      "devdax",
      devdaxAlignment,
    ),
    (async () => {
      const path = `${folder}/disk.img`;
      await makeSparse(path, size);
      await makeExt4(path, size, 4096);
    })(),
    failingDisk ? makeFailingDisk(folder) : null,
  ]);
}

async function makeSparse(path: string, size: number): Promise<void> {
  await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(path, size);
}

async function makeNvdimm(
  path: string,
  size: number,
  pageSize: number,
  mode: "fsdax" | "devdax",
  alignment: number,
): Promise<void> {
  await makeSparse(path, size);
  using file = await Deno.open(path, { write: true });
  await file.seek(infoBlockOffset, Deno.SeekMode.Start);
  await file.write(infoBlock({ mode, size, pageSize, alignment }));
}

async function makeExt4(
  path: string,
  size: number,
  blockSize: number,
  more: string[] = [],
): Promise<void> {
  const args = ["-q", "-F", "-t", "ext4", "-b", String(blockSize), ...more];
  await run("mke2fs", [...args, path, String(size / blockSize)]);
}

/**
 * A file system whose metadata lies at the front, and behind it a block device
 * that refuses to write: so files can be made, and their data not be written.
 */
async function makeFailingDisk(folder: string): Promise<void> {
  const size = 64 * MiB;
  const block = 4096;
  const path = `${folder}/failing.img`;
  await makeSparse(path, size);
  await makeExt4(path, size, block, [
    ...["-E", "packed_meta_blocks=1,lazy_itable_init=0", "-I", "256"],
    ...["-O", "inline_data,^metadata_csum", "-J", "size=4", "-N", "1024"],
  ]);
  const layout = await run("dumpe2fs", [path]);
  const free = [...layout.matchAll(/^ {2}Free blocks: (\d+)-/gm)];
  const first = Number(free[0]![1]);
  let rules = "";
  for (let at = first; at < size / block; at++) {
    const sector = at * (block / 512);
    rules += `[inject-error]\nevent = "none"\niotype = "write"\nerrno = "5"\n` +
      `once = "off"\nsector = "${sector}"\n\n`;
  }
  await Deno.writeTextFile(`${folder}/failing.conf`, rules);
}
