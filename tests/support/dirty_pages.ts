/**
 * Which pages the kernel still has to write out: what shows from outside
 * whether a store was flushed at page granularity.
 *
 * @module
 */

import { libraryInfo, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { Scratch } from "./scratch.ts";

let opened: ReturnType<typeof open> | undefined;

/** What these tests call of libc, through libpmem2's handle. */
function libc() {
  return opened ??= open();
}

function open() {
  return Deno.dlopen(libraryInfo().path, {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    close: { parameters: ["i32"], result: "i32" },
    msync: { parameters: ["u64", "usize", "i32"], result: "i32" },
  }).symbols;
}

/** Not through `Deno.open`, which wants all permissions for /proc. */
function smaps(): string {
  const { open, read, close } = libc();
  const fd = open(new TextEncoder().encode("/proc/self/smaps\0"), 0);
  const chunk = new Uint8Array(65_536);
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const count = Number(read(fd, chunk, BigInt(chunk.length)));
    if (count <= 0) break;
    text += decoder.decode(chunk.subarray(0, count), { stream: true });
  }
  close(fd);
  return text;
}

/** How many bytes are dirty of the mapping that starts at the address. */
export function dirtyBytes(address: bigint): number {
  const text = smaps();
  const start = text.search(
    new RegExp(`^${address.toString(16).padStart(8, "0")}-`, "m"),
  );
  if (start === -1) throw new Error(`Nothing is mapped at ${address}`);
  let dirty = 0;
  let first = true;
  for (const line of text.slice(start).split("\n")) {
    if (!first && /^[0-9a-f]+-/.test(line)) break;
    first = false;
    const [, kibibytes] = /^(?:Shared|Private)_Dirty: +(\d+) kB/.exec(line) ??
      [];
    dirty += Number(kibibytes ?? 0) * 1024;
  }
  return dirty;
}

/**
 * Why dirty pages can't be told from clean ones where the tests put their files,
 * or null.
 */
export function dirtyPagesObstacle(): string | null {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.path("probe"), {
    createNew: true,
    size: 1_048_576,
  });
  const page = source.alignment;
  using map = Pmem2Map.from(source);
  const sync = (pages: number) =>
    libc().msync(map.address, BigInt(pages * page), 4 /* MS_SYNC */);
  sync(map.size / page);
  map.bytes.fill(1, 0, 8 * page);
  const before = dirtyBytes(map.address) / page;
  sync(1);
  const between = dirtyBytes(map.address) / page;
  sync(8);
  const after = dirtyBytes(map.address) / page;
  // On DAX there are no pages in between, those of tmpfs are never written out.
  if (before !== 8 || after !== 0) {
    return "pages here are always or never dirty";
  }
  return between === 7 ? null : "pages here are written out by the dozen";
}
