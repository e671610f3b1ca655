/**
 * Blocks for files, so that a store to a map of one can't run out of disk.
 *
 * Nothing here takes a byte away that a file has, nor writes one that another
 * process may have written: there is no truncating but of what is behind the
 * end while nobody else has the file open, and no writing but at the end.
 *
 * @module
 */

import { BigInt, Math, Number } from "../input/intrinsics.ts";
import { addressOf } from "../c/copy.ts";
import { lastErrno, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import {
  allocationFunctions,
  fileFunctions,
  growthFunctions,
} from "../c/functions.ts";

const EFBIG = errnoOf("EFBIG");
const EINTR = errnoOf("EINTR");
const ENODEV = errnoOf("ENODEV");
const ENOSPC = errnoOf("ENOSPC");

/** The errors of a file system, or a kernel, that can't allocate. */
const UNSUPPORTED = (["EOPNOTSUPP", "ENOSYS", "EINVAL"] as const).map(errnoOf);

/** The errors where there is no room. */
const NO_ROOM = (["ENOSPC", "EDQUOT", "EFBIG", "EIO"] as const).map(errnoOf);

/** A part of a file that has no blocks. */
interface Hole {
  readonly from: number;
  readonly to: number;
}

/**
 * Grows a file to a size, and allocates its blocks up to there. If that fails its
 * size is as before, where the file system can allocate.
 *
 * @param fd Its descriptor, which nobody else has.
 */
export function growFile(
  fd: number,
  path: string,
  info: Deno.FileInfo,
  size: number,
): void {
  const device = hasDevice(info);
  const refuse = (error: number) => {
    throw new Pmem2Error(-error, "fallocate", `to ${size} bytes`, path);
  };
  if (info.size >= size) {
    const error = allocateHoles(fd, 0, size, 0, device, true);
    if (error !== 0 && !UNSUPPORTED.includes(error)) refuse(error);
    return;
  }
  checkLimit(path, size);
  const { blocks } = info;
  checkRoom(fd, path, size - (blocks ?? 0) * 512);
  // The blocks come first, so that a file that can't have them stays as long as
  // it is: others may append to it.
  const listed = device && blocks !== 0;
  let error = allocateHoles(fd, 0, size, FALLOC_FL_KEEP_SIZE, listed, true) ||
    allocate(fd, [{ from: size - 1, to: size }], 0);
  if (error === 0) return;
  if (UNSUPPORTED.includes(error)) {
    // NFS can allocate, but not what is behind the end and stays there.
    error = allocate(fd, [{ from: info.size, to: size }], 0);
    if (error === 0) return;
    if (UNSUPPORTED.includes(error)) return appendZeros(fd, path, size);
  }
  giveBack(fd);
  refuse(error);
}

/**
 * Allocates what has no blocks of a range that is within a file.
 *
 * @param fd Its descriptor, which others may have, too.
 * @returns Whether all of the range has blocks, as far as the file system tells.
 */
export function allocateRange(
  fd: number,
  path: string | null,
  from: number,
  to: number,
): boolean {
  const error = allocateHoles(fd, from, to, 0, true, false);
  // A device has no blocks to be allocated.
  if (error === ENODEV) return true;
  checkLimit(path, to);
  if (NO_ROOM.includes(error)) {
    throw new Pmem2Error(-error, "fallocate", `to ${to} bytes`, path);
  }
  // What is no matter of room is left to those who write.
  return !UNSUPPORTED.includes(error);
}

/**
 * Allocates what has no blocks of a range.
 *
 * @param listed Whether the file system lists what there is without much ado.
 * @param own Whether the descriptor's position may be moved.
 * @returns An error's number, or 0.
 */
function allocateHoles(
  fd: number,
  from: number,
  to: number,
  mode: number,
  listed: boolean,
  own: boolean,
): number {
  if (from === to) return 0;
  let holes = listed ? holesOf(fd, from, to) : null;
  const error = allocate(fd, holes ?? [{ from, to }], mode);
  if (error !== ENOSPC || holes !== null) return error;
  // There are file systems that want the room once more for what is there.
  holes = holesOf(fd, from, to) ?? (own ? seekHoles(fd, from, to) : null);
  return holes === null ? error : allocate(fd, holes, mode);
}

/** Whether the device's number is a disk's, and not made up by a file system. */
function hasDevice({ dev }: Deno.FileInfo): boolean {
  // major: bits 8 to 19; there are no others yet.
  return (dev / 256 & 0xfff) !== 0;
}

const FALLOC_FL_KEEP_SIZE = 1;

/** fallocate(2) for each; what it fails with, or 0. */
function allocate(fd: number, holes: readonly Hole[], mode: number): number {
  const { fallocate } = allocationFunctions();
  for (const { from, to } of holes) {
    while (fallocate(fd, mode, BigInt(from), BigInt(to - from)) !== 0) {
      const error = lastErrno();
      if (error !== EINTR) return error;
    }
  }
  return 0;
}

// Holes

// struct fiemap: __u64 fm_start, fm_length; __u32 fm_flags, fm_mapped_extents,
// fm_extent_count, fm_reserved; then struct fiemap_extent: __u64 fe_logical,
// fe_physical, fe_length, 2 reserved; __u32 fe_flags, 3 reserved.
const HEADER = 32;
const EXTENT = 56;
const EXTENTS = 72;
const fiemap = new DataView(new ArrayBuffer(HEADER + EXTENTS * EXTENT));
let fiemapAddress = 0n;
const FS_IOC_FIEMAP = 0xc020660bn;
const FIEMAP_EXTENT_LAST = 0x1;
const FIEMAP_EXTENT_DATA_INLINE = 0x200;

/**
 * The parts of a range that have no blocks, also no unwritten ones: FIEMAP. Null
 * where the file system doesn't tell.
 */
function holesOf(fd: number, from: number, to: number): Hole[] | null {
  const { ioctl } = allocationFunctions();
  fiemapAddress ||= addressOf(fiemap);
  const holes: Hole[] = [];
  let at = from;
  while (at < to) {
    fiemap.setBigUint64(0, BigInt(at), true);
    fiemap.setBigUint64(8, BigInt(to - at), true);
    fiemap.setBigUint64(16, 0n, true);
    fiemap.setBigUint64(24, BigInt(EXTENTS), true);
    if (ioctl(fd, FS_IOC_FIEMAP, fiemapAddress) !== 0) return null;
    const count = fiemap.getUint32(20, true);
    let last = count === 0;
    for (let i = 0; i < count; i++) {
      const extent = HEADER + i * EXTENT;
      const start = Number(fiemap.getBigUint64(extent, true));
      const length = Number(fiemap.getBigUint64(extent + 16, true));
      const flags = fiemap.getUint32(extent + 40, true);
      last ||= (flags & FIEMAP_EXTENT_LAST) !== 0;
      // It gets blocks when it's stored to.
      if ((flags & FIEMAP_EXTENT_DATA_INLINE) !== 0) continue;
      if (start > at) holes.push({ from: at, to: Math.min(start, to) });
      at = Math.max(at, Math.min(start + length, to));
    }
    if (last) break;
  }
  if (at < to) holes.push({ from: at, to });
  return holes;
}

/** The same by lseek(2), for which unwritten blocks are holes; or null. */
function seekHoles(fd: number, from: number, to: number): Hole[] | null {
  const [SEEK_SET, SEEK_DATA, SEEK_HOLE] = [0, 3, 4];
  const { lseek } = fileFunctions();
  const seek = (at: number, what: number) =>
    Number(lseek(fd, BigInt(at), what));
  const holes: Hole[] = [];
  let at = from;
  while (at < to) {
    const hole = seek(at, SEEK_HOLE);
    if (hole < 0) return null;
    if (hole >= to) break;
    const data = seek(hole, SEEK_DATA);
    at = data < 0 ? to : Math.min(data, to);
    holes.push({ from: hole, to: at });
  }
  seek(0, SEEK_SET);
  return holes;
}

// Room

const statvfsBuffer = new BigUint64Array(new ArrayBuffer(256));

/** Refuses what the disk surely hasn't: else it would be full for a moment. */
function checkRoom(fd: number, path: string, missing: number): void {
  const { fstatvfs } = allocationFunctions();
  if (fstatvfs(fd, statvfsBuffer) !== 0) return;
  // struct statvfs: f_frsize is the second word, f_blocks the third, f_bavail the
  // fifth. There are file systems that know nothing of it.
  if (statvfsBuffer[2] === 0n) return;
  const room = Number(statvfsBuffer[1]! * statvfsBuffer[4]!);
  if (missing <= room) return;
  const message = `${missing} bytes more are wanted, and there are ${room}`;
  throw new Pmem2Error(-ENOSPC, "fallocate", message, path);
}

const limit = new BigUint64Array(new ArrayBuffer(128));

/** Past the limit of the process the system sends it a signal that ends it. */
function checkLimit(path: string | null, size: number): void {
  const RLIMIT_FSIZE = 1;
  if (allocationFunctions().getrlimit(RLIMIT_FSIZE, limit) !== 0) return;
  if (limit[0]! >= BigInt(size)) return;
  const message = `the process may write files up to ${
    limit[0]
  } bytes alone (RLIMIT_FSIZE)`;
  throw new Pmem2Error(-EFBIG, "fallocate", message, path);
}

/**
 * Gives back the blocks behind the end of a file that a failed attempt has left,
 * if nobody else has the file open: then the system grants a write lease, and
 * whoever opens it waits. Else they are left.
 */
function giveBack(fd: number): void {
  const [SEEK_SET, SEEK_END] = [0, 2];
  const [F_SETSIG, F_SETLEASE, F_WRLCK, F_UNLCK] = [10, 1024, 1, 2];
  const SIGURG = 23;
  const { fcntl, lseek } = fileFunctions();
  const { ftruncate } = growthFunctions();
  // Who opens the file has the system send a signal, by default one that ends the
  // process.
  if (fcntl(fd, F_SETSIG, SIGURG) !== 0) return;
  if (fcntl(fd, F_SETLEASE, F_WRLCK) === 0) {
    ftruncate(fd, lseek(fd, 0n, SEEK_END));
    fcntl(fd, F_SETLEASE, F_UNLCK);
    lseek(fd, 0n, SEEK_SET);
  }
  fcntl(fd, F_SETSIG, 0);
}

/**
 * Grows a file where the file system can't allocate: by zeros, each of them at
 * the end that the file has when it's written. If that fails they are left.
 */
function appendZeros(fd: number, path: string, size: number): void {
  const [SEEK_SET, SEEK_END] = [0, 2];
  const [F_SETFL, O_APPEND] = [4, 0o2000];
  const { fcntl, lseek } = fileFunctions();
  const { write } = growthFunctions();
  const zeros = new Uint8Array(new ArrayBuffer(256 * 1024));
  fcntl(fd, F_SETFL, O_APPEND);
  try {
    for (;;) {
      const missing = BigInt(size) - lseek(fd, 0n, SEEK_END);
      if (missing <= 0n) return;
      const chunk = BigInt(zeros.length);
      if (write(fd, zeros, missing < chunk ? missing : chunk) >= 0n) continue;
      const error = lastErrno();
      if (error === EINTR) continue;
      throw new Pmem2Error(-error, "write", `to ${size} bytes`, path);
    }
  } finally {
    fcntl(fd, F_SETFL, 0);
    lseek(fd, 0n, SEEK_SET);
  }
}
