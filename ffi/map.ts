/**
 * libpmem2's `struct pmem2_map`.
 *
 * @module
 */

import { BigInt, indexIn } from "./input/intrinsics.ts";
import * as argument from "./input/argument.ts";
import {
  checkBigInt,
  checkInteger,
  checkOneOf,
  checkRange,
  isClosed,
  MAX_SIZE,
  wrongThis,
  wrongType,
} from "./input/argument.ts";
import { callable, fromCaller, typeError } from "./input/caller.ts";
import { granularities, type Granularity } from "./input/granularity.ts";
import {
  mapOptionNames,
  type MapOptions,
  mapSettings,
  openAndMapOptionNames,
  openAndMapSettings,
  type Sharing,
} from "./input/map_options.ts";
import type { OpenOptions } from "./input/open_options.ts";
import { pathOf } from "./input/path.ts";
import { storeFlags, type StoreOptions } from "./input/store_options.ts";
import * as range from "./input/range.ts";
import * as views from "./input/views.ts";
import { drawMap, type DrawnMap } from "./inspect/layout.ts";
import { canvasOf } from "./inspect/options.ts";
import type { Pmem2Memory } from "./memory.ts";
import { mapAnywhere } from "./native/arena.ts";
import { mapExisting } from "./native/existing_map.ts";
import * as nativeMap from "./native/map.ts";
import { accessOf, NativeMap } from "./native/map.ts";
import { NativeSource } from "./native/source.ts";
import { opening } from "./process/open_file.ts";
import { nativeSourceOf, type Pmem2Source } from "./source.ts";
import type { Pmem2VmReservation } from "./vm_reservation.ts";
// The type only: at run time reservations are built on maps, not the reverse.

// PERF: see preload.ts.
const { isObject, isRange } = argument;
const { countOf, NUMBERS_ONLY, startOf } = range;
const { lengthOf, writableLengthOf } = views;
const { READ, WRITE } = nativeMap;

/** The native side of a map; internal to the module. */
export let nativeMapOf: (value: unknown) => NativeMap | null;

/** The same for this file. PERF: see preload.ts. */
let nativeOf: typeof nativeMapOf;

/** The one `Pmem2Map` of a native map; internal to the module. */
export let mapOf: (native: NativeMap) => Pmem2Map;

/** The native side of `this`, which must be a map that is open. */
let liveMap: (value: unknown, action: string) => NativeMap;

/** The error to throw where permission for views is missing; other errors are returned unchanged. */
export function withoutViews(action: string, error: unknown): unknown {
  return error instanceof Deno.errors.NotCapable
    ? fromCaller(
      new Deno.errors.NotCapable(
        `Cannot ${action} as that needs --allow-ffi without a path: read() and write() work with the permission that was granted`,
        { cause: error },
      ),
    )
    : error;
}

/** The native side of the caller's source, which must be open. */
export function liveSource(action: string, source: unknown): NativeSource {
  const native = nativeSourceOf(source);
  if (native === undefined) {
    throw wrongType(action, "source", "a Pmem2Source", source);
  }
  if (native.closed) throw isClosed(action, "source");
  return native;
}

/** Maps a source that was opened for this map only, and closes it. */
export function mapOnce(map: () => Pmem2Map): Pmem2Map {
  try {
    return map();
  } finally {
    opening.discard();
  }
}

/**
 * A source, or a part of one, in memory. C's `struct pmem2_map`.
 *
 * A store to a map is visible at once, and durable once it is persisted. Close
 * the map when you no longer need it, best with `using`: garbage collection does
 * not close it. Closing empties all views on the map, so no program can read or
 * write memory that is no longer mapped.
 *
 * If a disk fails at page granularity, every method that makes stores durable
 * throws a `Pmem2Error` with `call` "msync". Stores since the last success may be
 * lost, although they can still be read. The kernel reports such a failure only
 * once, so the map keeps it: all maps of the source go on throwing the error.
 * Close them, open the source again, and store again.
 *
 * No binding can protect against these:
 *
 * - A file that is truncated while it is mapped, or a sparse file on a full disk:
 *   touching a page that is not there ends the process with SIGBUS.
 * - While libpmem2 maps a file, it changes the working directory of the whole
 *   process for a moment. Relative paths that are opened at that moment, by other
 *   workers or by pending asynchronous operations, lead elsewhere: use absolute
 *   paths there.
 * - libpmem2 reads the environment without Deno's lock: if one worker calls
 *   `Deno.env.set` while another one maps, the process may end.
 * - A worker that ends without closing its maps leaves them mapped until the
 *   process ends. What the main program leaves open is closed at its `unload` event,
 *   for example when `--watch` restarts it.
 *
 * @example A counter that survives
 * ```ts
 * import { Pmem2Map } from "@pmem2/pmem2";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * for (let run = 0; run < 3; run++) {
 *   using map = Pmem2Map.open(path, { size: 4096 });
 *   const counter = new BigUint64Array(map.buffer, 0, 1);
 *   counter[0]!++;
 *   map.persist(counter);
 *   assertEquals(counter[0], BigInt(run + 1));
 * }
 * Deno.removeSync(path);
 * ```
 */
export class Pmem2Map implements Pmem2Memory {
  /**
   * The size, or −1 if it must be checked whether the map is open.
   *
   * PERF: a walk over many maps that reads sizes misses the CPU's caches once less for each.
   */
  #size: number;
  readonly #native: NativeMap;

  static {
    nativeMapOf = nativeOf = (value) =>
      isObject(value) && #native in value ? value.#native : null;
    mapOf = (native) =>
      (native.wrapper ?? native.wrapIn(new Pmem2Map(native))) as Pmem2Map;
    liveMap = Pmem2Map.#live;
    nativeMap.onDisowned((wrapper) => (wrapper as Pmem2Map).#size = -1);
  }

  private constructor(native: NativeMap) {
    if (!(native instanceof NativeMap)) {
      throw typeError(
        "Cannot construct a Pmem2Map: use Pmem2Map.open, Pmem2Map.from or a reservation's map",
      );
    }
    this.#size = native.access === 0 ? -1 : native.size;
    this.#native = native;
  }

  static #of(value: unknown, action: string): NativeMap {
    if (!(isObject(value) && #native in value)) {
      throw wrongThis(action, "a Pmem2Map");
    }
    return value.#native;
  }

  static #live(value: unknown, action: string): NativeMap {
    const native = Pmem2Map.#of(value, action);
    if (!native.live) throw isClosed(action, "map");
    return native;
  }

  /**
   * Opens a file, maps it, and closes the descriptor, which a map does not need.
   * C's `pmem2_source_from_fd` and `pmem2_map_new`.
   *
   * This does what {@linkcode Pmem2Source.open} and {@linkcode Pmem2Map.from} do,
   * except that `write` says whether the memory can be written to. The file is
   * opened for writing if `write` is true and `sharing` is "shared", or if
   * `create`, `createNew` or `size` is given.
   *
   * @param path The path, or a `file:` URL.
   * @param options How to open the file, and how to map it.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, or an option does not
   * exist.
   * @throws {RangeError} If a number is out of range, or the map would reach past
   * the end of the file.
   * @throws {Deno.errors.NotFound} If the file does not exist and neither `create`
   * nor `createNew` is given. The other errors of `Deno.open` are thrown likewise.
   * @throws {Pmem2Error} If libpmem2 or the system refuses, for example with
   * PMEM2_E_GRANULARITY_NOT_SUPPORTED, PMEM2_E_OFFSET_UNALIGNED,
   * PMEM2_E_LENGTH_UNALIGNED, PMEM2_E_SOURCE_EMPTY, PMEM2_E_NO_ACCESS or ENOSPC.
   *
   * @example A file that is created on first use
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * {
   *   using map = Pmem2Map.open(`${directory}/log`, { create: true, size: 8192 });
   *   map.write(new TextEncoder().encode("hello"));
   * }
   * const text = Deno.readTextFileSync(`${directory}/log`);
   * assertEquals(text.slice(0, 5), "hello");
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  static open(
    path: string | URL,
    options?: OpenOptions & MapOptions,
  ): Pmem2Map {
    const action = "open the map";
    const { file, map } = openAndMapSettings(
      action,
      options,
      openAndMapOptionNames,
    );
    const source = NativeSource.open(pathOf(action, path), file);
    return mapOnce(() => Pmem2Map.#map(action, source, map));
  }

  /**
   * Maps a source. C's `pmem2_map_new`.
   *
   * @param source What to map.
   * @param options Which part of the source to map, and how.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, an option does not
   * exist, or the source is closed.
   * @throws {RangeError} If a number is out of range, or the map would reach past
   * the end of the source.
   * @throws {Pmem2Error} If libpmem2 or the system refuses: see
   * {@linkcode Pmem2Map.open}.
   *
   * @example A page in the middle of a file, for reading
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using source = Pmem2Source.open(path, { size: 16_384 });
   * using map = Pmem2Map.from(source, { offset: 4096, length: 4096, write: false });
   * const bytes = new Uint8Array(10);
   * map.read(bytes, 100);
   * assertEquals(bytes, new Uint8Array(10));
   * Deno.removeSync(path);
   * ```
   */
  static from(source: Pmem2Source, options?: MapOptions): Pmem2Map {
    const action = "map the source";
    const settings = mapSettings(action, options, mapOptionNames);
    return Pmem2Map.#map(action, liveSource(action, source), settings);
  }

  static #map(
    action: string,
    source: NativeSource,
    settings: ReturnType<typeof mapSettings>,
  ): Pmem2Map {
    return mapOf(mapAnywhere(action, source, settings));
  }

  /**
   * Makes a map of memory that other native code mapped and still owns. Closing
   * the map does not unmap the memory. C's `pmem2_map_from_existing`.
   *
   * Unsafe: the memory must stay mapped while the map is open, and this module
   * cannot check that. If the memory is unmapped, the next access ends the process.
   *
   * @param source The source that the memory is mapped from.
   * @param address The address of the memory, which must be mapped and must not be
   * in a reservation.
   * @param size The size of the memory in bytes: 1 to 2^47.
   * @param granularity The store granularity of the memory. It is not checked; if
   * it is finer than that of the medium, data is lost.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If a number is out of range, if not all of the memory is
   * mapped, or if a part of it is in a reservation. Also if the process has too few
   * pthread keys left: libpmem2 1.12 leaks one per call.
   * @throws {Pmem2Error} PMEM2_E_MAP_EXISTS if the memory overlaps a map that
   * libpmem2 knows.
   *
   * @example A map over the memory of another map is refused
   * ```ts
   * import { Pmem2Error, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using map = Pmem2Map.from(source);
   * const error = assertThrows(
   *   () => Pmem2Map.unsafeFromExisting(source, map.address, 4096, "byte"),
   *   Pmem2Error,
   * );
   * assertEquals(error.code, "PMEM2_E_MAP_EXISTS");
   * ```
   */
  static unsafeFromExisting(
    source: Pmem2Source,
    address: bigint,
    size: number,
    granularity: Granularity,
  ): Pmem2Map {
    const action = "map existing memory";
    checkInteger(action, "size", size, 1, MAX_SIZE);
    const last = 2n ** 64n - BigInt(size);
    checkBigInt(action, "address", address, 1n, last);
    checkOneOf(action, "granularity", granularity, granularities);
    return mapOf(
      mapExisting(
        action,
        liveSource(action, source),
        address,
        size,
        indexIn(granularities, granularity),
      ),
    );
  }

  /**
   * The address of the first byte. C's `pmem2_map_get_address`.
   *
   * @returns The address.
   * @throws {TypeError} If the map is closed.
   */
  get address(): bigint {
    return Pmem2Map.#live(this, "get the address").address;
  }

  /**
   * The size in bytes. C's `pmem2_map_get_size`.
   *
   * @returns The size in bytes.
   * @throws {TypeError} If the map is closed.
   */
  get size(): number {
    return isObject(this) && #size in this && this.#size !== -1
      ? this.#size
      : Pmem2Map.#live(this, "get the size").size;
  }

  /**
   * The store granularity of the map: the one that was required, or a finer one.
   * For private and anonymous maps it is "byte", since their stores are not meant
   * to last. C's `pmem2_map_get_store_granularity`.
   *
   * @returns The granularity.
   * @throws {TypeError} If the map is closed.
   */
  get granularity(): Granularity {
    const { granularity } = Pmem2Map.#live(this, "get the granularity");
    return granularities[granularity]!;
  }

  /**
   * The reservation that the map is in.
   *
   * @returns The reservation, or null if the map is not in one.
   * @throws {TypeError} If the map is closed.
   */
  get reservation(): Pmem2VmReservation | null {
    const { owner } = Pmem2Map.#live(this, "get the reservation");
    return owner === null ? null : owner.wrapper as Pmem2VmReservation;
  }

  /**
   * The offset of the map in its reservation, in bytes. It changes when the
   * reservation is shrunk at its start.
   *
   * @returns The offset, or 0 if the map is not in a reservation.
   * @throws {TypeError} If the map is closed.
   */
  get offset(): number {
    return Pmem2Map.#live(this, "get the offset").offset;
  }

  /**
   * The offset of the map in its source, in bytes: the `offset` that was given. For
   * a map that other native code made, it is what the system reports.
   *
   * @returns The offset in the source.
   * @throws {TypeError} If the map is closed.
   *
   * @example The second half of a file
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 131_072, offset: 65_536 });
   * assertEquals(map.sourceOffset, 65_536);
   * Deno.removeSync(path);
   * ```
   */
  get sourceOffset(): number {
    return Pmem2Map.#live(this, "get the source offset").traits.sourceOffset;
  }

  /**
   * Whether stores reach the source ("shared") or stay in the map ("private").
   *
   * @returns The sharing.
   * @throws {TypeError} If the map is closed.
   */
  get sharing(): Sharing {
    const { shared } = Pmem2Map.#live(this, "get the sharing").traits;
    return shared ? "shared" : "private";
  }

  /**
   * Whether the memory can be read.
   *
   * @returns True if it can be read.
   * @throws {TypeError} If the map is closed.
   */
  get readable(): boolean {
    return Pmem2Map.#live(this, "tell whether it is readable").traits.readable;
  }

  /**
   * Whether the memory can be written to.
   *
   * @returns True if it can be written to.
   * @throws {TypeError} If the map is closed.
   */
  get writable(): boolean {
    return Pmem2Map.#live(this, "tell whether it is writable").traits.writable;
  }

  /**
   * The path of the source, as it was given when the source was opened.
   *
   * @returns The path, or null if the source is a descriptor or anonymous memory,
   * or if other native code made the map.
   * @throws {TypeError} If the map is closed.
   */
  get path(): string | null {
    return Pmem2Map.#live(this, "get the path").traits.path;
  }

  /**
   * The `struct pmem2_map *`, for use by other native code. It is valid until the
   * map is closed.
   *
   * Unsafe: that code must not delete the map, and must not use it on another
   * thread while this module closes it. Either ends the process or corrupts memory.
   *
   * @returns The pointer as an integer.
   * @throws {TypeError} If the map is closed.
   */
  get unsafeHandle(): bigint {
    return Pmem2Map.#live(this, "get the handle").pointer;
  }

  /**
   * The memory itself, without a copy. It is always the same object, and empty once
   * the map is closed. Requires `--allow-ffi` without a path.
   *
   * A read-only map has no buffer, since JavaScript has no read-only views. Use
   * {@linkcode Pmem2Map.read}, which copies. Or map the file with
   * `sharing: "private"`: that needs read permission only, makes no copy, and keeps
   * stores in this process.
   *
   * Do not transfer the buffer (`transfer()`, or `postMessage` with a transfer
   * list): after that the map cannot be closed.
   *
   * Do not close the map while an asynchronous operation still uses a view on it,
   * such as a response body, a pending TLS read, or `crypto.scrypt` of node:crypto.
   * The view is emptied, but the operation keeps the address. Outside of a
   * reservation, the memory stays mapped for at least 5 seconds after
   * {@linkcode Pmem2Map.close}, unless many maps wait. In a reservation it is unmapped
   * at once. An operation that is still running when the
   * memory is unmapped ends the process, or uses the memory of another map.
   *
   * @returns The buffer.
   * @throws {TypeError} If the map is not both readable and writable, or if it was
   * closed before its buffer was used.
   * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing or has a path.
   *
   * @example A view of numbers
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * const map = Pmem2Map.from(source);
   * const numbers = new Float64Array(map.buffer);
   * numbers[511] = 0.5;
   * map.close();
   * assertEquals(numbers.length, 0);
   * ```
   */
  get buffer(): ArrayBuffer {
    return Pmem2Map.#views(this, "get the buffer").buffer;
  }

  /**
   * The memory as bytes: a view on all of {@linkcode Pmem2Map.buffer}. It is always
   * the same object. Everything that is said about the buffer applies to it.
   *
   * @returns The view.
   * @throws {TypeError} If the map is not both readable and writable, or if it was
   * closed before its buffer was used.
   * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing or has a path.
   *
   * @example Stores without a copy
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using map = Pmem2Map.from(source);
   * map.bytes.set([1, 2, 3], 10);
   * map.persist(map.bytes.subarray(10, 13));
   * assertEquals(map.bytes[11], 2);
   * ```
   *
   * @example A file that is only read
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "hello");
   * using map = Pmem2Map.open(path, { sharing: "private" });
   * assertEquals(map.bytes.indexOf("l".charCodeAt(0)), 2);
   * Deno.removeSync(path);
   * ```
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    return Pmem2Map.#views(this, "get the bytes").bytes;
  }

  static #views(
    value: unknown,
    action: string,
  ): NonNullable<NativeMap["handedOut"]> {
    const map = Pmem2Map.#of(value, action);
    // Empties the views if the map is gone.
    void map.live;
    if (map.handedOut !== null) return map.handedOut;
    const native = readable(value, action);
    if (!native.traits.writable) {
      throw isnt(
        action,
        'not writable: use read(), or map it with sharing: "private", whose views never reach the file',
      );
    }
    try {
      return native.views;
    } catch (error) {
      throw withoutViews(action, error);
    }
  }

  /**
   * Copies bytes out of the map.
   *
   * @param target The array to fill. Its length says how many bytes are read.
   * @param offset Where to start reading, in bytes from the start of the map.
   * Defaults to 0.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or not readable.
   * @throws {RangeError} If the range reaches past the end of the map.
   *
   * @example Reading a part of a file
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "hello");
   * using map = Pmem2Map.open(path, { write: false });
   * const bytes = new Uint8Array(4);
   * map.read(bytes, 1);
   * assertEquals(new TextDecoder().decode(bytes), "ello");
   * Deno.removeSync(path);
   * ```
   */
  read(target: Uint8Array, offset?: number): void;
  read(target: Uint8Array, offset: number = 0): void {
    const action = "read from the map";
    const length = writableLengthOf(action, "target", target);
    const map = readable(this, action);
    checkInMap(action, map, offset, length);
    if (length > 0) map.read(target, offset, length);
  }

  /**
   * Copies bytes into the map. They are durable when this returns, unless `options`
   * say otherwise. The bytes may come from the map itself. C's
   * `pmem2_get_memcpy_fn`, or a faster equivalent.
   *
   * A copy is not atomic, not even one of eight aligned bytes. Store through a view
   * what must change all at once: for example a `BigUint64Array` on `buffer`.
   *
   * @param data The bytes to write.
   * @param offset Where to start writing, in bytes from the start of the map.
   * Defaults to 0.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, an option does not
   * exist, or the map is closed or not writable.
   * @throws {RangeError} If the range reaches past the end of the map.
   * @throws {Pmem2Error} If {@linkcode Pmem2Map.persist} would throw one. The bytes
   * are then stored, but not durable.
   *
   * @example Two records, and one wait for both
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 4096 });
   * map.write(new Uint8Array([1, 2]), 0, { drain: false });
   * map.write(new Uint8Array([3, 4]), 2, { drain: false });
   * map.drain();
   * assertEquals(Deno.readFileSync(path).slice(0, 4), new Uint8Array([1, 2, 3, 4]));
   * Deno.removeSync(path);
   * ```
   */
  write(data: Uint8Array, offset?: number, options?: StoreOptions): void;
  write(data: Uint8Array, offset: number = 0, options?: StoreOptions): void {
    const action = "write to the map";
    const flags = options === undefined ? 0 : storeFlags(action, options);
    const length = lengthOf(action, "data", data);
    const map = writable(this, action);
    checkInMap(action, map, offset, length);
    if (length === 0) return;
    map.persistence.write(map, offset, data, length, flags);
  }

  /**
   * Copies bytes within the map; the two ranges may overlap. The copy is durable
   * when this returns, unless `options` say otherwise. C's `pmem2_get_memmove_fn`,
   * or a faster equivalent.
   *
   * @param target Where to copy to, in bytes from the start of the map.
   * @param source Where to copy from, in bytes from the start of the map.
   * @param length How many bytes to copy.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, an option does not
   * exist, or the map is closed or not both readable and writable.
   * @throws {RangeError} If one of the ranges reaches past the end of the map.
   * @throws {Pmem2Error} If {@linkcode Pmem2Map.persist} would throw one. The bytes
   * are then stored, but not durable.
   *
   * @example Ranges that overlap
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using map = Pmem2Map.from(source);
   * map.write(new TextEncoder().encode("abcdef"));
   * map.move(2, 0, 4);
   * const bytes = new Uint8Array(6);
   * map.read(bytes);
   * assertEquals(new TextDecoder().decode(bytes), "ababcd");
   * ```
   */
  move(
    target: number,
    source: number,
    length: number,
    options?: StoreOptions,
  ): void {
    const action = "move within the map";
    const flags = storeFlags(action, options);
    readable(this, action);
    const map = writable(this, action);
    checkInMap(action, map, target, length, "target");
    checkInMap(action, map, source, length, "source");
    if (length === 0) return;
    map.persistence.move(map, target, source, length, flags);
  }

  /**
   * Sets bytes of the map to a value. They are durable when this returns, unless
   * `options` say otherwise. C's `pmem2_get_memset_fn`, or a faster equivalent.
   *
   * @param value The value of each byte: 0 to 255.
   * @param offset Where the range starts, in bytes from the start of the map.
   * Defaults to 0.
   * @param length How many bytes to set. Defaults to the rest of the map.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, an option does not
   * exist, or the map is closed or not writable.
   * @throws {RangeError} If `value` is not an integer from 0 to 255, or the range
   * reaches past the end of the map.
   * @throws {Pmem2Error} If {@linkcode Pmem2Map.persist} would throw one. The bytes
   * are then stored, but not durable.
   *
   * @example Filling the end of a map
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using map = Pmem2Map.from(source);
   * map.fill(0xff, 4000);
   * assertEquals(map.bytes.indexOf(0xff), 4000);
   * ```
   */
  fill(
    value: number,
    offset?: number,
    length?: number,
    options?: StoreOptions,
  ): void;
  fill(
    value: number,
    offset: number = 0,
    length?: number,
    options?: StoreOptions,
  ): void {
    const action = "fill the map";
    const flags = storeFlags(action, options);
    checkInteger(action, "value", value, 0, 255);
    const map = writable(this, action);
    const start = startOf(action, map, offset, NUMBERS_ONLY);
    const count = countOf(action, map, start, length);
    if (count === 0) return;
    map.persistence.fill(map, start, value, count, flags);
  }

  /**
   * Makes the stores to a range durable: flushes and drains. C's
   * `pmem2_get_persist_fn`.
   *
   * @param offset Where the range starts, in bytes from the start of the map.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the map.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or neither readable nor writable.
   * @throws {RangeError} If the range reaches past the end of the map.
   * @throws {Pmem2Error} If the disk fails at page granularity: EIO or ENOSPC, with
   * `call` "msync".
   *
   * @example Persisting three bytes
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 4096 });
   * map.bytes.set([1, 2, 3]);
   * map.persist(0, 3);
   * Deno.removeSync(path);
   * ```
   */
  persist(offset?: number, length?: number): void;
  /**
   * Makes the stores to a view durable.
   *
   * @param view A view on the map's `buffer`: a typed array or a `DataView`.
   */
  persist(view: ArrayBufferView): void;
  persist(offset?: number | ArrayBufferView, length?: number): void {
    const action = "persist";
    const map = flushable(this, action);
    if (isRange(offset, length, map.size)) {
      map.persist(offset, length as number);
    } else {
      const start = startOf(action, map, offset);
      map.persist(start, countOf(action, map, start, length, offset));
    }
  }

  /**
   * Flushes the stores to a range. They are durable once {@linkcode Pmem2Map.drain}
   * returns; at page granularity, once this returns. C's `pmem2_get_flush_fn`.
   *
   * @param offset Where the range starts, in bytes from the start of the map.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the map.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or neither readable nor writable.
   * @throws {RangeError} If the range reaches past the end of the map.
   * @throws {Pmem2Error} If the disk fails at page granularity: EIO or ENOSPC, with
   * `call` "msync".
   *
   * @example Two ranges, and one wait for both
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 8192 });
   * map.bytes[0] = 1;
   * map.bytes[5000] = 2;
   * map.flush(0, 1);
   * map.flush(5000, 1);
   * map.drain();
   * Deno.removeSync(path);
   * ```
   */
  flush(offset?: number, length?: number): void;
  /**
   * Flushes the stores to a view.
   *
   * @param view A view on the map's `buffer`: a typed array or a `DataView`.
   */
  flush(view: ArrayBufferView): void;
  flush(offset?: number | ArrayBufferView, length?: number): void {
    const action = "flush";
    const map = flushable(this, action);
    if (isRange(offset, length, map.size)) {
      map.flush(offset, length as number);
    } else {
      const start = startOf(action, map, offset);
      map.flush(start, countOf(action, map, start, length, offset));
    }
  }

  /**
   * Waits until everything that was flushed is durable. C's
   * `pmem2_get_drain_fn`.
   *
   * @throws {TypeError} If the map is closed.
   * @throws {Pmem2Error} If a flush of the map failed at page granularity.
   *
   * @example Flushing everything, and waiting for it
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using map = Pmem2Map.from(source);
   * map.flush();
   * map.drain();
   * ```
   */
  drain(): void {
    Pmem2Map.#live(this, "drain").persistence.drain();
  }

  /**
   * Makes the stores to a range durable without relying on buffers that the
   * hardware writes out when the power fails. This is slow. At page granularity it
   * does what {@linkcode Pmem2Map.persist} does. C's `pmem2_deep_flush`.
   *
   * @param offset Where the range starts, in bytes from the start of the map.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the map.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or neither readable nor writable.
   * @throws {RangeError} If the range reaches past the end of the map.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory, or another code if
   * the system refuses.
   *
   * @example Deep flushing three bytes
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 4096 });
   * map.write(new Uint8Array([1, 2, 3]));
   * map.deepFlush(0, 3);
   * Deno.removeSync(path);
   * ```
   */
  deepFlush(offset?: number, length?: number): void;
  /**
   * Deep flushes the stores to a view.
   *
   * @param view A view on the map's `buffer`: a typed array or a `DataView`.
   */
  deepFlush(view: ArrayBufferView): void;
  deepFlush(offset?: number | ArrayBufferView, length?: number): void {
    const action = "deep flush";
    const map = flushable(this, action);
    const start = startOf(action, map, offset);
    const count = countOf(action, map, start, length, offset);
    map.deepFlush(start, count);
  }

  /**
   * Does what {@linkcode Pmem2Map.persist} does on another thread, without blocking
   * the event loop. It makes durable what the range holds at the time of the call.
   * The map cannot be closed until the promise settles.
   *
   * At page granularity, rely on a {@linkcode Pmem2Map.persist} of the same source
   * only when no `persistAsync` is pending any more: if the disk fails, the kernel
   * reports that to one of the two only.
   *
   * @param offset Where the range starts, in bytes from the start of the map.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the map.
   * @returns A promise that resolves when the stores are durable.
   * @throws {TypeError} Rejects if an argument has the wrong type, or the map is
   * closed or neither readable nor writable.
   * @throws {RangeError} Rejects if the range reaches past the end of the map.
   * @throws {Pmem2Error} Rejects if {@linkcode Pmem2Map.persist} would throw one.
   *
   * @example Persisting a large map
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 1024 ** 2 });
   * map.fill(1, 0, map.size, { flush: false });
   * await map.persistAsync();
   * Deno.removeSync(path);
   * ```
   */
  persistAsync(offset?: number, length?: number): Promise<void>;
  /**
   * Makes the stores to a view durable on another thread.
   *
   * @param view A view on the map's `buffer`: a typed array or a `DataView`.
   * @returns A promise that resolves when the stores are durable.
   */
  persistAsync(view: ArrayBufferView): Promise<void>;
  async persistAsync(
    offset?: number | ArrayBufferView,
    length?: number,
  ): Promise<void> {
    const action = "persist";
    const map = flushable(this, action);
    const start = startOf(action, map, offset);
    const count = countOf(action, map, start, length, offset);
    await map.persistAsync(start, count);
  }

  /**
   * Does what {@linkcode Pmem2Map.deepFlush} does on another thread, without
   * blocking the event loop. It makes durable what the range holds at the time of
   * the call. The map cannot be closed until the promise settles.
   *
   * @param offset Where the range starts, in bytes from the start of the map.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the map.
   * @returns A promise that resolves when the stores are durable.
   * @throws {TypeError} Rejects if an argument has the wrong type, or the map is
   * closed or neither readable nor writable.
   * @throws {RangeError} Rejects if the range reaches past the end of the map.
   * @throws {Pmem2Error} Rejects if libpmem2 refuses. The error lacks libpmem2's
   * message, which stays on the other thread.
   *
   * @example Deep flushing one byte
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * using map = Pmem2Map.open(path, { size: 4096 });
   * map.bytes[0] = 1;
   * await map.deepFlushAsync(0, 1);
   * Deno.removeSync(path);
   * ```
   */
  deepFlushAsync(offset?: number, length?: number): Promise<void>;
  /**
   * Deep flushes the stores to a view on another thread.
   *
   * @param view A view on the map's `buffer`: a typed array or a `DataView`.
   * @returns A promise that resolves when the stores are durable.
   */
  deepFlushAsync(view: ArrayBufferView): Promise<void>;
  async deepFlushAsync(
    offset?: number | ArrayBufferView,
    length?: number,
  ): Promise<void> {
    const action = "deep flush";
    const map = flushable(this, action);
    const start = startOf(action, map, offset);
    const count = countOf(action, map, start, length, offset);
    await map.deepFlushAsync(start, count);
  }

  /**
   * Whether the map is closed.
   *
   * @returns True if it is closed.
   */
  get closed(): boolean {
    return !Pmem2Map.#of(this, "tell whether the map is closed").live;
  }

  /**
   * Closes the map: empties all views on it, and unmaps the memory. Stores that
   * were not persisted may or may not be durable. Closing again does nothing. C's
   * `pmem2_map_delete`.
   *
   * The memory is unmapped at once, unless the map is outside of a reservation and its
   * `buffer` or `bytes` was used. Then it stays mapped for at least 5 seconds, until a
   * later call of this module or a garbage collection; if more than 256 such maps or
   * more than 1 GiB wait, the earliest are unmapped sooner. Until then, the file system
   * cannot be unmounted. No asynchronous operation may still use a view on the map when
   * it is unmapped: see {@linkcode Pmem2Map.buffer}.
   *
   * @throws {TypeError} If an asynchronous flush is pending, if the buffer was
   * transferred, or if the map belongs to other native code. The map stays open.
   * @throws {Pmem2Error} ENOMEM if the map is in a reservation and the process has
   * as many mappings as the system allows. The map stays open.
   *
   * @example Views are empty after closing
   * ```ts
   * import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * const map = Pmem2Map.from(source);
   * const { bytes } = map;
   * map.close();
   * assertEquals(bytes.length, 0);
   * ```
   */
  close(): void {
    closeMap("close the map", Pmem2Map.#of(this, "close the map"));
  }

  /**
   * Closes the map at the end of the block in which `using` declares it.
   *
   * @throws {TypeError} If the map cannot be closed: see
   * {@linkcode Pmem2Map.close}.
   */
  [Symbol.dispose](): void {
    const action = "dispose of the map";
    closeMap(action, Pmem2Map.#of(this, action));
  }

  /**
   * Waits for pending asynchronous flushes, then closes the map, at the end of the
   * block in which `await using` declares it. Errors of the flushes are reported by
   * their own promises.
   *
   * @returns A promise that resolves when the map is closed.
   * @throws {TypeError} Rejects if the map cannot be closed: see
   * {@linkcode Pmem2Map.close}.
   *
   * @example Closing after a pending flush
   * ```ts
   * import { Pmem2Map } from "@pmem2/pmem2";
   *
   * const path = Deno.makeTempFileSync();
   * {
   *   await using map = Pmem2Map.open(path, { size: 1024 ** 2 });
   *   map.fill(1, 0, map.size, { flush: false });
   *   map.persistAsync();
   * }
   * Deno.removeSync(path);
   * ```
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const action = "dispose of the map";
    const map = Pmem2Map.#of(this, action);
    await map.whenIdle();
    closeMap(action, map);
  }

  /** The text that `console.log` shows: path, size, address, granularity, and unusual traits. */
  [Symbol.for("Deno.customInspect")](
    _inspect: unknown,
    options?: Deno.InspectOptions,
  ): string {
    // Printing an object to find an error must not throw another.
    if (!(isObject(this) && #native in this)) return "Pmem2Map {}";
    const canvas = canvasOf(options);
    const native = this.#native;
    if (!native.live) return "Pmem2Map (closed)";
    const { address } = native;
    return canvas.indent(drawMap({ address, ...drawnMap(native) }, canvas));
  }
}

callable(import.meta.url, Pmem2Map);

/** Returns what is drawn of a map; internal to the module. */
export function drawnMap({ size, granularity, traits }: NativeMap): DrawnMap {
  return {
    size,
    granularity: granularities[granularity]!,
    sharing: traits.shared ? "shared" : "private",
    path: traits.path,
    sourceOffset: traits.sourceOffset,
    readable: traits.readable,
    writable: traits.writable,
  };
}

function closeMap(action: string, map: NativeMap): void {
  if (!map.live) return;
  const obstacle = map.closeObstacle;
  if (obstacle !== null) throw typeError(`Cannot ${action} as ${obstacle}`);
  map.delete();
}

function isnt(action: string, what: string): TypeError {
  return typeError(`Cannot ${action} as the map is ${what}`);
}

// PERF: the checks of each call are kept apart from errors, and from maps that other
// native code may have deleted. V8 inlines short functions, up to a limit of about
// 770 bytecodes in all (Deno 2.9.6).

function readable(value: unknown, action: string): NativeMap {
  const native = nativeOf(value);
  return native !== null && (native.access & READ) !== 0
    ? native
    : lookCloser(value, action, READ, "not readable");
}

function writable(value: unknown, action: string): NativeMap {
  const native = nativeOf(value);
  return native !== null && (native.access & WRITE) !== 0
    ? native
    : lookCloser(value, action, WRITE, "not writable");
}

/** The CPU can flush a cache line only if it may access it. */
function flushable(value: unknown, action: string): NativeMap {
  const native = nativeOf(value);
  return native !== null && (native.access & (READ | WRITE)) !== 0
    ? native
    : lookCloser(value, action, READ | WRITE, "neither readable nor writable");
}

function lookCloser(
  value: unknown,
  action: string,
  access: number,
  otherwise: string,
): NativeMap {
  const native = liveMap(value, action);
  if ((accessOf(native.traits) & access) === 0) throw isnt(action, otherwise);
  return native;
}

function checkInMap(
  action: string,
  map: NativeMap,
  offset: unknown,
  length: unknown,
  name?: string,
): void {
  if (isRange(offset, length, map.size)) return;
  checkRange(action, offset, length, map.size, "map", name);
}
