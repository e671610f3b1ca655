/**
 * The process's address space, where libpmem2 leaves something undone: what
 * is there, what is ours, and giving it back.
 *
 * @module
 */

import { BigInt, Number } from "../input/intrinsics.ts";
import { lastErrno } from "../c/error.ts";
import {
  addressSpaceFunctions,
  remapFunctions,
  systemFunctions,
} from "../c/functions.ts";
import { cString } from "../c/string.ts";
import { pageSize } from "./placement.ts";
import { MUCH, requireStack } from "./stack.ts";

const PROT_NONE = 0;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FIXED_NOREPLACE = 0x100000;

/** Reserves a range that must be free, and touches nothing if it isn't. */
export function reserve(address: bigint, size: bigint): boolean {
  const flags = MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE;
  const got = systemFunctions().mmap(
    address,
    size,
    PROT_NONE,
    flags,
    -1,
    0n,
  );
  if (got === address) return true;
  // A kernel before 4.17 takes the address for a hint.
  if (got < 2n ** 63n) release(got, size);
  return false;
}

/** Gives a range back. Nobody else may own a page of it. */
export function release(address: bigint, size: bigint): void {
  if (size > 0n) systemFunctions().munmap(address, size);
}

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4];
const MAP_PRIVATE_NORESERVE = 0x4002;
const MREMAP_MAYMOVE_FIXED = 3;

/**
 * Maps a file privately in the place of what is at an address, without memory set
 * aside for it: of that the kernel takes as much as is stored to.
 *
 * @returns Whether it worked. If not, nothing has changed.
 */
export function replacePrivately(
  address: bigint,
  size: bigint,
  { read, write, exec }: { read: boolean; write: boolean; exec: boolean },
  fd: number,
  offset: bigint,
): boolean {
  const protection = (read ? PROT_READ : 0) | (write ? PROT_WRITE : 0) |
    (exec ? PROT_EXEC : 0);
  const flags = MAP_PRIVATE_NORESERVE;
  // Not at the place itself: where that fails nothing may be left there.
  const aside = systemFunctions().mmap(
    0n,
    size,
    protection,
    flags,
    fd,
    offset,
  );
  if (aside >= 2n ** 63n) return false;
  const { mremap } = remapFunctions();
  if (mremap(aside, size, size, MREMAP_MAYMOVE_FIXED, address) === address) {
    return true;
  }
  release(aside, size);
  return false;
}

/** More pages are looked up in /proc, all at once. */
const FEW_PAGES = 4096n;

/**
 * Whether all of a range is mapped, and inaccessible as reserved memory is: a
 * question to the kernel for each page, that needs no memory of V8's. `false`
 * also where there are too many to ask.
 */
export function isInaccessible(address: bigint, size: bigint): boolean {
  const { msync, access } = addressSpaceFunctions();
  const MS_ASYNC = 1;
  const F_OK = 0;
  const EFAULT = 14;
  const page = BigInt(pageSize());
  if (size > FEW_PAGES * page || msync(address, size, MS_ASYNC) !== 0) {
    return false;
  }
  for (let at = address; at < address + size; at += page) {
    // A path that can't be read is a bad address.
    if (access(at, F_OK) === 0 || lastErrno() !== EFAULT) return false;
  }
  return true;
}

/** What may be done with all of a range, and whether it's a reservation's. */
export interface Protection {
  readonly mapped: boolean;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Inaccessible and backed by no file, as reserved memory is. */
  readonly reserved: boolean;
  /** Whether stores to its first page reach what it's backed by. */
  readonly shared: boolean;
  /** Where the range starts in the file that backs its first page, or 0. */
  readonly sourceOffset: number;
}

/**
 * Looks a range up in /proc/self/maps. `undefined` where there is no /proc.
 * Slow where there are many mappings: for rare questions.
 */
export function protectionOf(
  address: bigint,
  size: bigint,
): Protection | undefined {
  const maps = readMaps();
  if (maps === undefined) return undefined;
  let [mapped, readable, writable, reserved] = [false, true, true, true];
  let [shared, sourceOffset] = [true, 0];
  let position = address;
  const end = address + size;
  for (const [, from, to, flags, offset, inode] of maps.matchAll(LINE)) {
    if (BigInt(`0x${to}`) <= position) continue;
    const start = BigInt(`0x${from}`);
    if (start > position) break;
    if (position === address) {
      shared = flags![3] === "s";
      if (inode !== "0") {
        sourceOffset = Number(BigInt(`0x${offset}`) + address - start);
      }
    }
    readable &&= flags![0] === "r";
    writable &&= flags![1] === "w";
    reserved &&= flags === "---p" && inode === "0";
    position = BigInt(`0x${to}`);
    if (position >= end) {
      mapped = true;
      break;
    }
  }
  return {
    mapped,
    readable: mapped && readable,
    writable: mapped && writable,
    reserved: mapped && reserved,
    shared,
    sourceOffset,
  };
}

/** from-to flags offset device inode */
const LINE = /^(\w+)-(\w+) (\S{4}) (\w+) \S+ (\d+)/gm;

function readMaps(): string | undefined {
  const decoder = new TextDecoder();
  let text = "";
  const opened = readChunks("/proc/self/maps", (chunk) => {
    text += decoder.decode(chunk, { stream: true });
  });
  return opened ? text : undefined;
}

/** Reads a file of the kernel's own; whether there is one. */
function readChunks(
  path: string,
  take: (chunk: Uint8Array) => void,
): boolean {
  const { open, read, close } = addressSpaceFunctions();
  requireStack(MUCH);
  const fd = open(cString(path), 0x80000 /* O_CLOEXEC */);
  if (fd < 0) return false;
  try {
    const chunk = new Uint8Array(new ArrayBuffer(64 * 1024));
    for (;;) {
      const count = Number(read(fd, chunk, BigInt(chunk.length)));
      if (count <= 0) return true;
      take(chunk.subarray(0, count));
    }
  } finally {
    close(fd);
  }
}

/**
 * How many more mappings the system grants this process, vm.max_map_count in
 * all. `Infinity` where there is no /proc.
 */
export function mappingsLeft(): number {
  let limit = Infinity;
  readChunks("/proc/sys/vm/max_map_count", (chunk) => {
    limit = parseInt(new TextDecoder().decode(chunk));
  });
  let used = 0;
  readChunks("/proc/self/maps", (chunk) => {
    for (let at = -1; (at = chunk.indexOf(NEWLINE, at + 1)) !== -1;) used++;
  });
  return limit - used;
}

const NEWLINE = 10;
