/**
 * Reads and writes the contents of files by their descriptors. Unlike with mapped memory,
 * it does no harm if a file is truncated meanwhile.
 *
 * @module
 */

import { addressOf } from "../c/copy.ts";
import { lastErrno, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import { contentFunctions, fileFunctions } from "../c/functions.ts";
import { emptyName, nameOf } from "../c/path_name.ts";
import { fromCString } from "../c/string.ts";
import { BLOCK, type Block, Image, ZEROS } from "./image.ts";

/** The memory for one read. SAFETY: C writes to it, and it never moves. */
const chunk = new Uint8Array(new ArrayBuffer(64 * BLOCK));
let chunkAddress = 0n;

/** The block that was made last. */
let last = ZEROS;

/** PERF: below this size, reading zeros takes less time than looking for holes. */
const SPARSE_FROM = 16 * 1024 ** 2;

function retried(call: string, attempt: () => bigint): number {
  for (;;) {
    const result = Number(attempt());
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== errnoOf("EINTR")) throw new Pmem2Error(-errno, call);
  }
}

/**
 * Compares the blocks of the range [`from`, `to`) with an image, and reports those that
 * have changed. The caller must update the image.
 */
export function readChanges(
  fd: number,
  image: Image,
  from: number,
  to: number,
  changed: (index: number, block: Block) => void,
): void {
  const end = Math.min(Math.ceil(to / BLOCK) * BLOCK, image.size);
  let at = Math.floor(from / BLOCK) * BLOCK;
  const sparse = end - at >= SPARSE_FROM;
  while (at < end) {
    let stop = end;
    if (sparse) {
      const data = seek(fd, at, SEEK_DATA) ?? end;
      const start = Math.min(Math.floor(data / BLOCK) * BLOCK, end);
      clearHole(image, at, start, changed);
      if (start >= end) return;
      at = start;
      stop = Math.min(seek(fd, data, SEEK_HOLE) ?? end, end);
    }
    for (; at < stop; at += chunk.length) {
      readChunk(fd, image, at, Math.min(chunk.length, stop - at), changed);
    }
    at = sparse ? Math.ceil(stop / BLOCK) * BLOCK : end;
  }
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Returns where the next data, or hole, starts, or null if there is none. */
function seek(fd: number, from: number, whence: number): number | null {
  const { lseek } = contentFunctions();
  const found = Number(lseek(fd, BigInt(from), whence));
  if (found >= 0) return found;
  // A file system that cannot tell has data everywhere.
  if (lastErrno() !== errnoOf("ENXIO")) {
    return whence === SEEK_DATA ? from : null;
  }
  return null;
}

function clearHole(
  image: Image,
  from: number,
  to: number,
  changed: (index: number, block: Block) => void,
): void {
  for (const index of [...image.blocks.keys()]) {
    if (index * BLOCK >= from && index * BLOCK < to) changed(index, ZEROS);
  }
}

function readChunk(
  fd: number,
  image: Image,
  at: number,
  length: number,
  changed: (index: number, block: Block) => void,
): void {
  const { pread, memcmp } = contentFunctions();
  chunkAddress ||= addressOf(chunk);
  let done = 0;
  while (done < length) {
    const [size, offset] = [BigInt(length - done), BigInt(at + done)];
    const to = chunkAddress + BigInt(done);
    const count = retried("pread", () => pread(fd, to, size, offset));
    if (count === 0) break;
    done += count;
  }
  const whole = Math.ceil(length / BLOCK) * BLOCK;
  chunk.fill(0, done, whole);
  for (let start = 0; start < whole; start += BLOCK) {
    const index = (at + start) / BLOCK;
    const known = image.get(index);
    const address = chunkAddress + BigInt(start);
    if (memcmp(address, known, BigInt(BLOCK)) === 0) continue;
    // Programs that fill memory make many equal blocks.
    let block = [ZEROS, last].find((one) =>
      memcmp(address, one, BigInt(BLOCK)) === 0
    );
    if (block === undefined) {
      block = last = chunk.slice(start, start + BLOCK);
    }
    changed(index, block);
  }
}

/** Reads one block of a file. */
export function readBlock(fd: number, index: number): Block {
  const image = new Image((index + 1) * BLOCK);
  let found = ZEROS;
  readChunk(fd, image, index * BLOCK, BLOCK, (_, block) => {
    found = block;
  });
  return found;
}

/** Writes a block of an image that has this size. */
export function writeBlock(
  fd: number,
  index: number,
  block: Block,
  size: number,
): void {
  const { pwrite } = contentFunctions();
  const length = Math.min(BLOCK, size - index * BLOCK);
  for (let done = 0; done < length;) {
    const part = done === 0 ? block : block.subarray(done);
    const offset = BigInt(index * BLOCK + done);
    done += retried(
      "pwrite",
      () => pwrite(fd, part, BigInt(length - done), offset),
    );
  }
}

const O_RDONLY = 0;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const O_NOFOLLOW = 0o400000;
const ALL_MODE_BITS = 0o7777;
const OWNER_READS_AND_WRITES = 0o600;

/** Opens the file of a descriptor again, for writing if that is permitted. */
export function reopen(fd: number): number {
  const path = pathOfDescriptor(fd);
  return openName(`/proc/self/fd/${fd}`, O_CLOEXEC, path, [O_RDWR, O_RDONLY]);
}

/** Opens a file by its path, which must not be a link. */
export function openDescriptor(path: string): number {
  return openName(path, O_CLOEXEC | O_NOFOLLOW, path, [O_RDWR, O_RDONLY]);
}

/** Opens a file to read it. The path may not be a link. */
export function openToRead(path: string): number {
  return openName(path, O_CLOEXEC | O_NOFOLLOW, path, [O_RDONLY]);
}

/** Opens a name of the file at `path` in the first of the modes that is possible. */
function openName(
  name: string,
  flags: number,
  path: string | null,
  modes: readonly number[],
): number {
  const { open } = fileFunctions();
  const attempt = (mode: number) => open(nameOf(name), mode | flags);
  for (const mode of modes) {
    let fd = attempt(mode);
    if (fd < 0 && path !== null && lastErrno() === errnoOf("EACCES")) {
      fd = withPermission(path, () => attempt(mode));
    }
    if (fd >= 0) return fd;
  }
  throw new Pmem2Error(-lastErrno(), "open", name);
}

/**
 * Opens a file whose permissions do not allow it, although it belongs to the user. A
 * program may make a file that nobody can write to, and a power cut must still be able
 * to take stores back.
 */
function withPermission(path: string, open: () => number): number {
  const status = statusOfPath(path);
  if (status === null) return -1;
  const mode = status.mode & ALL_MODE_BITS;
  try {
    Deno.chmodSync(path, mode | OWNER_READS_AND_WRITES);
  } catch {
    return -1;
  }
  try {
    return open();
  } finally {
    Deno.chmodSync(path, mode);
  }
}

/** Sets the size of a file. */
export function truncate(fd: number, size: number): void {
  const { ftruncate } = contentFunctions();
  retried("ftruncate", () => BigInt(ftruncate(fd, BigInt(size))));
}

export function closeDescriptor(fd: number): void {
  fileFunctions().close(fd);
}

const nameBuffer = new Uint8Array(new ArrayBuffer(4096));

/** Returns the path of an open file, without links. */
export function pathOfDescriptor(fd: number): string | null {
  const { readlink } = contentFunctions();
  const size = BigInt(nameBuffer.length);
  const name = nameOf(`/proc/self/fd/${fd}`);
  const length = Number(readlink(name, nameBuffer, size));
  if (length < 0) throw new Pmem2Error(-lastErrno(), "readlink");
  return fromCString(nameBuffer.slice(0, length));
}

/** What statx(2) tells about a file. */
export interface FileStatus {
  /** Identifies the file, whatever its names are. */
  readonly key: string;
  readonly size: number;
  readonly links: number;
  readonly mode: number;
  /** When the file was changed last, in nanoseconds. */
  readonly changed: bigint;
  /** When its contents were changed last, in nanoseconds. */
  readonly modified: bigint;
}

const statxBuffer = new DataView(new ArrayBuffer(256));
let statxAddress = 0n;
const AT_FDCWD = -100;

/** Returns the status of an open file. */
export function statusOfDescriptor(fd: number): FileStatus {
  const status = statusOf(fd, emptyName());
  if (status === null) throw new Pmem2Error(-lastErrno(), "statx");
  return status;
}

/** Returns the status of a file or link by its path, or null if there is none. */
export function statusOfPath(path: string): FileStatus | null {
  return statusOf(AT_FDCWD, nameOf(path));
}

function statusOf(fd: number, name: bigint): FileStatus | null {
  const AT_EMPTY_PATH = 0x1000;
  const AT_SYMLINK_NOFOLLOW = 0x100;
  const STATX_BASIC_STATS = 0x7ff;
  const { statx } = fileFunctions();
  statxAddress ||= addressOf(statxBuffer);
  const flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
  if (statx(fd, name, flags, STATX_BASIC_STATS, statxAddress) !== 0) {
    return null;
  }
  // struct statx: __u32 stx_nlink at 16, __u16 stx_mode at 28, __u64 stx_ino at
  // 32, __u64 stx_size at 40, stx_ctime at 96, stx_mtime at 112, __u32 stx_dev_major and _minor at
  // 136.
  const view = statxBuffer;
  const nanoseconds = (at: number) =>
    view.getBigInt64(at, true) * 1_000_000_000n +
    BigInt(view.getUint32(at + 8, true));
  return {
    key: `${view.getUint32(136, true)}:${view.getUint32(140, true)}:${
      view.getBigUint64(32, true)
    }`,
    size: Number(view.getBigUint64(40, true)),
    links: view.getUint32(16, true),
    mode: view.getUint16(28, true),
    changed: nanoseconds(96),
    modified: nanoseconds(112),
  };
}
