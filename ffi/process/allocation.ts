/**
 * Allocates blocks for files, so that stores to their maps cannot run out of disk space.
 *
 * SAFETY: nothing here removes a byte that a file has, or overwrites a byte that another
 * process may have written. It truncates only blocks after the end of a file, while
 * nobody else has the file open, and it writes only at the end.
 *
 * @module
 */

import {
  ArrayBuffer,
  bareArray,
  BigInt,
  BigUint64Array,
  DataView,
  indexIn,
  Math,
  Number,
  Uint8Array,
} from "../input/intrinsics.ts";
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

/** The errors of a file system or a kernel that cannot allocate blocks. */
const UNSUPPORTED = (["EOPNOTSUPP", "ENOSYS", "EINVAL"] as const).map(errnoOf);

/** The errors for when there is no room. */
const NO_ROOM = (["ENOSPC", "EDQUOT", "EFBIG", "EIO"] as const).map(errnoOf);

const SEEK_SET = 0;
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** A part of a file that has no blocks. */
interface Hole {
  readonly from: number;
  readonly to: number;
}

/**
 * Grows a file to a size, and allocates its blocks up to that size. If this fails on a
 * file system that can allocate blocks, the file keeps its size.
 *
 * @param fd A descriptor of the file that nobody else has.
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
    if (error !== 0 && indexIn(UNSUPPORTED, error) === -1) refuse(error);
    return;
  }
  checkLimit(path, size);
  const { blocks } = info;
  checkRoom(fd, path, size - (blocks ?? 0) * 512);
  // The blocks are allocated first. So a file that cannot get them keeps its size, and
  // other processes may go on appending to it.
  const listed = device && blocks !== 0;
  let error = allocateHoles(fd, 0, size, FALLOC_FL_KEEP_SIZE, listed, true) ||
    allocate(fd, [{ from: size - 1, to: size }], 0);
  if (error === 0) return;
  if (indexIn(UNSUPPORTED, error) !== -1) {
    // NFS can allocate blocks, but not after the end of the file.
    error = allocate(fd, [{ from: info.size, to: size }], 0);
    if (error === 0) return;
    if (indexIn(UNSUPPORTED, error) !== -1) {
      return appendZeros(fd, path, size);
    }
  }
  giveBack(fd);
  refuse(error);
}

/**
 * Allocates the missing blocks of a range within a file.
 *
 * @param fd A descriptor of the file, which others may have as well.
 * @returns Whether all of the range has blocks, as far as the file system tells.
 */
export function allocateRange(
  fd: number,
  path: string | null,
  from: number,
  to: number,
): boolean {
  const error = allocateHoles(fd, from, to, 0, true, false);
  // A device has no blocks to allocate.
  if (error === ENODEV) return true;
  checkLimit(path, to);
  if (indexIn(NO_ROOM, error) !== -1) {
    throw new Pmem2Error(-error, "fallocate", `to ${to} bytes`, path);
  }
  // Any other error is left to the write that follows.
  return indexIn(UNSUPPORTED, error) === -1;
}

/**
 * Allocates the missing blocks of a range.
 *
 * @param listed Whether the file system can list its blocks quickly.
 * @param own Whether the position of the descriptor may be changed.
 * @returns The number of an error, or 0.
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
  // Some file systems need room even for blocks that are allocated already.
  holes = holesOf(fd, from, to) ?? (own ? seekHoles(fd, from, to) : null);
  return holes === null ? error : allocate(fd, holes, mode);
}

/** Whether the file is on a real device: a file system without one makes up a number. */
function hasDevice({ dev }: Deno.FileInfo): boolean {
  // The major number is in bits 8 to 19.
  return (dev / 256 & 0xfff) !== 0;
}

const FALLOC_FL_KEEP_SIZE = 1;

/** Calls fallocate(2) for each hole. Returns the number of an error, or 0. */
function allocate(fd: number, holes: readonly Hole[], mode: number): number {
  const { fallocate } = allocationFunctions();
  for (let i = 0; i < holes.length; i++) {
    const { from, to } = holes[i]!;
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
const EXTENTS = 1024;
let fiemap: DataView | null = null;
let fiemapAddress = 0n;
const FS_IOC_FIEMAP = 0xc020660bn;
const FIEMAP_EXTENT_LAST = 0x1;
const FIEMAP_EXTENT_DATA_INLINE = 0x200;

/**
 * Lists the parts of a range that have no blocks, not even unwritten ones, with FIEMAP.
 * Returns null if the file system does not support that.
 */
function holesOf(fd: number, from: number, to: number): Hole[] | null {
  const { ioctl } = allocationFunctions();
  if (fiemap === null) {
    const list = new DataView(new ArrayBuffer(HEADER + EXTENTS * EXTENT));
    fiemapAddress = addressOf(list);
    fiemap = list;
  }
  const holes = bareArray<Hole>();
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
      // Data inside of the inode gets blocks when it is stored to.
      if ((flags & FIEMAP_EXTENT_DATA_INLINE) !== 0) continue;
      if (start > at) {
        holes[holes.length] = { from: at, to: Math.min(start, to) };
      }
      at = Math.max(at, Math.min(start + length, to));
    }
    if (last) break;
  }
  if (at < to) holes[holes.length] = { from: at, to };
  return holes;
}

/** Lists holes with lseek(2), which takes unwritten blocks for holes; or returns null. */
function seekHoles(fd: number, from: number, to: number): Hole[] | null {
  const { lseek } = fileFunctions();
  const seek = (at: number, what: number) =>
    Number(lseek(fd, BigInt(at), what));
  const holes = bareArray<Hole>();
  let at = from;
  while (at < to) {
    const hole = seek(at, SEEK_HOLE);
    if (hole < 0) return null;
    if (hole >= to) break;
    const data = seek(hole, SEEK_DATA);
    at = data < 0 ? to : Math.min(data, to);
    holes[holes.length] = { from: hole, to: at };
  }
  seek(0, SEEK_SET);
  return holes;
}

// Room

const statvfsBuffer = new BigUint64Array(new ArrayBuffer(256));

/** Refuses a size that the disk cannot hold. Trying it would fill the disk for a moment. */
function checkRoom(fd: number, path: string, missing: number): void {
  const { fstatvfs } = allocationFunctions();
  if (fstatvfs(fd, statvfsBuffer) !== 0) return;
  // struct statvfs: f_frsize is the second word, f_blocks the third, f_bavail the
  // fifth. Some file systems report no blocks at all.
  if (statvfsBuffer[2] === 0n) return;
  const room = Number(statvfsBuffer[1]! * statvfsBuffer[4]!);
  if (missing <= room) return;
  const message = `${missing} more bytes are needed, and ${room} are available`;
  throw new Pmem2Error(-ENOSPC, "fallocate", message, path);
}

const limit = new BigUint64Array(new ArrayBuffer(128));

/** Refuses a size past the limit of the process: the system would end it with a signal. */
function checkLimit(path: string | null, size: number): void {
  const RLIMIT_FSIZE = 1;
  if (allocationFunctions().getrlimit(RLIMIT_FSIZE, limit) !== 0) return;
  if (limit[0]! >= BigInt(size)) return;
  const message = `the process may write files of up to ${
    limit[0]
  } bytes only (RLIMIT_FSIZE)`;
  throw new Pmem2Error(-EFBIG, "fallocate", message, path);
}

/**
 * Frees the blocks after the end of a file that a failed attempt has left, if nobody else
 * has the file open. Then the system grants a write lease, and whoever opens the file
 * has to wait. Otherwise the blocks stay.
 */
function giveBack(fd: number): void {
  const F_SETSIG = 10;
  const F_SETLEASE = 1024;
  const F_WRLCK = 1;
  const F_UNLCK = 2;
  const SIGURG = 23;
  const { fcntl, lseek } = fileFunctions();
  const { ftruncate } = growthFunctions();
  // When someone opens the file, the system sends a signal, and the default signal ends
  // the process.
  if (fcntl(fd, F_SETSIG, SIGURG) !== 0) return;
  if (fcntl(fd, F_SETLEASE, F_WRLCK) === 0) {
    ftruncate(fd, lseek(fd, 0n, SEEK_END));
    fcntl(fd, F_SETLEASE, F_UNLCK);
    lseek(fd, 0n, SEEK_SET);
  }
  fcntl(fd, F_SETSIG, 0);
}

/** Bytes that are appended at once. */
const ZEROS = 256 * 1024;

/**
 * Grows a file on a file system that cannot allocate blocks, by appending zeros at the
 * current end. If this fails, the zeros stay.
 */
function appendZeros(fd: number, path: string, size: number): void {
  const F_SETFL = 4;
  const O_APPEND = 0o2000;
  const { fcntl, lseek } = fileFunctions();
  const { write } = growthFunctions();
  const zeros = new Uint8Array(new ArrayBuffer(ZEROS));
  fcntl(fd, F_SETFL, O_APPEND);
  try {
    for (;;) {
      const missing = BigInt(size) - lseek(fd, 0n, SEEK_END);
      if (missing <= 0n) return;
      const chunk = BigInt(ZEROS);
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
