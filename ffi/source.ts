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
 * Something that can be mapped: a file, a device DAX, or anonymous memory. C's
 * `struct pmem2_source`.
 *
 * A source that was opened by path owns a file descriptor. Close it when you no
 * longer need it, best with `using`; its maps keep working.
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

  /** Checks that a range lies in the source; libpmem2 refuses anonymous memory itself. */
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
   * Opens a file or a device DAX as a source, for reading and writing unless
   * `options` say otherwise. Like `Deno.open`, this requires read permission for the
   * path, and write permission if the file is opened for writing. C's
   * `pmem2_source_from_fd`.
   *
   * @param path The path, or a `file:` URL.
   * @param options How to open the file.
   * @returns The source, which owns the descriptor until it is closed.
   * @throws {TypeError} If an argument has the wrong type, or an option does not
   * exist.
   * @throws {RangeError} If `size` or `mode` is not an integer in its range.
   * @throws {Deno.errors.NotFound} If the file does not exist and neither `create`
   * nor `createNew` is given. The other errors of `Deno.open` are thrown likewise.
   * @throws {Deno.errors.InvalidData} If the path is relative, and the name of the
   * working directory is not UTF-8.
   * @throws {Pmem2Error} PMEM2_E_INVALID_FILE_TYPE if the path names neither a
   * regular file nor a device DAX. ENOSPC, with `call` "fallocate", if the disk has
   * no room for `size`: the file keeps its length, and a new file stays, empty.
   *
   * @example A file of 1 MiB whose blocks are allocated
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
   * Makes a source from an open file descriptor. The caller still owns the
   * descriptor, and must keep it open until the source is no longer used. If the
   * descriptor is closed before that and its number is given to another file, the
   * other file is mapped. C's `pmem2_source_from_fd`.
   *
   * @param fd The descriptor, open for reading, or for reading and writing.
   * @returns The source.
   * @throws {TypeError} If `fd` is not a number.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2^31 − 1.
   * @throws {Pmem2Error} PMEM2_E_INVALID_FILE_HANDLE if the descriptor is not open,
   * or is open for writing only; PMEM2_E_INVALID_FILE_TYPE if it is neither a regular
   * file nor a device DAX.
   *
   * @example A descriptor that another source owns
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
    // −0 is an integer, but not an i32.
    return new Pmem2Source(NativeSource.fromFd(fd | 0, null, false));
  }

  /**
   * Makes a source of anonymous memory. Each map of it has memory of its own, filled
   * with zeros at first, which is lost when the map is closed. C's
   * `pmem2_source_from_anon`.
   *
   * @param size The size in bytes: 1 to 2^47.
   * @returns The source.
   * @throws {TypeError} If `size` is not a number.
   * @throws {RangeError} If `size` is not an integer in its range.
   * @throws {Pmem2Error} ENOMEM if there is no memory for the source itself.
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
   * The current size in bytes of the file or device, or the size that was given for
   * the anonymous memory. C's `pmem2_source_size`.
   *
   * @returns The size in bytes.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} If the system refuses.
   *
   * @example The size of anonymous memory
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
   * The alignment of the source in bytes: the page size, or the alignment of a device
   * DAX. The `offset` and `length` of a map must be multiples of it. C's
   * `pmem2_source_alignment`.
   *
   * @returns The alignment in bytes.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} If the system refuses.
   *
   * @example The page size
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
   * The file descriptor. Do not close it if the source was opened by path: the source
   * owns it. C's `pmem2_source_get_fd`.
   *
   * @returns The descriptor, or null if the source is anonymous memory.
   * @throws {TypeError} If the source is closed.
   *
   * @example Anonymous memory has no descriptor
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
   * The path, as it was given when the source was opened.
   *
   * @returns The path, or null if the source is a descriptor or anonymous memory.
   * @throws {TypeError} If the source is closed.
   *
   * @example Anonymous memory has no path
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
   * Identifies the persistent memory device that holds the source. The identifier
   * stays the same after a reboot and in another machine. C's
   * `pmem2_source_device_id`.
   *
   * @returns The identifier.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP if the source is not on persistent memory.
   *
   * @example A source that is not on persistent memory
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
   * Tells on which NUMA node the persistent memory device is that holds the source.
   * C's `pmem2_source_numa_node`.
   *
   * @returns The number of the node.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory,
   * PMEM2_E_DAX_REGION_NOT_FOUND if the source is not on persistent memory.
   *
   * @example A source that is not on persistent memory
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
   * Counts the unsafe shutdowns of the device: power losses with unflushed data. If
   * the count has not changed since data was made durable, the data is intact. C's
   * `pmem2_source_device_usc`.
   *
   * @returns The count.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP if the source is not on persistent memory.
   *
   * @example A source that is not on persistent memory
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
   * Lists the ranges of the source that cannot be read, as they are at the time of the
   * call. Only persistent memory has such ranges. C's `pmem2_badblock_context_new` and
   * `pmem2_badblock_next`.
   *
   * @returns An iterator over the ranges.
   * @throws {TypeError} If the source is closed.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory.
   *
   * @example Making all of a file readable again
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
   * Reads from the source without a map. A bad block is an error here; touching it
   * through a map ends the process. C's `pmem2_source_pread_mcsafe`.
   *
   * @param target The array to fill. Its length says how many bytes are read.
   * @param offset Where to start reading, in bytes from the start of the source.
   * Defaults to 0.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If the range reaches past the end of the source.
   * @throws {Pmem2Error} PMEM2_E_IO_FAIL if there is a bad block in the range,
   * PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED for anonymous memory.
   *
   * @example Reading a part of a file
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
    // libpmem2 does not tell how much it has read, and the file may have been cut.
    Pmem2Source.#covering(this, action, offset, length);
  }

  /**
   * Writes to the source without a map. The source does not grow. C's
   * `pmem2_source_pwrite_mcsafe`.
   *
   * @param data The bytes to write.
   * @param offset Where to start writing, in bytes from the start of the source.
   * Defaults to 0.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If the range reaches past the end of the source.
   * @throws {Pmem2Error} PMEM2_E_IO_FAIL if there is a bad block in the range,
   * PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED for anonymous memory, EBADF if the source was
   * not opened for writing, EINVAL if its descriptor was opened for appending. ENOSPC,
   * with `call` "fallocate", if the disk is full: nothing is written then. On a file
   * system that cannot allocate blocks (see {@linkcode OpenOptions.size}), the write
   * itself fails with ENOSPC, and a part of the bytes may have been written.
   *
   * @example Changing the first byte of a file
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

  /**
   * Whether the source is closed.
   *
   * @returns True if it is closed.
   */
  get closed(): boolean {
    return Pmem2Source.#of(this, "tell whether the source is closed").closed;
  }

  /**
   * Closes the source, and its descriptor if it was opened by path. Maps of the source
   * stay open. Closing again does nothing. C's `pmem2_source_delete`.
   *
   * @example Closing a source
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

  /** Closes the source at the end of the block in which `using` declares it. */
  [Symbol.dispose](): void {
    Pmem2Source.#of(this, "dispose of the source").close();
  }

  /** The text that `console.log` shows: path, size, and kind of source. */
  [Symbol.for("Deno.customInspect")](
    _inspect: unknown,
    options?: Deno.InspectOptions,
  ): string {
    // Printing an object to find an error must not throw another.
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
      // The owner of the descriptor has closed it.
    }
    const { path, anonymous } = native;
    return canvas.indent(drawSource({ size, path, fd, anonymous }, canvas));
  }
}

callable(import.meta.url, Pmem2Source);
