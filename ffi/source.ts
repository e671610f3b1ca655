/**
 * libpmem2's `struct pmem2_source`.
 *
 * @module
 */

import { listBadBlocks, type Pmem2BadBlock } from "./bad_block.ts";
import {
  checkInteger,
  checkRange,
  isClosed,
  isObject,
  MAX_FD,
  MAX_SIZE,
  wrongThis,
} from "./input/argument.ts";
import { callable, typeError } from "./input/caller.ts";
import { fileSettings, type OpenOptions } from "./input/open_options.ts";
import { pathOf } from "./input/path.ts";
import { drawSource } from "./inspect/layout.ts";
import { canvasOf } from "./inspect/options.ts";
import { lengthOf, writableLengthOf } from "./input/views.ts";
import { NativeSource } from "./native/source.ts";
import { opening } from "./process/open_file.ts";
import { requireStack } from "./process/stack.ts";

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
      throw typeError(
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
   * file nor a device DAX; ENOSPC, with `call` "fallocate", if `size` is more
   * than the disk has: the file is then as long as before. A new file stays, and
   * is empty.
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
    opening.claim();
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
    return Pmem2Source.#live(this, "get the device id").deviceId();
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
    return Pmem2Source.#live(this, "get the NUMA node").numaNode();
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
    const action = "get the unsafe shutdown count";
    return Pmem2Source.#live(this, action).unsafeShutdownCount();
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
      return native;
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
  read(target: Uint8Array, offset?: number): void;
  read(target: Uint8Array, offset: number = 0): void {
    const action = "read from the source";
    const length = writableLengthOf(action, "target", target);
    const native = Pmem2Source.#covering(this, action, offset, length);
    native.read(target, offset, length);
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
   * was not opened for writing, EINVAL if its descriptor was opened for appending;
   * ENOSPC, with `call` "fallocate", if the disk is full: then nothing was written.
   * On a file system that can't allocate (see {@linkcode OpenOptions.size}) it
   * comes from the write itself, and a part may have been written.
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
  write(data: Uint8Array, offset?: number): void;
  write(data: Uint8Array, offset: number = 0): void {
    const action = "write to the source";
    const length = lengthOf(action, "data", data);
    const native = Pmem2Source.#covering(this, action, offset, length);
    native.write(data, offset, length);
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

  /** What `console.log` shows: path, size, and what it's made of. */
  [Symbol.for("Deno.customInspect")](
    _inspect: unknown,
    options?: Deno.InspectOptions,
  ): string {
    // What is printed to find an error must not throw one.
    if (!(isObject(this) && #native in this)) return "Pmem2Source {}";
    const canvas = canvasOf(options);
    const native = this.#native;
    if (native.closed) return "Pmem2Source (closed)";
    let size: number | null = null;
    let fd: number | null = null;
    try {
      size = native.size;
      fd = native.anonymous ? null : native.descriptor;
    } catch {
      // Whoever owns the descriptor has closed it.
    }
    const { path, anonymous } = native;
    return canvas.indent(drawSource({ size, path, fd, anonymous }, canvas));
  }
}

callable(import.meta.url, Pmem2Source);
