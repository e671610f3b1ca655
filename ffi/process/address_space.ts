/**
 * Looks at the address space of the process, and does there what libpmem2 leaves undone:
 * reserves and frees ranges.
 *
 * @module
 */

import {
  ArrayBuffer,
  BigInt,
  byteIndexIn,
  Number,
  Uint8Array,
} from "../input/intrinsics.ts";
import { subarray } from "../input/views.ts";
import { lastErrno } from "../c/error.ts";
import {
  addressSpaceFunctions,
  remapFunctions,
  systemFunctions,
} from "../c/functions.ts";
import { cString, fromCString } from "../c/string.ts";
import { pageSize } from "./placement.ts";
import { MUCH, requireStack } from "./stack.ts";

const PROT_NONE = 0;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FIXED_NOREPLACE = 0x100000;

/** Reserves a range, and changes nothing if it is not free. Returns whether it was free. */
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
  // Before version 4.17, the kernel takes the address as a hint.
  if (got < 2n ** 63n) release(got, size);
  return false;
}

/** Frees a range. SAFETY: the caller must own all pages of it. */
export function release(address: bigint, size: bigint): void {
  if (size > 0n) systemFunctions().munmap(address, size);
}

const [PROT_READ, PROT_WRITE, PROT_EXEC] = [1, 2, 4];
const MAP_PRIVATE_NORESERVE = 0x4002;
const MREMAP_MAYMOVE_FIXED = 3;

/**
 * Replaces what is mapped at an address with a private mapping of a file. No memory is
 * set aside for the mapping: the kernel takes memory when pages are stored to.
 *
 * @returns Whether it succeeded. If not, nothing has changed.
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
  // SAFETY: it is mapped elsewhere first, since a failed mmap may leave a hole at the
  // address; mremap replaces what is there in one step.
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

/** For more pages than this, /proc is read instead. */
const FEW_PAGES = 4096n;

/**
 * Whether all of a range is mapped and inaccessible, as reserved memory is. This asks
 * the kernel about each page, and needs no memory of V8. Returns false if there are too
 * many pages to ask about.
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
    // access() reads a path from the address, and fails with EFAULT if it cannot.
    if (access(at, F_OK) === 0 || lastErrno() !== EFAULT) return false;
  }
  return true;
}

/** The protection of a range, and what it maps. */
export interface Protection {
  readonly mapped: boolean;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Whether it is inaccessible and maps no file, as reserved memory is. */
  readonly reserved: boolean;
  /** Whether stores to its first page reach the file. */
  readonly shared: boolean;
  /** The offset of the range in the file that its first page maps, or 0. */
  readonly sourceOffset: number;
}

/**
 * Looks up a range in /proc/self/maps. Returns `undefined` if there is no /proc. This is
 * slow if there are many mappings, so it must be called rarely.
 */
export function protectionOf(
  address: bigint,
  size: bigint,
): Protection | undefined {
  const maps = readMaps();
  if (maps === undefined) return undefined;
  let mapped = false;
  let readable = true;
  let writable = true;
  let reserved = true;
  let shared = true;
  let sourceOffset = 0;
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
  let text = "";
  const opened = readChunks(MAPS, (chunk) => {
    // A path that is cut in two may look different, which does not matter.
    text += fromCString(chunk);
  });
  return opened ? text : undefined;
}

const MAPS = cString("/proc/self/maps");
const MAX_MAP_COUNT = cString("/proc/sys/vm/max_map_count");
/** Bytes that are read at once. */
const CHUNK = 64 * 1024;

/** Reads a file of /proc in chunks. Returns false if it cannot be opened. */
function readChunks(
  path: Uint8Array,
  take: (chunk: Uint8Array) => void,
): boolean {
  const { open, read, close } = addressSpaceFunctions();
  requireStack(MUCH);
  const fd = open(path, 0x80000 /* O_CLOEXEC */);
  if (fd < 0) return false;
  try {
    const chunk = new Uint8Array(new ArrayBuffer(CHUNK));
    for (;;) {
      const count = Number(read(fd, chunk, BigInt(CHUNK)));
      if (count <= 0) return true;
      take(subarray(chunk, 0, count));
    }
  } finally {
    close(fd);
  }
}

/**
 * Returns how many more mappings the system allows this process; vm.max_map_count is the
 * total. Returns `Infinity` if there is no /proc.
 */
export function mappingsLeft(): number {
  let limit = Infinity;
  readChunks(MAX_MAP_COUNT, (chunk) => {
    limit = Number(fromCString(chunk));
  });
  let used = 0;
  readChunks(MAPS, (chunk) => {
    for (let at = -1; (at = byteIndexIn(chunk, NEWLINE, at + 1)) !== -1;) {
      used++;
    }
  });
  return limit - used;
}

const NEWLINE = 10;
