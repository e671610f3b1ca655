/**
 * Opens files the way Deno does, and gets the descriptor that Deno keeps to
 * itself.
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

/** Taken at import, before anybody's code could have replaced them. */
const { floor, random } = Math;
const { isSafeInteger } = Number;

/**
 * What is open and nobody's yet. Whoever will close it claims it; what is still
 * there at the next opening is closed then, since a call that runs out of stack
 * may not get to that. It's noted and forgotten by assignments alone, right
 * behind the call that opens or closes: so none is closed twice.
 */
class Opening {
  file: Deno.FsFile | null = null;
  fd = -1;
  source: { close(): void } | null = null;

  /** A source has got the descriptor. */
  passTo(source: { close(): void }): void {
    this.source = source;
    this.fd = -1;
  }

  /** Takes the source over, to close it. */
  claim(): void {
    this.source = null;
  }

  /** Closes what nobody has claimed. */
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
 * Opens a file, and leaves its descriptor in {@linkcode opening}. Deno opens it,
 * so that its permissions, prompts and errors are those of `Deno.open`. If that
 * throws, the caller discards what is there.
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
  // Not for the numbers alone: Deno's open follows a link that leads out of what
  // is granted, and this is where that is refused.
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
 * The type of what has the name; null if nothing has, or it can't be reached.
 * It tells the caller nothing that Deno's permissions don't cover, since Deno is
 * asked before anything is made of it.
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

/** Whether opening it might wait, as for the other end of a FIFO. */
function mayWait(type: number): boolean {
  return type !== S_IFREG && type !== S_IFCHR;
}

/** Whether the sandbox of a container refuses a call that it doesn't know. */
function isRefused(errno: number): boolean {
  return errno === errnoOf("EPERM") || errno === errnoOf("ENOSYS");
}

/**
 * Deno creates a file in a folder that a link leads to, and refuses it only then
 * if that is outside of what is granted: so it's asked before.
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

/** Refuses what can't be a source, after Deno's permissions were asked. */
function refuseType(path: string, given: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    // It's created then, or Deno's open says the same.
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (info.isFile || info.isCharDevice) return;
  throw new Pmem2Error(
    numberOf("PMEM2_E_INVALID_FILE_TYPE"),
    "pmem2_source_from_fd",
    `a source is a regular file or a device DAX: received ${nameType(info)}`,
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

/** Deno's descriptor was this one the last time. */
let guess = 0;

/** More descriptors than Linux grants a process, unless it's told to. */
const MANY = 2 ** 20;

/**
 * A duplicate of Deno's own descriptor of a regular file: so it's the file that
 * Deno's permissions were asked for, whatever its name has come to mean, and
 * however the file system numbers its files. Deno doesn't tell the descriptor;
 * but it moves the file's position, and that shows at the one that it is.
 *
 * @returns Null if the position can't be moved.
 */
function takeDescriptor(
  file: Deno.FsFile,
  info: Deno.FileInfo,
  given: string,
): number | null {
  const { lseek, fcntl, close } = fileFunctions();
  // Not so far that a file system would refuse it.
  const mark = 1 + floor(random() * (2 ** 31 - 2));
  if (!moveTo(file, mark)) return null;
  const position = BigInt(mark);
  for (let fd = guess, next = 0; fd < MANY; fd = next++) {
    // Others may be at work on another file, and hold its position while they wait.
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
/** Should the name have become a FIFO's meanwhile, nobody waits for it. */
const O_NONBLOCK = 0o4000;

/** A device has no position: it's opened once more, and must be the same. */
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
 * Whether an open descriptor is of the file, as far as Deno's numbers go: they
 * have 53 bits. `undefined` where the system doesn't tell.
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

/** Which file an open descriptor is of, in words. */
export function identityOf(fd: number): string {
  if (!identify(fd)) return "";
  const major = statxBuffer.getUint32(MAJOR, true);
  const minor = statxBuffer.getUint32(MINOR, true);
  return `${major}:${minor} ${statxBuffer.getBigUint64(INODE, true)}`;
}

// struct statx: __u64 stx_ino, __u32 stx_dev_major, stx_dev_minor.
const [INODE, MAJOR, MINOR] = [32, 136, 140] as const;

/** Has the kernel write down which file an open descriptor is of. */
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

/** Its address, as to pass an array takes Deno longer. */
function statxAddress(): bigint {
  return statxPointer ||= addressOf(statxBuffer);
}
