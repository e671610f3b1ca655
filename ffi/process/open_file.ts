/**
 * Opens files the way Deno does, and gets the descriptor that Deno keeps to
 * itself.
 *
 * @module
 */

import { addressOf } from "../c/copy.ts";
import { lastErrno, Pmem2Error } from "../c/error.ts";
import { errnoOf, numberOf } from "../c/error_code.ts";
import { allocationFunctions, fileFunctions } from "../c/functions.ts";
import { emptyName, nameOf } from "../c/path_name.ts";
import type { FileSettings } from "../input/open_options.ts";
import { requireStack } from "./stack.ts";
import { absolutePath } from "./working_directory.ts";

/**
 * What is open and nobody's yet. A call that runs out of stack may not get to
 * close it, but then the next one does. It's noted and forgotten by assignments
 * alone, right behind the call that opens or closes: so none is closed twice.
 */
export const pending: { file: Deno.FsFile | null; fd: number } = {
  file: null,
  fd: -1,
};

/** Closes what is pending. */
export function closePending(): void {
  if (pending.fd !== -1) {
    fileFunctions().close(pending.fd);
    pending.fd = -1;
  }
  if (pending.file !== null) {
    pending.file.close();
    pending.file = null;
  }
}

/** An open file. */
export interface OpenedFile {
  /** It is {@linkcode pending}, until the caller takes it over. */
  readonly fd: number;
  /** Takes the file away again, if this call has made it. */
  discard(): void;
}

/**
 * Opens a file. Deno opens it first, so that its permissions, prompts and
 * errors are those of `Deno.open`; then C does, for the descriptor. If that
 * throws, the caller closes what is {@linkcode pending}.
 */
export function openFile(given: string, settings: FileSettings): OpenedFile {
  requireStack();
  closePending();
  const path = absolutePath(given);
  const type = typeOf(path);
  if (
    type !== undefined && type !== S_IFREG && type !== S_IFCHR &&
    !settings.createNew
  ) {
    refuseType(path);
  }
  const created = type === undefined ? tryToCreate(path, settings) : undefined;
  const { write, create, createNew, mode } = settings;
  const file = created ??
    Deno.openSync(path, { read: true, write, create, createNew, mode });
  pending.file = file;
  try {
    const made = created === undefined ? null : identityOf(created, path);
    const discard = () => {
      if (made !== null) removeSame(path, made);
    };
    try {
      return { fd: descriptorOf(path, file, settings), discard };
    } catch (error) {
      discard();
      throw error;
    }
  } finally {
    file.close();
    pending.file = null;
  }
}

/** Which file was made. */
function identityOf(file: Deno.FsFile, path: string): Identity {
  try {
    const { dev, ino } = file.statSync();
    return { device: dev, inode: ino! };
  } catch {
    // Deno makes it behind a link that leads out of what is granted, and then
    // doesn't tell.
    return identify(AT_FDCWD, nameOf(path));
  }
}

/** Removes a file, unless the name has come to mean another. */
function removeSame(path: string, made: Identity): void {
  try {
    const { device, inode } = identify(AT_FDCWD, nameOf(path));
    if (device === made.device && inode === made.inode) Deno.removeSync(path);
  } catch {
    // What went wrong before is what the caller is to know.
  }
}

/** The file, if it was wanted, did not exist, and is of this call's making. */
function tryToCreate(
  path: string,
  { create, createNew, write, mode }: FileSettings,
): Deno.FsFile | undefined {
  if (!create && !createNew) return undefined;
  try {
    return Deno.openSync(path, { read: true, write, createNew: true, mode });
  } catch (error) {
    // Somebody else has just made it; or it's a link to where nothing is.
    if (createNew || !(error instanceof Deno.errors.AlreadyExists)) throw error;
    return undefined;
  }
}

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;

/**
 * The type of what has the name, if anything has. Opening a FIFO would wait for
 * its other end, so this comes first; it tells the caller nothing that Deno's
 * permissions don't cover, since Deno is asked before anything is made of it.
 */
function typeOf(path: string): number | undefined {
  const STATX_TYPE = 0x1;
  const { statx } = fileFunctions();
  const name = nameOf(path);
  if (statx(AT_FDCWD, name, 0, STATX_TYPE, statxAddress()) !== 0) {
    return undefined;
  }
  // struct statx: __u16 stx_mode at 28.
  return statxBuffer.getUint16(28, true) & S_IFMT;
}

/** Refuses what can't be a source, after Deno's permissions were asked. */
function refuseType(path: string): void {
  const info = Deno.statSync(path);
  if (info.isFile || info.isCharDevice) return;
  throw new Pmem2Error(
    numberOf("PMEM2_E_INVALID_FILE_TYPE"),
    "pmem2_source_from_fd",
    `a source is a regular file or a device DAX: received ${
      nameType(info)
    }, ${path}`,
  );
}

function nameType(info: Deno.FileInfo): string {
  if (info.isDirectory) return "a directory";
  if (info.isFifo) return "a FIFO";
  if (info.isSocket) return "a socket";
  return "a block device";
}

const O_RDONLY = 0;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
/** Should the name have become a FIFO's meanwhile, nobody waits for it. */
const O_NONBLOCK = 0o4000;

function descriptorOf(
  path: string,
  file: Deno.FsFile,
  { write, size }: FileSettings,
): number {
  // Not for the numbers alone: Deno's open follows a link that leads out of what
  // is granted, and this is where that is refused.
  const opened = file.statSync();
  const flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
  const fd = fileFunctions().open(nameOf(path), flags);
  if (fd < 0) throw new Pmem2Error(-lastErrno(), "open", path);
  pending.fd = fd;
  checkSame(path, opened, fd);
  if (size !== undefined && opened.isFile) grow(file, fd, size);
  return fd;
}

/**
 * The name may have come to mean another file since Deno was asked for its
 * permissions.
 */
function checkSame(path: string, opened: Deno.FileInfo, fd: number): void {
  const { device, inode } = identify(fd);
  if (device === opened.dev && inode === opened.ino) return;
  throw new Pmem2Error(
    -errnoOf("ESTALE"),
    "open",
    `${path} was replaced by another file while it was being opened`,
  );
}

const statxBuffer = new DataView(new ArrayBuffer(256));
let statxPointer = 0n;

/** Its address, as to pass an array takes Deno longer. */
function statxAddress(): bigint {
  return statxPointer ||= addressOf(statxBuffer);
}

/** Which file it is, as Deno tells it. */
interface Identity {
  readonly device: number;
  readonly inode: number;
}

const AT_FDCWD = -100;
/** Tells which file an open descriptor has, or a name, which is not followed. */
function identify(fd: number, name = emptyName()): Identity {
  const AT_EMPTY_PATH = 0x1000;
  const AT_SYMLINK_NOFOLLOW = 0x100;
  const STATX_INO = 0x100;
  const { statx } = fileFunctions();
  const flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
  if (statx(fd, name, flags, STATX_INO, statxAddress()) !== 0) {
    throw new Pmem2Error(-lastErrno(), "statx");
  }
  // struct statx: __u64 stx_ino at 32, __u32 stx_dev_major and _minor at 136.
  const major = statxBuffer.getUint32(136, true);
  const minor = statxBuffer.getUint32(140, true);
  return {
    device: (minor & 0xff) + (major & 0xfff) * 2 ** 8 +
      (minor >>> 8) * 2 ** 20 + (major >>> 12) * 2 ** 44,
    inode: Number(statxBuffer.getBigUint64(32, true)),
  };
}

/**
 * Allocates the blocks of the file up to `size`. If that fails its size is as
 * before, since the blocks come first: somebody else may be appending to it.
 */
function grow(file: Deno.FsFile, fd: number, size: number): void {
  if (size === 0) return;
  const refused = (error: number) =>
    new Pmem2Error(-error, "posix_fallocate", `to ${size} bytes`);
  if (size - file.statSync().blocks! * 512 > freeBytes(fd)) {
    // Or else the whole disk would be full for a moment.
    throw refused(errnoOf("ENOSPC"));
  }
  const { fallocate, posix_fallocate } = allocationFunctions();
  const length = BigInt(size);
  const [EINTR, EOPNOTSUPP] = [errnoOf("EINTR"), errnoOf("EOPNOTSUPP")];
  const retried = (allocate: () => number) => {
    for (;;) {
      const error = allocate();
      if (error !== EINTR) return error;
    }
  };
  const FALLOC_FL_KEEP_SIZE = 1;
  let error = retried(() =>
    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0n, length) === 0 ? 0 : lastErrno()
  );
  if (error === 0 || error === EOPNOTSUPP) {
    error = retried(() => posix_fallocate(fd, 0n, length));
  }
  if (error === 0) return;
  // The blocks that were found before there were no more stay behind the end.
  file.truncateSync(file.statSync().size);
  throw refused(error);
}

const statvfsBuffer = new BigUint64Array(new ArrayBuffer(256));

/** What the file system of an open file has left. */
function freeBytes(fd: number): number {
  if (allocationFunctions().fstatvfs(fd, statvfsBuffer) !== 0) return Infinity;
  // struct statvfs: f_frsize is the second word, f_bfree the fourth.
  return Number(statvfsBuffer[1]! * statvfsBuffer[3]!);
}
