/**
 * libpmem2's `struct pmem2_map`.
 *
 * @module
 */

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
import { drawMap } from "./inspect/layout.ts";
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
// The type alone: at run time reservations are built on maps, not the reverse.

// What is imported V8 looks up each time; a module's own constants it knows.
const { isObject, isRange } = argument;
const { countOf, NUMBERS_ONLY, startOf } = range;
const { lengthOf, writableLengthOf } = views;
const { READ, WRITE } = nativeMap;

/** The native side of a map; internal to the module. */
export let nativeMapOf: (value: unknown) => NativeMap | null;

/** The same for this file: what is exported V8 looks up as if it were imported. */
let nativeOf: typeof nativeMapOf;

/** The one `Pmem2Map` of a native map; internal to the module. */
export let mapOf: (native: NativeMap) => Pmem2Map;

/** The native side of `this`, which must be a map that is open. */
let liveMap: (value: unknown, action: string) => NativeMap;

/** What to throw where views can't be had; other errors are left as they are. */
export function withoutViews(action: string, error: unknown): unknown {
  return error instanceof Deno.errors.NotCapable
    ? fromCaller(
      new Deno.errors.NotCapable(
        `Cannot ${action} as that needs --allow-ffi without a path: read() and write() work with what was granted`,
        { cause: error },
      ),
    )
    : error;
}

/** The source behind what a caller gave, which must be open. */
export function liveSource(action: string, source: unknown): NativeSource {
  const native = nativeSourceOf(source);
  if (native === undefined) {
    throw wrongType(action, "source", "a Pmem2Source", source);
  }
  if (native.closed) throw isClosed(action, "source");
  return native;
}

/** Maps what was opened for that alone. */
export function mapOnce(map: () => Pmem2Map): Pmem2Map {
  try {
    return map();
  } finally {
    opening.discard();
  }
}

/**
 * A part of a source in memory, or all of it. C's `struct pmem2_map`.
 *
 * A store to a map is visible at once and durable once it was persisted. Close
 * the map when it isn't needed any more, best with `using`: it is not closed by
 * garbage collection. Views that are left are empty then, so nothing can be
 * read or written that is no longer mapped.
 *
 * What no binding can make safe: a file that is truncated while it's mapped, and
 * a sparse file on a disk that is full. To touch what isn't there then ends the
 * process with SIGBUS.
 *
 * A disk that fails is an error: at page granularity, whatever makes stores
 * durable throws a `Pmem2Error` then, with `call` "msync". What was stored since
 * that last succeeded may be lost, even though it can still be read. The kernel
 * reports this once, and would not notice the loss later. So the error stays, for
 * all maps of the source: close them, open the source again, and store again.
 *
 * Nor what libpmem2 does to the whole process for a moment while it maps a file.
 * It changes the working directory: while one worker maps, the others had better
 * name their files by absolute paths. And on a file system without DAX it unmaps
 * the place where the map is to go: memory that another thread's native code
 * maps at that very moment can land there, and is lost. It reads the environment
 * without Deno's lock: while one worker maps, `Deno.env.set` in another can end the
 * process.
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
  readonly #native: NativeMap;

  static {
    nativeMapOf = nativeOf = (value) =>
      isObject(value) && #native in value ? value.#native : null;
    mapOf = (native) => (native.wrapper ??= new Pmem2Map(native)) as Pmem2Map;
    liveMap = Pmem2Map.#live;
  }

  private constructor(native: NativeMap) {
    if (!(native instanceof NativeMap)) {
      throw typeError(
        "Cannot construct a Pmem2Map: use Pmem2Map.open, Pmem2Map.from or a reservation's map",
      );
    }
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
   * Opens a file, maps it, and lets go of the descriptor: a map needs none. The
   * same as `Pmem2Source.open` and {@linkcode Pmem2Map.from}, except that
   * `write` says whether the memory can be written to. The file is opened for
   * writing if `write` is true and `sharing` "shared", or if `create`, `createNew`
   * or `size` is given. C's
   * `pmem2_source_from_fd` and `pmem2_map_new`.
   *
   * @param path The path, or a `file:` URL.
   * @param options How to open the file, and how to map it.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, or an option doesn't
   * exist.
   * @throws {RangeError} If a number is out of its range, or the map would reach
   * past the end of the file.
   * @throws {Deno.errors.NotFound} And the others that `Deno.open` throws.
   * @throws {Pmem2Error} If libpmem2 or the system refuses: for example
   * PMEM2_E_GRANULARITY_NOT_SUPPORTED, PMEM2_E_OFFSET_UNALIGNED,
   * PMEM2_E_LENGTH_UNALIGNED, PMEM2_E_SOURCE_EMPTY, PMEM2_E_NO_ACCESS, ENOSPC.
   *
   * @example A file that is created at its first use
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
   * @param options Which part of it, and how.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If a number is out of its range, or the map would reach
   * past the end of the source.
   * @throws {Pmem2Error} If libpmem2 or the system refuses: see
   * {@linkcode Pmem2Map.open}.
   *
   * @example The second page of a file, for reading
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
   * Makes a map of memory that other native code mapped, and still owns: it must
   * stay mapped while the map is open, and closing the map doesn't unmap it. C's
   * `pmem2_map_from_existing`.
   *
   * Unsafe, since nobody can tell when the memory goes away: then the next access
   * ends the process.
   *
   * @param source What the memory is mapped from.
   * @param address Where it is: it must be mapped and not in a reservation.
   * @param size How many bytes: 1 to 2^47.
   * @param granularity The store granularity of the memory. Nothing checks it;
   * a finer one than the medium has loses data.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, or the source is
   * closed.
   * @throws {RangeError} If a number is out of its range; if not all of the
   * memory is mapped; if it's in a reservation; if too few of the process's
   * pthread keys are left, of which libpmem2 1.12 uses one up for every call.
   * @throws {Pmem2Error} PMEM2_E_MAP_EXISTS if libpmem2 knows a map there.
   *
   * @example A map over a part of another's memory is refused
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
    const last = BigInt(MAX_SIZE - size);
    checkBigInt(action, "address", address, 1n, last);
    checkOneOf(action, "granularity", granularity, granularities);
    return mapOf(
      mapExisting(
        action,
        liveSource(action, source),
        address,
        size,
        granularities.indexOf(granularity),
      ),
    );
  }

  /**
   * Address of the first byte. C's `pmem2_map_get_address`.
   *
   * @throws {TypeError} If the map is closed.
   */
  get address(): bigint {
    return Pmem2Map.#live(this, "get the address").address;
  }

  /**
   * Size in bytes. C's `pmem2_map_get_size`.
   *
   * @throws {TypeError} If the map is closed.
   */
  get size(): number {
    return Pmem2Map.#live(this, "get the size").size;
  }

  /**
   * The store granularity that the map really has: the one that was asked for,
   * or a finer one. Private and anonymous maps have "byte", since nothing of them
   * is to last. C's `pmem2_map_get_store_granularity`.
   *
   * @throws {TypeError} If the map is closed.
   */
  get granularity(): Granularity {
    const { granularity } = Pmem2Map.#live(this, "get the granularity");
    return granularities[granularity]!;
  }

  /**
   * The reservation that the map is in, or null.
   *
   * @throws {TypeError} If the map is closed.
   */
  get reservation(): Pmem2VmReservation | null {
    const { owner } = Pmem2Map.#live(this, "get the reservation");
    return owner === null ? null : owner.wrapper as Pmem2VmReservation;
  }

  /**
   * Bytes from the start of the reservation; 0 outside one. It changes when the
   * head of the reservation is cut off.
   *
   * @throws {TypeError} If the map is closed.
   */
  get offset(): number {
    return Pmem2Map.#live(this, "get the offset").offset;
  }

  /**
   * First byte of the source that is mapped: the `offset` that was asked for. Two
   * windows of one file are told apart by it. Of memory that other native code
   * mapped it's what the system says.
   *
   * @throws {TypeError} If the map is closed.
   *
   * @example
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
   * Whether stores reach the source ("shared"), or stay with the map ("private").
   *
   * @throws {TypeError} If the map is closed.
   */
  get sharing(): Sharing {
    const { shared } = Pmem2Map.#live(this, "get the sharing").traits;
    return shared ? "shared" : "private";
  }

  /**
   * Whether the memory can be read.
   *
   * @throws {TypeError} If the map is closed.
   */
  get readable(): boolean {
    return Pmem2Map.#live(this, "tell whether it is readable").traits.readable;
  }

  /**
   * Whether the memory can be written to.
   *
   * @throws {TypeError} If the map is closed.
   */
  get writable(): boolean {
    return Pmem2Map.#live(this, "tell whether it is writable").traits.writable;
  }

  /**
   * The path of the source as it was opened; null for a descriptor, for
   * anonymous memory, and for a map that other native code made.
   *
   * @throws {TypeError} If the map is closed.
   */
  get path(): string | null {
    return Pmem2Map.#live(this, "get the path").traits.path;
  }

  /**
   * The `struct pmem2_map *`, for other native code, until the map is closed.
   *
   * Unsafe, since that code must not delete it, nor use it on another thread
   * while this module closes it: that would end the process or corrupt memory.
   *
   * @throws {TypeError} If the map is closed.
   */
  get unsafeHandle(): bigint {
    return Pmem2Map.#live(this, "get the handle").pointer;
  }

  /**
   * The memory itself, without a copy: always the same object, and empty once the
   * map is closed. Needs `--allow-ffi` without a path.
   *
   * A map that can't be written to has none, as JavaScript has no view that can
   * only be read. Use {@linkcode Pmem2Map.read}, which copies. Or map the file
   * with `sharing: "private"`: no copy, read permission is enough, and what is
   * stored there stays in this process.
   *
   * Don't transfer it (`postMessage` with a transfer list, `transfer()`): the map
   * can't be closed then. And don't close the map while something else is still
   * at work on the memory, like `crypto.scrypt` from node:crypto: that would
   * end the process.
   *
   * @throws {TypeError} If the map is closed and it was never asked for, or if
   * the map is not both readable and writable.
   * @throws {Deno.errors.NotCapable} Without the permission.
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
   * The memory as bytes: {@linkcode Pmem2Map.buffer} with a view over all of it,
   * and all that is said there holds. Always the same object.
   *
   * @throws {TypeError} If the map is closed and it was never asked for, or if
   * the map is not both readable and writable.
   * @throws {Deno.errors.NotCapable} Without the permission.
   *
   * @example Without a copy
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
    // Empties them, if the map is gone.
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
   * @param target Gets the bytes; its length says how many.
   * @param offset Where to read, in bytes from the start of the map: 0 to its
   * size less the length; 0 if it isn't given.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or not readable.
   * @throws {RangeError} If it's past the end of the map.
   *
   * @example
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
   * Copies bytes into the map, and makes them durable unless told else. The
   * bytes may come from the map itself. C's `pmem2_get_memcpy_fn`, or
   * what has the same effect and is faster.
   *
   * A copy is not atomic, not even of eight aligned bytes. What must change all at
   * once is stored through a view, such as a `BigUint64Array` on `buffer`.
   *
   * @param data The bytes.
   * @param offset Where to write, in bytes from the start of the map: 0 to its
   * size less the length; 0 if it isn't given.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or not writable.
   * @throws {RangeError} If it's past the end of the map.
   * @throws {Pmem2Error} As {@linkcode Pmem2Map.persist} does: the bytes are stored
   * then, but not durable.
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
   * Copies bytes within the map, also where the two ranges overlap, and makes
   * them durable unless told else. C's `pmem2_get_memmove_fn`, or what has the
   * same effect and is faster.
   *
   * @param target Where to, in bytes from the start of the map: 0 to its size
   * less `length`.
   * @param source Where from, likewise.
   * @param length How many bytes.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or not both readable and writable.
   * @throws {RangeError} If one of the ranges is past the end of the map.
   * @throws {Pmem2Error} As {@linkcode Pmem2Map.persist} does: the bytes are stored
   * then, but not durable.
   *
   * @example
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
   * Sets bytes of the map to a value, and makes them durable unless told else.
   * C's `pmem2_get_memset_fn`, or what has the same effect and is faster.
   *
   * @param value The value of each byte: 0 to 255.
   * @param offset Where to start, in bytes from the start of the map; 0 if it isn't
   * given.
   * @param length How many bytes; without it, to the end of the map.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or not writable.
   * @throws {RangeError} If `value` is not a byte, or the range is past the end
   * of the map.
   * @throws {Pmem2Error} As {@linkcode Pmem2Map.persist} does: the bytes are stored
   * then, but not durable.
   *
   * @example
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
   * Makes stores durable: flushes and drains. C's `pmem2_get_persist_fn`.
   *
   * @param offset Where to start, in bytes from the start of the map; 0 if it isn't
   * given.
   * @param length How many bytes; without it, to the end of the map.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or neither readable nor writable.
   * @throws {RangeError} If the range is past the end of the map.
   * @throws {Pmem2Error} At page granularity, with `call` "msync", if the disk
   * fails: EIO, ENOSPC.
   *
   * @example
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
   * Starts to make stores durable; they are after {@linkcode Pmem2Map.drain}. At
   * page granularity they are when it returns. C's `pmem2_get_flush_fn`.
   *
   * @param offset Where to start, in bytes from the start of the map; 0 if it isn't
   * given.
   * @param length How many bytes; without it, to the end of the map.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or neither readable nor writable.
   * @throws {RangeError} If the range is past the end of the map.
   * @throws {Pmem2Error} At page granularity, with `call` "msync", if the disk
   * fails: EIO, ENOSPC.
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
   * Starts to make the stores to a view durable.
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
   *
   * @example
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
   * Makes stores durable beyond the power-fail protected buffers of the hardware:
   * they survive a failure of those, too. Slow. At page granularity this is
   * {@linkcode Pmem2Map.persist}. C's `pmem2_deep_flush`.
   *
   * @param offset Where to start, in bytes from the start of the map; 0 if it isn't
   * given.
   * @param length How many bytes; without it, to the end of the map.
   * @throws {TypeError} If an argument has the wrong type, or the map is closed
   * or neither readable nor writable.
   * @throws {RangeError} If the range is past the end of the map.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory; or if the system
   * refuses.
   *
   * @example
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
   * Makes the stores to a view durable in this way.
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
   * {@linkcode Pmem2Map.persist} on another thread: the event loop runs on. The
   * map can't be closed until it's done. What becomes durable is what the memory
   * holds when this is called. While it's pending, what a {@linkcode Pmem2Map.persist}
   * of the same source at page granularity has made durable is sure when both are
   * done: of a disk that fails the kernel tells only one of them.
   *
   * @param offset Where to start, in bytes from the start of the map; 0 if it isn't
   * given.
   * @param length How many bytes; without it, to the end of the map.
   * @returns A promise that resolves when the stores are durable.
   * @throws {TypeError} Rejects if an argument has the wrong type, or the map is
   * closed or neither readable nor writable.
   * @throws {RangeError} Rejects if the range is past the end of the map.
   * @throws {Pmem2Error} Rejects as {@linkcode Pmem2Map.persist} throws.
   *
   * @example
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
   * {@linkcode Pmem2Map.deepFlush} on another thread: the event loop runs on. The
   * map can't be closed until it's done. What becomes durable is what the memory
   * holds when this is called.
   *
   * @param offset Where to start, in bytes from the start of the map; 0 if it isn't
   * given.
   * @param length How many bytes; without it, to the end of the map.
   * @returns A promise that resolves when the stores are durable.
   * @throws {TypeError} Rejects if an argument has the wrong type, or the map is
   * closed or neither readable nor writable.
   * @throws {RangeError} Rejects if the range is past the end of the map.
   * @throws {Pmem2Error} Rejects if libpmem2 refuses; without its message, which
   * stays on the other thread.
   *
   * @example
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

  /** Whether the map was closed. */
  get closed(): boolean {
    return !Pmem2Map.#of(this, "tell whether the map is closed").live;
  }

  /**
   * Unmaps the memory and empties all views on it. What was not persisted may or
   * may not be durable. Closing again does nothing. C's `pmem2_map_delete`.
   *
   * Nothing else may still be at work on the memory, such as an asynchronous
   * operation that was handed a view: see {@linkcode Pmem2Map.buffer}.
   *
   * @throws {TypeError} If the map can't be closed, and then it stays as it is:
   * an asynchronous flush is pending, its buffer was transferred, or it belongs
   * to other native code.
   * @throws {Pmem2Error} ENOMEM if the process has as many mappings as the
   * system allows, and the map is in a reservation: it stays open.
   *
   * @example
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
   * Closes the map at the end of a `using`'s block.
   *
   * @throws {TypeError} If the map can't be closed: see
   * {@linkcode Pmem2Map.close}.
   */
  [Symbol.dispose](): void {
    const action = "dispose of the map";
    closeMap(action, Pmem2Map.#of(this, action));
  }

  /**
   * Closes the map at the end of an `await using`'s block, after the asynchronous
   * flushes that are pending. How those end is told by their own promises.
   *
   * @throws {TypeError} Rejects if the map can't be closed: see
   * {@linkcode Pmem2Map.close}.
   *
   * @example
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

  /** What `console.log` shows: path, size, address, granularity, and what sets it apart. */
  [Symbol.for("Deno.customInspect")](
    _inspect: unknown,
    options?: Deno.InspectOptions,
  ): string {
    // What is printed to find an error must not throw one.
    if (!(isObject(this) && #native in this)) return "Pmem2Map {}";
    const canvas = canvasOf(options);
    const { live, address, size, granularity, traits } = this.#native;
    if (!live) return "Pmem2Map (closed)";
    return canvas.indent(drawMap({
      address,
      size,
      granularity: granularities[granularity]!,
      sharing: traits.shared ? "shared" : "private",
      path: traits.path,
      sourceOffset: traits.sourceOffset,
      readable: traits.readable,
      writable: traits.writable,
    }, canvas));
  }
}

callable(import.meta.url, Pmem2Map);

function closeMap(action: string, map: NativeMap): void {
  if (!map.live) return;
  const obstacle = map.closeObstacle;
  if (obstacle !== null) throw typeError(`Cannot ${action} as ${obstacle}`);
  map.delete();
}

function isnt(action: string, what: string): TypeError {
  return typeError(`Cannot ${action} as the map is ${what}`);
}

// What is asked for each time stands apart from the errors, and from maps that
// other native code may have deleted: V8 inlines what is short, up to a limit.

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

/** To flush a cache line the CPU must be able to access it. */
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
