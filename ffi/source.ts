/**
 * libpmem2's `struct pmem2_source`.
 *
 * @module
 */

import {
  checkInteger,
  checkRange,
  isClosed,
  isObject,
  MAX_FD,
  MAX_SIZE,
  wrongThis,
} from "./argument.ts";
import { listBadBlocks, type Pmem2BadBlock } from "./bad_block.ts";
import { lengthOf, subarray, writableLengthOf } from "./buffer.ts";
import { check, clearMessage, Pmem2Error } from "./error.ts";
import { errnoOf } from "./error_code.ts";
import {
  closePending,
  fileSettings,
  openFile,
  type OpenOptions,
  pending,
} from "./file.ts";
import { lazily } from "./library.ts";
import { pathOf } from "./path.ts";
import {
  cell,
  cellWith,
  fromCString,
  received,
  type SourcePointer,
} from "./pointer.ts";
import { stdinLock } from "./process_lock.ts";
import { requireStack } from "./stack.ts";
import {
  fileSymbols,
  mapSymbols,
  rasSymbols,
  sizeSymbols,
  sourceSymbols,
} from "./symbols.ts";

const native = lazily(mapSymbols);
const sizing = lazily(sizeSymbols);
const seldom = lazily(sourceSymbols);
const ras = lazily(rasSymbols);
const growing = lazily(fileSymbols);

/** Where C writes an int. */
const int = new Int32Array(new ArrayBuffer(128));

/** What one pread(2) or pwrite(2) moves at most; libpmem2 doesn't go on. */
const MAX_TRANSFER = 2 ** 30;

/** The errors of a file system that can't store what is to be written. */
const NO_ROOM = (["ENOSPC", "EDQUOT", "EFBIG", "EIO"] as const).map(errnoOf);

/**
 * The source that was opened last, until somebody has it who will close it. A call
 * that runs out of stack may not get that far, but then the next one closes it.
 */
let unclaimed: NativeSource | null = null;

/** What a source is natively; internal to the module. */
export class NativeSource {
  readonly pointer: SourcePointer;
  readonly path: string | null;
  readonly anonymous: boolean;
  /** The descriptor to close with the source, if it's the source's own. */
  readonly ownFd: number | null;
  closed = false;
  /** Takes the file away again, if it was made when the source was opened. */
  discard: (() => void) | null = null;

  constructor(
    pointer: SourcePointer,
    path: string | null,
    anonymous: boolean,
    ownFd: number | null,
  ) {
    this.pointer = pointer;
    this.path = path;
    this.anonymous = anonymous;
    this.ownFd = ownFd;
  }

  /** Whoever calls it has seen to it that there is room on the stack. */
  static fromFd(fd: number, path: string | null, own: boolean): NativeSource {
    clearMessage();
    const result = native().pmem2_source_from_fd(cell(), fd);
    check(result, "pmem2_source_from_fd");
    return new NativeSource(received(), path, false, own ? fd : null);
  }

  static anonymous(size: number): NativeSource {
    requireStack();
    clearMessage();
    const result = seldom().pmem2_source_from_anon(cell(), BigInt(size));
    check(result, "pmem2_source_from_anon");
    return new NativeSource(received(), null, true, null);
  }

  /** The source is {@linkcode unclaimed} until it's closed or has a wrapper. */
  static open(
    path: string,
    settings: Parameters<typeof openFile>[1],
  ): NativeSource {
    unclaimed?.close();
    try {
      const { fd, discard } = openFile(path, settings);
      const source = NativeSource.fromFd(fd, path, true);
      pending.fd = -1;
      unclaimed = source;
      source.discard = discard;
      return source;
    } catch (error) {
      closePending();
      throw error;
    }
  }

  get size(): number {
    clearMessage();
    const result = sizing().pmem2_source_size(this.pointer, cell());
    check(result, "pmem2_source_size");
    return Number(received());
  }

  get alignment(): number {
    clearMessage();
    const result = seldom().pmem2_source_alignment(this.pointer, cell());
    check(result, "pmem2_source_alignment");
    return Number(received());
  }

  /**
   * Has the file system find room for what is to be written: libpmem2 doesn't
   * tell how much of it was. What is no matter of room is left to the write.
   */
  allocate(offset: number, length: number): void {
    if (this.anonymous || length === 0) return;
    const { posix_fallocate } = growing();
    const [at, size] = [BigInt(offset), BigInt(length)];
    const error = posix_fallocate(this.descriptor, at, size);
    if (NO_ROOM.includes(error)) {
      throw new Pmem2Error(-error, "posix_fallocate");
    }
  }

  get descriptor(): number {
    clearMessage();
    const result = seldom().pmem2_source_get_fd(this.pointer, int);
    check(result, "pmem2_source_get_fd");
    return int[0]!;
  }

  /** Moves bytes between an array and the source. */
  transfer(
    call: "pmem2_source_pread_mcsafe" | "pmem2_source_pwrite_mcsafe",
    array: Uint8Array,
    offset: number,
    length: number,
  ): void {
    const { flockfile, funlockfile } = native();
    const { [call]: move } = ras();
    const file = stdinLock();
    for (let done = 0; done < length; done += MAX_TRANSFER) {
      const size = Math.min(length - done, MAX_TRANSFER);
      const part = length > MAX_TRANSFER ? subarray(array, done, size) : array;
      const [count, at] = [BigInt(size), BigInt(offset + done)];
      clearMessage();
      // On a device DAX libpmem2 makes a map of its own.
      flockfile(file);
      const result = move(this.pointer, part, count, at);
      funlockfile(file);
      check(result, call);
    }
  }

  close(): void {
    if (!this.closed) {
      requireStack();
      this.closed = true;
      native().pmem2_source_delete(cellWith(this.pointer));
      if (this.ownFd !== null) native().close(this.ownFd);
    }
    if (unclaimed === this) unclaimed = null;
  }
}

/** The native side of a source; internal to the module. */
export let nativeSourceOf: (value: unknown) => NativeSource | undefined;

/**
 * What maps are made of: a file, a device DAX, or anonymous memory. C's
 * `struct pmem2_source`.
 *
 * A map keeps working when its source is closed. Until then a source that was
 * opened by its path owns a file descriptor, so close it, best with `using`.
 *
 * @example One source, two maps
 * ```ts
 * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * using source = Pmem2Source.open(path, { size: 8192 });
 * using first = Pmem2Map.from(source, { length: 4096 });
 * using second = Pmem2Map.from(source, { offset: 4096 });
 * assertEquals(first.size + second.size, source.size);
 * Deno.removeSync(path);
 * ```
 */
export class Pmem2Source implements Disposable {
  readonly #native: NativeSource;

  static {
    nativeSourceOf = (value) =>
      isObject(value) && #native in value ? value.#native : undefined;
  }

  private constructor(native: NativeSource) {
    if (!(native instanceof NativeSource)) {
      throw new TypeError(
        "Cannot construct a Pmem2Source: use Pmem2Source.open, fromFd or anonymous",
      );
    }
    this.#native = native;
  }

  static #of(value: unknown, action: string): NativeSource {
    const native = nativeSourceOf(value);
    if (native === undefined) throw wrongThis(action, "a Pmem2Source");
    return native;
  }

  static #live(value: unknown, action: string): NativeSource {
    const native = Pmem2Source.#of(value, action);
    if (native.closed) throw isClosed(action, "source");
    return native;
  }

  /** The source, if the range lies in it; anonymous memory refuses by itself. */
  static #covering(
    value: unknown,
    action: string,
    offset: number,
    length: number,
  ): NativeSource {
    const native = Pmem2Source.#live(value, action);
    const size = native.anonymous ? MAX_SIZE : native.size;
    checkRange(action, offset, length, size, "source");
    return native;
  }

  /**
   * Opens a file, or a device DAX, as a source. Like `Deno.open` it takes read
   * permission for the path, and write permission to open it for writing.
   * C's `pmem2_source_from_fd` over open(2).
   *
   * @param path The path, or a `file:` URL.
   * @param options How to open it: for reading and writing, unless told else.
   * @returns The source, which owns the descriptor until it's closed.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If `size` or `mode` is not an integer in its range.
   * @throws {Deno.errors.NotFound} And the others that `Deno.open` throws.
   * @throws {Pmem2Error} PMEM2_E_INVALID_FILE_TYPE if it's neither a regular
   * file nor a device DAX; ENOSPC, with `call` "posix_fallocate", if `size` is
   * more than the disk has: the file is then as before.
   *
   * @example A file of 1 MiB that can't run out of disk
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * {
   *   using source = Pmem2Source.open(`${directory}/pool`, {
   *     createNew: true,
   *     size: 1024 ** 2,
   *   });
   *   assertEquals(source.size, 1_048_576);
   * }
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  static open(path: string | URL, options?: OpenOptions): Pmem2Source {
    const action = "open the source";
    const settings = fileSettings(action, options);
    const native = NativeSource.open(pathOf(action, path), settings);
    const source = new Pmem2Source(native);
    unclaimed = null;
    return source;
  }

  /**
   * Makes a source of an open file descriptor, which stays the caller's: it must
   * not be closed before the source's last use. If it is, and the number is
   * given to another file, then that file is what gets mapped. C's
   * `pmem2_source_from_fd`.
   *
   * @param fd The descriptor, open for reading, or for reading and writing.
   * @returns The source.
   * @throws {TypeError} If `fd` is not a number.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2^31 − 1.
   * @throws {Pmem2Error} PMEM2_E_INVALID_FILE_HANDLE if it isn't open, or for
   * writing only; PMEM2_E_INVALID_FILE_TYPE if it's neither a regular file nor
   * a device DAX.
   *
   * @example A descriptor that somebody else owns
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using owner = Pmem2Source.open(path, { size: 4096 });
   * using source = Pmem2Source.fromFd(owner.fd!);
   * assertEquals(source.size, 4096);
   * Deno.removeSync(path);
   * ```
   */
  static fromFd(fd: number): Pmem2Source {
    checkInteger("make a source", "fd", fd, 0, MAX_FD);
    requireStack();
    // −0 is an integer, but no i32.
    return new Pmem2Source(NativeSource.fromFd(fd | 0, null, false));
  }

  /**
   * Makes a source of anonymous memory, filled with zeros: every map of it gets
   * its own, and it's gone with the map. C's `pmem2_source_from_anon`.
   *
   * @param size How many bytes a whole map has: 1 to 2^47.
   * @returns The source.
   * @throws {TypeError} If `size` is not a number.
   * @throws {RangeError} If `size` is not an integer in its range.
   * @throws {Pmem2Error} If there is no memory for the source itself.
   *
   * @example Scratch memory
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(65_536);
   * using map = Pmem2Map.from(source);
   * assertEquals(map.granularity, "byte");
   * ```
   */
  static anonymous(size: number): Pmem2Source {
    checkInteger("make a source", "size", size, 1, MAX_SIZE);
    return new Pmem2Source(NativeSource.anonymous(size));
  }

  /**
   * Size in bytes at this moment: the file's, the device's, or the one that the
   * anonymous memory was asked for with. C's `pmem2_source_size`.
   *
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} If the system refuses.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(5000);
   * assertEquals(source.size, 5000);
   * ```
   */
  get size(): number {
    return Pmem2Source.#live(this, "get the size").size;
  }

  /**
   * What the offset and the length of a map must be a multiple of, in bytes: the
   * page size, or a device DAX's alignment. C's `pmem2_source_alignment`.
   *
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} If the system refuses.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(5000);
   * assertEquals(source.alignment % 4096, 0);
   * ```
   */
  get alignment(): number {
    return Pmem2Source.#live(this, "get the alignment").alignment;
  }

  /**
   * The file descriptor, or null where the source is anonymous memory. It's the
   * source's if that was opened by its path: don't close it. C's
   * `pmem2_source_get_fd`.
   *
   * @throws {TypeError} If the source is closed.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * assertEquals(source.fd, null);
   * ```
   */
  get fd(): number | null {
    const native = Pmem2Source.#live(this, "get the descriptor");
    return native.anonymous ? null : native.descriptor;
  }

  /**
   * The path as it was opened; null for a descriptor and for anonymous memory.
   *
   * @throws {TypeError} If the source is closed.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * assertEquals(source.path, null);
   * ```
   */
  get path(): string | null {
    return Pmem2Source.#live(this, "get the path").path;
  }

  /**
   * Identifies the device of persistent memory that holds the source, for good:
   * after a reboot, and in another machine too. C's `pmem2_source_device_id`.
   *
   * @returns The identifier.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP if it's not on persistent memory.
   *
   * @example On a medium without one
   * ```ts
   * import { Pmem2Error, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * const error = assertThrows(() => source.deviceId(), Pmem2Error);
   * assertEquals(error.code, "PMEM2_E_NOSUPP");
   * ```
   */
  deviceId(): string {
    const { pointer } = Pmem2Source.#live(this, "get the device id");
    const { pmem2_source_device_id } = ras();
    clearMessage();
    check(
      pmem2_source_device_id(pointer, null, cellWith(0n)),
      "pmem2_source_device_id",
    );
    const id = new Uint8Array(new ArrayBuffer(Number(received()) + 64));
    const length = cellWith(BigInt(id.length));
    check(
      pmem2_source_device_id(pointer, id, length),
      "pmem2_source_device_id",
    );
    return fromCString(id);
  }

  /**
   * The NUMA node of the device of persistent memory that holds the source. C's
   * `pmem2_source_numa_node`.
   *
   * @returns The number of the node.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory,
   * PMEM2_E_DAX_REGION_NOT_FOUND if it's not on persistent memory.
   *
   * @example On a medium without one
   * ```ts
   * import { Pmem2Error, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * const error = assertThrows(() => source.numaNode(), Pmem2Error);
   * assertEquals(error.code, "PMEM2_E_NOSUPP");
   * ```
   */
  numaNode(): number {
    const { pointer } = Pmem2Source.#live(this, "get the NUMA node");
    clearMessage();
    const result = ras().pmem2_source_numa_node(pointer, int);
    check(result, "pmem2_source_numa_node");
    return int[0]!;
  }

  /**
   * How often the device lost power before it had written out what it held. If it
   * hasn't changed, what was durable still is. C's
   * `pmem2_source_device_usc`.
   *
   * @returns The device's counter.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP if it's not on persistent memory.
   *
   * @example On a medium without one
   * ```ts
   * import { Pmem2Error, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * const error = assertThrows(() => source.unsafeShutdownCount(), Pmem2Error);
   * assertEquals(error.code, "PMEM2_E_NOSUPP");
   * ```
   */
  unsafeShutdownCount(): bigint {
    const { pointer } = Pmem2Source.#live(
      this,
      "get the unsafe shutdown count",
    );
    clearMessage();
    const result = ras().pmem2_source_device_usc(pointer, cell());
    check(result, "pmem2_source_device_usc");
    return received();
  }

  /**
   * Lists the ranges of the source that can't be read any more, as they are now.
   * Off persistent memory there are none. C's `pmem2_badblock_context_new` and
   * `pmem2_badblock_next`.
   *
   * @returns An iterator over them.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory.
   *
   * @example Making a file readable again, with zeros where it was not
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * using source = Pmem2Source.open(path, { size: 4096 });
   * for (const block of source.badBlocks()) block.clear();
   * Deno.removeSync(path);
   * ```
   */
  badBlocks(): IteratorObject<Pmem2BadBlock, undefined> {
    const native = Pmem2Source.#live(this, "list the bad blocks");
    return listBadBlocks((action) => {
      if (native.closed) throw isClosed(action, "source");
      return native.pointer;
    }).values();
  }

  /**
   * Reads from the source, not through a map: a bad block is an error here, where
   * it would end the process on a map. C's `pmem2_source_pread_mcsafe`.
   *
   * @param target Gets the bytes; its length says how many.
   * @param offset Where to read, in bytes from the start of the source: 0 to
   * its size less the length; 0 if it isn't given.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If it's past the end of the source.
   * @throws {Pmem2Error} PMEM2_E_IO_FAIL at a bad block,
   * PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED for anonymous memory.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "hello");
   * using source = Pmem2Source.open(path);
   * const bytes = new Uint8Array(4);
   * source.read(bytes, 1);
   * assertEquals(new TextDecoder().decode(bytes), "ello");
   * Deno.removeSync(path);
   * ```
   */
  read(target: Uint8Array, offset: number = 0): void {
    const action = "read from the source";
    const length = writableLengthOf(action, "target", target);
    const native = Pmem2Source.#covering(this, action, offset, length);
    native.transfer("pmem2_source_pread_mcsafe", target, offset, length);
    // libpmem2 doesn't tell how much was read: the file may have got shorter.
    Pmem2Source.#covering(this, action, offset, length);
  }

  /**
   * Writes to the source, not through a map. C's `pmem2_source_pwrite_mcsafe`.
   *
   * @param data The bytes.
   * @param offset Where to write, in bytes from the start of the source: 0 to
   * its size less the length. The source does not grow.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If it's past the end of the source.
   * @throws {Pmem2Error} PMEM2_E_IO_FAIL at a bad block,
   * PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED for anonymous memory, EBADF if the source
   * was not opened for writing, ENOSPC, with `call` "posix_fallocate", if the disk
   * is full: then nothing was written.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "hello");
   * using source = Pmem2Source.open(path);
   * source.write(new TextEncoder().encode("J"));
   * assertEquals(Deno.readTextFileSync(path), "Jello");
   * Deno.removeSync(path);
   * ```
   */
  write(data: Uint8Array, offset: number = 0): void {
    const action = "write to the source";
    const length = lengthOf(action, "data", data);
    const native = Pmem2Source.#covering(this, action, offset, length);
    native.allocate(offset, length);
    native.transfer("pmem2_source_pwrite_mcsafe", data, offset, length);
  }

  /** Whether the source was closed. */
  get closed(): boolean {
    return Pmem2Source.#of(this, "tell whether the source is closed").closed;
  }

  /**
   * Closes the source, and its descriptor if it was opened by its path. Its maps
   * stay. Closing again does nothing. C's `pmem2_source_delete`.
   *
   * @example
   * ```ts
   * import { Pmem2Source } from "@pmem2/pmem2";
   * import { assert } from "@std/assert";
   *
   * const source = Pmem2Source.anonymous(4096);
   * source.close();
   * assert(source.closed);
   * ```
   */
  close(): void {
    Pmem2Source.#of(this, "close the source").close();
  }

  /** Closes the source at the end of a `using`'s block. */
  [Symbol.dispose](): void {
    Pmem2Source.#of(this, "dispose of the source").close();
  }
}
