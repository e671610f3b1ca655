/**
 * Opens files the way Deno does, and finds the descriptor, which Deno does not tell.
 *
 * @module
 */

import { BigInt, Number } from "../input/intrinsics.ts";
import { addressOf } from "../c/copy.ts";
import { lastErrno, Pmem2Error } from "../c/error.ts";
import { errnoOf, numberOf } from "../c/error_code.ts";
import { fileFunctions } from "../c/functions.ts";
import { emptyName, nameOf } from "../c/path_name.ts";
import type { FileSettings } from "../input/open_options.ts";
import { growFile } from "./allocation.ts";
import { requireStack } from "./stack.ts";
import { absolutePath, realPath } from "./working_directory.ts";

/** Taken at import, before anyone could replace them. */
const { floor, random } = Math;
const { isSafeInteger } = Number;

/**
 * What is open and has no owner yet. The owner, which closes it later, claims it. What
 * is still here at the next opening is closed then, since a call that runs out of stack
 * may fail to close it.
 *
 * SAFETY: assignments alone record and forget it, directly after the call that opens or
 * closes. So no descriptor is closed twice.
 */
class Opening {
  file: Deno.FsFile | null = null;
  fd = -1;
  source: { close(): void } | null = null;

  /** Records that a source owns the descriptor now. */
  passTo(source: { close(): void }): void {
    this.source = source;
    this.fd = -1;
  }

  /** Leaves the source to the caller, which closes it. */
  claim(): void {
    this.source = null;
  }

  /** Closes what was not claimed. */
  discard(): void {
    if (this.source !== null) {
      this.source.close();
      this.source = null;
    }
    if (this.fd !== -1) {
      fileFunctions().close(this.fd);
      this.fd = -1;
    }
    if (this.file !== null) {
      this.file.close();
      this.file = null;
    }
  }
}

/** The one slot for what is being opened. */
export const opening = new Opening();

/**
 * Opens a file, and leaves its descriptor in {@linkcode opening}. Deno opens the file, so
 * that permissions, prompts and errors are those of `Deno.open`. If this throws, the
 * caller must discard what is in the slot.
 */
export function openFile(given: string, settings: FileSettings): number {
  requireStack();
  opening.discard();
  const path = absolutePath(given);
  const { write, create, createNew, size, mode } = settings;
  const type = typeOf(path);
  if (type === UNKNOWN || (type !== null && !createNew && mayWait(type))) {
    refuseType(path, given);
  }
  if (type === null && (create || createNew)) askForTarget(path);
  const file = Deno.openSync(path, {
    read: true,
    write,
    create,
    createNew,
    mode,
  });
  opening.file = file;
  // SAFETY: Deno's open follows a link that leads out of what is granted. This call is
  // where Deno refuses such a file.
  const info = file.statSync();
  const fd = (info.isFile ? takeDescriptor(file, info, given) : null) ??
    openAgain(path, info, write, given);
  file.close();
  opening.file = null;
  if (size !== undefined && info.isFile) growFile(fd, given, info, size);
  return fd;
}

// The type of a file

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;

const UNKNOWN = 0;

/**
 * Returns the type of the file at a path, or null if there is none or it cannot be
 * reached. The caller learns nothing that Deno's permissions do not cover, since Deno
 * checks them before the type has any effect.
 */
function typeOf(path: string): number | null {
  const STATX_TYPE = 0x1;
  const { statx } = fileFunctions();
  const name = nameOf(path);
  if (statx(AT_FDCWD, name, 0, STATX_TYPE, statxAddress()) === 0) {
    // struct statx: __u16 stx_mode at 28.
    return statxBuffer.getUint16(28, true) & S_IFMT;
  }
  return isRefused(lastErrno()) ? UNKNOWN : null;
}

/** Whether opening the file may wait, for example for the other end of a FIFO. */
function mayWait(type: number): boolean {
  return type !== S_IFREG && type !== S_IFCHR;
}

/** Whether the sandbox of a container has refused a system call that it does not know. */
function isRefused(errno: number): boolean {
  return errno === errnoOf("EPERM") || errno === errnoOf("ENOSYS");
}

/**
 * Asks Deno for permission for the target of a link before a file is created there.
 * `Deno.open` would create the file first, and refuse it afterwards.
 */
function askForTarget(path: string): void {
  const isGranted = (name: "read" | "write") =>
    Deno.permissions.querySync({ name }).state === "granted";
  if (isGranted("read") && isGranted("write")) return;
  const end = path.lastIndexOf("/");
  const folder = realPath(path.slice(0, end + 1));
  if (folder === null || folder === path.slice(0, end)) return;
  try {
    const target = `${folder}/${path.slice(end + 1)}`;
    Deno.openSync(target, { read: true, write: true }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Refuses a file that cannot be a source, after Deno has checked its permissions. */
function refuseType(path: string, given: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    // It will be created, or Deno's open throws the same error.
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (info.isFile || info.isCharDevice) return;
  throw new Pmem2Error(
    numberOf("PMEM2_E_INVALID_FILE_TYPE"),
    "pmem2_source_from_fd",
    `a source must be a regular file or a device DAX: received ${
      nameType(info)
    }`,
    given,
  );
}

function nameType(info: Deno.FileInfo): string {
  if (info.isDirectory) return "a directory";
  if (info.isFifo) return "a FIFO";
  if (info.isSocket) return "a socket";
  return "a block device";
}

// The descriptor of a file

/** The number of Deno's descriptor the last time. */
let guess = 0;

/** More descriptors than Linux allows a process by default. */
const MANY = 2 ** 20;

/**
 * Duplicates Deno's own descriptor of a regular file. Deno does not tell its number, but
 * it can move the position of the file, and that shows at one descriptor only.
 *
 * SAFETY: the duplicate is of the file that Deno has checked permissions for, whatever
 * its path has come to mean, and however the file system numbers its files.
 *
 * @returns The duplicate, or null if the position cannot be moved.
 */
function takeDescriptor(
  file: Deno.FsFile,
  info: Deno.FileInfo,
  given: string,
): number | null {
  const { lseek, fcntl, close } = fileFunctions();
  // Not so large that a file system would refuse it.
  const mark = 1 + floor(random() * (2 ** 31 - 2));
  if (!moveTo(file, mark)) return null;
  const position = BigInt(mark);
  for (let fd = guess, next = 0; fd < MANY; fd = next++) {
    // Do not wait for another file, whose position a pending operation may hold.
    if (fd !== guess && isSame(fd, info) === false) continue;
    if (lseek(fd, 0n, SEEK_CUR) !== position) continue;
    const taken = opening.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (taken < 0) throw new Pmem2Error(-lastErrno(), "fcntl", "", given);
    file.seekSync(0, Deno.SeekMode.Start);
    if (lseek(taken, 0n, SEEK_CUR) === 0n) {
      guess = fd;
      return taken;
    }
    opening.fd = -1;
    close(taken);
    file.seekSync(mark, Deno.SeekMode.Start);
  }
  return null;
}

const SEEK_CUR = 1;
const F_DUPFD_CLOEXEC = 1030;

function moveTo(file: Deno.FsFile, position: number): boolean {
  try {
    return file.seekSync(position, Deno.SeekMode.Start) === position;
  } catch {
    return false;
  }
}

const O_RDONLY = 0;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
/** If the path has come to name a FIFO, opening it does not wait. */
const O_NONBLOCK = 0o4000;

/** Opens a device again, which has no position, and checks that it is the same. */
function openAgain(
  path: string,
  info: Deno.FileInfo,
  write: boolean,
  given: string,
): number {
  const flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
  const fd = fileFunctions().open(nameOf(path), flags);
  if (fd < 0) throw new Pmem2Error(-lastErrno(), "open", "", given);
  opening.fd = fd;
  if (isSafeInteger(info.ino) && isSame(fd, info)) return fd;
  throw new Pmem2Error(
    -errnoOf("ESTALE"),
    "open",
    "it was replaced by another file while it was being opened",
    given,
  );
}

/**
 * Whether a descriptor is one of a file, as far as Deno's numbers tell, which have 53
 * bits. Returns `undefined` if the system does not tell.
 */
function isSame(fd: number, info: Deno.FileInfo): boolean | undefined {
  if (!identify(fd)) return isRefused(lastErrno()) ? undefined : false;
  const major = statxBuffer.getUint32(MAJOR, true);
  const minor = statxBuffer.getUint32(MINOR, true);
  const device = (minor & 0xff) + (major & 0xfff) * 2 ** 8 +
    (minor >>> 8) * 2 ** 20 + (major >>> 12) * 2 ** 44;
  const inode = Number(statxBuffer.getBigUint64(INODE, true));
  return device === info.dev && inode === info.ino;
}

/** Returns a string that identifies the file of a descriptor. */
export function identityOf(fd: number): string {
  if (!identify(fd)) return "";
  const major = statxBuffer.getUint32(MAJOR, true);
  const minor = statxBuffer.getUint32(MINOR, true);
  return `${major}:${minor} ${statxBuffer.getBigUint64(INODE, true)}`;
}

// struct statx: __u64 stx_ino, __u32 stx_dev_major, stx_dev_minor.
const [INODE, MAJOR, MINOR] = [32, 136, 140] as const;

/** Has the kernel write the identity of a descriptor's file to the buffer. */
function identify(fd: number): boolean {
  const AT_EMPTY_PATH = 0x1000;
  const AT_STATX_DONT_SYNC = 0x4000;
  const STATX_INO = 0x100;
  const { statx } = fileFunctions();
  const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  return statx(fd, emptyName(), flags, STATX_INO, statxAddress()) === 0;
}

const AT_FDCWD = -100;
const statxBuffer = new DataView(new ArrayBuffer(256));
let statxPointer = 0n;

/** Returns its address. PERF: Deno takes longer to pass an array. */
function statxAddress(): bigint {
  return statxPointer ||= addressOf(statxBuffer);
}
