/**
 * libpmem2's `struct pmem2_vm_reservation`.
 *
 * @module
 */

import { BigInt, Math } from "./input/intrinsics.ts";
import * as argument from "./input/argument.ts";
import {
  checkBigInt,
  checkBoolean,
  checkInteger,
  checkRange,
  isClosed,
  MAX_SIZE,
  outOfRange,
  wrongThis,
  wrongType,
} from "./input/argument.ts";
import { callable, rangeError, typeError } from "./input/caller.ts";
import {
  type MapSettings,
  mapSettings,
  openAndMapSettings,
  openAndReservationMapOptionNames,
  reservationMapOptionNames,
  type ReservationMapOptions,
} from "./input/map_options.ts";
import type { OpenOptions } from "./input/open_options.ts";
import { optionNames, optionsOf } from "./input/options.ts";
import { pathOf } from "./input/path.ts";
import * as range from "./input/range.ts";
import * as storeOptions from "./input/store_options.ts";
import type { StoreOptions } from "./input/store_options.ts";
import * as views from "./input/views.ts";
import { drawReservation, type LayoutMap } from "./inspect/layout.ts";
import { canvasOf, DEFAULT_ITEMS } from "./inspect/options.ts";
import * as maps from "./map.ts";
import { drawnMap, liveSource, mapOnce, type Pmem2Map } from "./map.ts";
import type { Pmem2Memory } from "./memory.ts";
import type { NativeMap } from "./native/map.ts";
import { alignmentOf, mappedLength } from "./native/new_map.ts";
import { NativeSource } from "./native/source.ts";
import {
  NativeVmReservation,
  reservationAlignment,
  wholePages,
} from "./native/vm_reservation.ts";
import {
  ForwardWalk,
  type Gap,
  gapsOf,
  ReverseWalk,
  Walk,
  type WalkOptions,
} from "./native/walk.ts";
import { addressLimit, pageSize } from "./process/placement.ts";
import { nativeSourceOf, type Pmem2Source } from "./source.ts";

// PERF: see preload.ts.
const { isObject, isRange } = argument;
const { mapOf, nativeMapOf, withoutViews } = maps;
const { countOf, NUMBERS_ONLY, startOf } = range;
const { storeFlags } = storeOptions;
const { lengthOf, writableLengthOf } = views;

const newOptionNames = optionNames<{ address?: bigint }>({ address: true });
const walkOptionNames = optionNames<WalkOptions>({
  from: true,
  to: true,
  reverse: true,
});
const closeOptionNames = optionNames<{ maps?: boolean }>({ maps: true });

/**
 * A range of addresses that is reserved for maps, so that several files can lie side
 * by side in memory. C's `struct pmem2_vm_reservation`.
 *
 * A reservation can be used like one large map: {@linkcode Pmem2VmReservation.view}
 * returns one array over several of its maps, and copies, stores and flushes may
 * cross the borders between them. Address space costs nothing, so reserve plenty:
 * when a file grows, its next part can be mapped right after the last one.
 *
 * Iterating over a reservation yields its maps in address order. Close it when you
 * no longer need it, best with `using`, which closes its maps as well.
 *
 * A reservation belongs to the worker, or the main thread, that made it: libpmem2
 * takes no lock when it searches. If that worker ends without closing it, the
 * addresses stay reserved until the process ends.
 *
 * @example Two files side by side, walked in address order
 * ```ts
 * import { Pmem2VmReservation } from "@pmem2/pmem2";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = Deno.makeTempDirSync();
 * using reservation = new Pmem2VmReservation(16_384);
 * reservation.map(`${directory}/b`, { create: true, size: 4096, at: 8192 });
 * reservation.map(`${directory}/a`, { create: true, size: 4096, at: 0 });
 * const offsets = [];
 * for (const map of reservation) offsets.push(map.offset);
 * assertEquals(offsets, [0, 8192]);
 * Deno.removeSync(directory, { recursive: true });
 * ```
 */
export class Pmem2VmReservation implements Pmem2Memory, Iterable<Pmem2Map> {
  readonly #native: NativeVmReservation;

  /**
   * Reserves a range of addresses. C's `pmem2_vm_reservation_new`.
   *
   * With `address`, the caller chooses the place. While libpmem2 maps a file on a
   * file system without DAX, it leaves the place of the map free for a moment, and
   * memory that the kernel puts there at that moment is lost. So choose a part of the
   * address space where the kernel puts nothing on its own. Without `address`, this
   * module does so.
   *
   * @param size The size in bytes: a multiple of the page size, up to 2^47.
   * @param options The `address` of the first byte: 2 MiB-aligned; 1 GiB-aligned for
   * sizes >= 2 GiB.
   * @throws {TypeError} If an argument has the wrong type, or an option does not
   * exist.
   * @throws {RangeError} If `size` is not an integer in its range, or if `address`
   * is not aligned or reaches past the address space.
   * @throws {Pmem2Error} PMEM2_E_LENGTH_UNALIGNED if `size` is not a multiple of the
   * page size, PMEM2_E_MAPPING_EXISTS if something else is mapped at `address`,
   * ENOMEM if no free range is large enough.
   *
   * @example At an address of the caller's choice
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const address = 0x3000_0000_0000n;
   * using reservation = new Pmem2VmReservation(2 ** 21, { address });
   * assertEquals(reservation.address, address);
   * ```
   */
  constructor(size: number, options?: { address?: bigint | undefined }) {
    const action = "make a reservation";
    const { address } = optionsOf(action, options, newOptionNames);
    checkInteger(action, "size", size, 1, MAX_SIZE);
    if (address !== undefined) {
      const alignment = BigInt(reservationAlignment(size));
      const last = addressLimit() - BigInt(size);
      checkBigInt(action, "address", address, alignment, last);
      if (address % alignment !== 0n) {
        const rule = `a multiple of ${alignment}n`;
        throw outOfRange(action, "address", rule, address);
      }
    }
    this.#native = new NativeVmReservation(size, address ?? null);
    this.#native.wrapper = this;
  }

  static #of(value: unknown, action: string): NativeVmReservation {
    if (!(isObject(value) && #native in value)) {
      throw wrongThis(action, "a Pmem2VmReservation");
    }
    return value.#native;
  }

  static #live(value: unknown, action: string): NativeVmReservation {
    const native = Pmem2VmReservation.#of(value, action);
    if (native.closed) throw isClosed(action, "reservation");
    return native;
  }

  /**
   * The address of the first byte. It changes when the reservation is shrunk at its
   * start. C's `pmem2_vm_reservation_get_address`.
   *
   * @returns The address.
   * @throws {TypeError} If the reservation is closed.
   */
  get address(): bigint {
    return Pmem2VmReservation.#live(this, "get the address").address;
  }

  /**
   * The size in bytes. C's `pmem2_vm_reservation_get_size`.
   *
   * @returns The size in bytes.
   * @throws {TypeError} If the reservation is closed.
   */
  get size(): number {
    return Pmem2VmReservation.#live(this, "get the size").size;
  }

  /**
   * The `struct pmem2_vm_reservation *`, for use by other native code. It is valid
   * until the reservation is closed. Maps that such code makes in the reservation can
   * be found, walked and read through this object, but not closed.
   *
   * Unsafe: that code must not delete the reservation, and must not use it on another
   * thread, since libpmem2 takes no lock when it searches. Either ends the process or
   * corrupts memory.
   *
   * @returns The pointer as an integer.
   * @throws {TypeError} If the reservation is closed.
   */
  get unsafeHandle(): bigint {
    return Pmem2VmReservation.#live(this, "get the handle").pointer;
  }

  /**
   * Maps a source into the reservation. C's `pmem2_map_new` with
   * `pmem2_config_set_vm_reservation`.
   *
   * @param source What to map.
   * @param options Which part of the source to map, how, and where. Without `at`,
   * the map goes to the first gap that is large enough.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, an option does not
   * exist, or the source or the reservation is closed.
   * @throws {RangeError} If a number is out of range, if the map would reach past
   * the end of the source or of the reservation, or if no gap is large enough.
   * @throws {Pmem2Error} PMEM2_E_MAPPING_EXISTS if another map is in the way,
   * PMEM2_E_OFFSET_UNALIGNED if `at` is not a multiple of the page size, or a code
   * that {@linkcode Pmem2Map.open} lists.
   *
   * @example Two maps of one source, side by side
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * reservation.map(source);
   * assertEquals(reservation.map(source).offset, 4096);
   * ```
   */
  map(source: Pmem2Source, options?: ReservationMapOptions): Pmem2Map;
  /**
   * Opens a file, maps it into the reservation, and closes the descriptor: see
   * {@linkcode Pmem2Map.open}.
   *
   * @param path The path, or a `file:` URL.
   * @param options How to open the file, how to map it, and where.
   * @returns The map.
   * @throws {Deno.errors.NotFound} If the file does not exist and neither `create`
   * nor `createNew` is given. The other errors of `Deno.open` are thrown likewise.
   */
  map(
    path: string | URL,
    options?: OpenOptions & ReservationMapOptions,
  ): Pmem2Map;
  map(
    from: Pmem2Source | string | URL,
    options?: OpenOptions & ReservationMapOptions,
  ): Pmem2Map {
    const action = "map into the reservation";
    if (typeof from !== "string" && !(from instanceof URL)) {
      if (nativeSourceOf(from) === undefined) {
        const rule = "a Pmem2Source, a path or a file: URL";
        throw wrongType(action, "source", rule, from);
      }
      const settings = mapSettings(
        action,
        options,
        reservationMapOptionNames,
      );
      const native = Pmem2VmReservation.#live(this, action);
      return place(action, native, liveSource(action, from), settings);
    }
    const settings = openAndMapSettings(
      action,
      options,
      openAndReservationMapOptionNames,
    );
    const path = pathOf(action, from);
    const native = Pmem2VmReservation.#live(this, action);
    const { at, offset, length } = settings.map;
    // Checked before the file grows: it will be at least as long as `size`.
    const least = (settings.file.size ?? 0) - offset;
    checkPlace(action, native, at, length ?? Math.max(least, 1));
    const source = NativeSource.open(path, settings.file);
    return mapOnce(() => place(action, native, source, settings.map));
  }

  /**
   * Finds the first map, in address order, that intersects a range. C's
   * `pmem2_vm_reservation_map_find`.
   *
   * @param offset Where the range starts, in bytes from the start of the
   * reservation. The range may reach past the end of the reservation.
   * @param length How many bytes the range has. Defaults to 1, and 0 means the same:
   * the map that contains `offset`.
   * @returns The map, or null if no map intersects the range.
   * @throws {TypeError} If an argument is not a number, or the reservation is
   * closed.
   * @throws {RangeError} If an argument is not a non-negative safe integer.
   *
   * @example Finding a map by a byte, and by a range
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * const map = reservation.map(source, { at: 8192 });
   * assertEquals(reservation.find(8191), null);
   * assertEquals(reservation.find(8191, 2), map);
   * ```
   */
  find(offset: number, length?: number): Pmem2Map | null;
  find(offset: number, length: number = 1): Pmem2Map | null {
    const action = "find a map";
    const native = Pmem2VmReservation.#live(this, action);
    if (!isRange(offset, length, native.size)) {
      checkInteger(action, "offset", offset);
      checkInteger(action, "length", length);
      length = native.size - offset;
    }
    if (offset >= native.size || !native.search(offset, length)) return null;
    // PERF: with the index, the CPU need not load the native map.
    const { index } = native;
    const position = index.search(native.base + offset);
    return index.isFound(position) && index.wrappers[position] !== null
      ? index.wrappers[position] as Pmem2Map
      : mapOf(native.found(position));
  }

  /**
   * Finds the map with the lowest address. C's
   * `pmem2_vm_reservation_map_find_first`.
   *
   * @returns The map, or null if the reservation has no maps.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example An empty reservation
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using reservation = new Pmem2VmReservation(4096);
   * assertEquals(reservation.findFirst(), null);
   * ```
   */
  findFirst(): Pmem2Map | null {
    return wrap(Pmem2VmReservation.#live(this, "find a map").findFirst());
  }

  /**
   * Finds the map with the highest address. C's
   * `pmem2_vm_reservation_map_find_last`.
   *
   * @returns The map, or null if the reservation has no maps.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example A single map is the first and the last
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * reservation.map(source);
   * assertEquals(reservation.findLast(), reservation.findFirst());
   * ```
   */
  findLast(): Pmem2Map | null {
    return wrap(Pmem2VmReservation.#live(this, "find a map").findLast());
  }

  /**
   * Finds the next map, in address order. C's
   * `pmem2_vm_reservation_map_find_next`.
   *
   * @param map A map of this reservation.
   * @returns The map with the next higher address, or null if `map` is the last.
   * @throws {TypeError} If `map` is not a map, is closed, or is not in this
   * reservation, or if the reservation is closed.
   *
   * @example The map after a gap
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * const map = reservation.map(source, { at: 4096 });
   * const next = reservation.map(source, { at: 12_288 });
   * assertEquals(reservation.findNext(map), next);
   * ```
   */
  findNext(map: Pmem2Map): Pmem2Map | null {
    const action = "find the next map";
    const native = Pmem2VmReservation.#live(this, action);
    return wrap(native.findNext(ownMap(action, native, map)));
  }

  /**
   * Finds the previous map, in address order. C's
   * `pmem2_vm_reservation_map_find_prev`.
   *
   * @param map A map of this reservation.
   * @returns The map with the next lower address, or null if `map` is the first.
   * @throws {TypeError} If `map` is not a map, is closed, or is not in this
   * reservation, or if the reservation is closed.
   *
   * @example The first map has no predecessor
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * const map = reservation.map(source);
   * assertEquals(reservation.findPrev(map), null);
   * ```
   */
  findPrev(map: Pmem2Map): Pmem2Map | null {
    const action = "find the previous map";
    const native = Pmem2VmReservation.#live(this, action);
    return wrap(native.findPrev(ownMap(action, native, map)));
  }

  /**
   * Walks the maps in address order, with `pmem2_vm_reservation_map_find_first` and
   * `pmem2_vm_reservation_map_find_next`. Maps may be made and closed during the
   * walk: each step goes to the next map that exists at that time.
   *
   * @returns An iterator over the maps.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example Closing all maps
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * for (const at of [8192, 0, 4096]) reservation.map(source, { at });
   * for (const map of reservation) map.close();
   * assertEquals([...reservation], []);
   * ```
   */
  [Symbol.iterator](): IteratorObject<Pmem2Map, undefined> {
    const native = Pmem2VmReservation.#live(this, "walk the reservation");
    return new MapIterator(new ForwardWalk(native, 0, Infinity, mapOf));
  }

  /**
   * Walks the maps of the reservation, or of a part of it. With `reverse` it walks
   * from the last map to the first, with `pmem2_vm_reservation_map_find_last` and
   * `pmem2_vm_reservation_map_find_prev`. The offsets `from` and `to` are turned into
   * addresses when the walk starts.
   *
   * @param options Which part to walk, and in which direction.
   * @returns An iterator over the maps.
   * @throws {TypeError} If an option has the wrong type or does not exist, or the
   * reservation is closed.
   * @throws {RangeError} If `from` or `to` is not a non-negative safe integer.
   *
   * @example Walking backwards
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * for (const at of [8192, 0, 4096]) reservation.map(source, { at });
   * const offsets = reservation.maps({ reverse: true, to: 8192 })
   *   .map((map) => map.offset);
   * assertEquals([...offsets], [4096, 0]);
   * ```
   */
  maps(options?: WalkOptions): IteratorObject<Pmem2Map, undefined> {
    const action = "walk the reservation";
    const { from = 0, to, reverse = false } = optionsOf(
      action,
      options,
      walkOptionNames,
    );
    checkInteger(action, "from", from);
    if (to !== undefined) checkInteger(action, "to", to);
    checkBoolean(action, "reverse", reverse);
    const native = Pmem2VmReservation.#live(this, action);
    const Direction = reverse ? ReverseWalk : ForwardWalk;
    return new MapIterator(new Direction(native, from, to ?? Infinity, mapOf));
  }

  /**
   * Walks the free ranges in address order. They consist of whole pages: with pages
   * of 4,096 bytes, a map of 5,000 bytes takes 8,192.
   *
   * @returns An iterator over the free ranges.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example Gaps before and after a map
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * reservation.map(source, { at: 4096 });
   * assertEquals([...reservation.gaps()], [
   *   { offset: 0, size: 4096 },
   *   { offset: 8192, size: 8192 },
   * ]);
   * ```
   */
  gaps(): IteratorObject<Gap, undefined> {
    return gapsOf(Pmem2VmReservation.#live(this, "walk the gaps"));
  }

  /**
   * Makes a view on a range, without a copy and across the borders of the maps in
   * it. Requires `--allow-ffi` without a path.
   *
   * All of the range must be mapped. The rest of a file's last page, after the end of
   * the file, counts as mapped: stores to it stay in memory and never reach the file.
   *
   * Closing any of the maps that the view's buffer covers empties the view. Each call
   * makes a new view, but views over the same maps share one buffer, which covers
   * those maps as a whole; so `byteOffset` may be greater than 0. If the buffer is
   * transferred, none of these maps can be closed: see {@linkcode Pmem2Map.buffer}.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the
   * reservation.
   * @returns A new view.
   * @throws {TypeError} If an argument is not a number, if one of the maps is not both
   * readable and writable or was made by other native code, if the buffer was
   * transferred, or if the reservation is closed.
   * @throws {RangeError} If the range reaches past the end of the reservation, or if a
   * part of it is not mapped: the message gives the first offset that is free.
   * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing or has a path.
   *
   * @example Two files as one array
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * for (const name of ["a", "b"]) {
   *   reservation.map(`${directory}/${name}`, { create: true, size: 4096 });
   * }
   * const bytes = reservation.view();
   * bytes.fill(7, 4000, 5000);
   * reservation.persist(bytes.subarray(4000, 5000));
   * assertEquals(Deno.readFileSync(`${directory}/b`).indexOf(0), 904);
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  view(offset?: number, length?: number): Uint8Array<ArrayBuffer>;
  view(offset: number = 0, length?: number): Uint8Array<ArrayBuffer> {
    const action = "view the reservation";
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset, NUMBERS_ONLY);
    const count = countOf(action, native, start, length);
    try {
      return native.views.view(action, start, count);
    } catch (error) {
      throw withoutViews(action, error);
    }
  }

  /**
   * Copies bytes out of the reservation, across the borders of its maps. All of the
   * range must be mapped.
   *
   * @param target The array to fill. Its length says how many bytes are read.
   * @param offset Where to start reading, in bytes from the start of the reservation.
   * Defaults to 0.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is not
   * readable, or if the reservation is closed.
   * @throws {RangeError} If the range reaches past the end of the reservation, or if a
   * part of it is not mapped: the message gives the first offset that is free.
   *
   * @example The end of one file and the start of the next
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * for (const name of ["a", "b"]) {
   *   Deno.writeFileSync(`${directory}/${name}`, new Uint8Array(4096).fill(name.charCodeAt(0)));
   *   reservation.map(`${directory}/${name}`, { write: false });
   * }
   * const bytes = new Uint8Array(4);
   * reservation.read(bytes, 4094);
   * assertEquals(new TextDecoder().decode(bytes), "aabb");
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  read(target: Uint8Array, offset?: number): void;
  read(target: Uint8Array, offset: number = 0): void {
    const action = "read from the reservation";
    const length = writableLengthOf(action, "target", target);
    const native = Pmem2VmReservation.#live(this, action);
    checkInside(action, native, offset, length);
    if (length > 0) native.memory.read(action, target, offset, length);
  }

  /**
   * Copies bytes into the reservation, across the borders of its maps. They are durable
   * when this returns, unless `options` say otherwise. Each map is flushed as its
   * granularity requires, with one drain for all. The bytes may come from the
   * reservation itself. All of the range must be mapped; otherwise nothing is stored.
   *
   * A copy is not atomic: see {@linkcode Pmem2Map.write}.
   *
   * @param data The bytes to write.
   * @param offset Where to start writing, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, an option does not exist, if
   * one of the maps is not writable, or if the reservation is closed.
   * @throws {RangeError} If the range reaches past the end of the reservation, or if a
   * part of it is not mapped: the message gives the first offset that is free.
   * @throws {Pmem2Error} If the system refuses to make a part durable. All parts are
   * tried, then the first error is thrown.
   *
   * @example A text across the border of two files
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * for (const name of ["a", "b"]) {
   *   reservation.map(`${directory}/${name}`, { create: true, size: 4096 });
   * }
   * reservation.write(new TextEncoder().encode("hello"), 4094);
   * assertEquals(Deno.readTextFileSync(`${directory}/a`).slice(-2), "he");
   * assertEquals(Deno.readTextFileSync(`${directory}/b`).slice(0, 3), "llo");
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  write(data: Uint8Array, offset?: number, options?: StoreOptions): void;
  write(data: Uint8Array, offset: number = 0, options?: StoreOptions): void {
    const action = "write to the reservation";
    const flags = options === undefined ? 0 : storeFlags(action, options);
    const length = lengthOf(action, "data", data);
    const native = Pmem2VmReservation.#live(this, action);
    checkInside(action, native, offset, length);
    if (length > 0) native.memory.write(action, data, offset, length, flags);
  }

  /**
   * Copies bytes within the reservation, across the borders of its maps; the two
   * ranges may overlap. The copy is durable when this returns, unless `options` say
   * otherwise. All of both ranges must be mapped; otherwise nothing is stored.
   *
   * @param target Where to copy to, in bytes from the start of the reservation.
   * @param source Where to copy from, in bytes from the start of the reservation.
   * @param length How many bytes to copy.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, an option does not exist, if
   * a map of the source range is not readable or one of the target range not writable,
   * or if the reservation is closed.
   * @throws {RangeError} If one of the ranges reaches past the end of the reservation,
   * or if a part of it is not mapped: the message gives the first offset that is free.
   * @throws {Pmem2Error} If {@linkcode Pmem2VmReservation.write} would throw one.
   *
   * @example From one map to the next
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(8192);
   * const first = reservation.map(source);
   * const second = reservation.map(source);
   * first.fill(1);
   * reservation.move(4000, 0, 4096);
   * assertEquals(second.bytes.indexOf(0), 4000);
   * ```
   */
  move(
    target: number,
    source: number,
    length: number,
    options?: StoreOptions,
  ): void {
    const action = "move within the reservation";
    const flags = storeFlags(action, options);
    const native = Pmem2VmReservation.#live(this, action);
    checkInside(action, native, target, length, "target");
    checkInside(action, native, source, length, "source");
    if (length > 0) native.memory.move(action, target, source, length, flags);
  }

  /**
   * Sets bytes of the reservation to a value, across the borders of its maps. They are
   * durable when this returns, unless `options` say otherwise. All of the range must be
   * mapped; otherwise nothing is stored.
   *
   * @param value The value of each byte: 0 to 255.
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes to set. Defaults to the rest of the reservation.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, an option does not exist, if
   * one of the maps is not writable, or if the reservation is closed.
   * @throws {RangeError} If `value` is not an integer from 0 to 255, if the range
   * reaches past the end of the reservation, or if a part of it is not mapped: the
   * message gives the first offset that is free.
   * @throws {Pmem2Error} If {@linkcode Pmem2VmReservation.write} would throw one.
   *
   * @example Filling across a border
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(8192);
   * reservation.map(source);
   * const second = reservation.map(source);
   * reservation.fill(0xff, 4000, 1000);
   * assertEquals(second.bytes.lastIndexOf(0xff), 903);
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
    const action = "fill the reservation";
    const flags = storeFlags(action, options);
    checkInteger(action, "value", value, 0, 255);
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset, NUMBERS_ONLY);
    const count = countOf(action, native, start, length);
    if (count > 0) native.memory.fill(action, start, value, count, flags);
  }

  /**
   * Makes the stores to a range durable in all of its maps: flushes each map as its
   * granularity requires, and drains once. Gaps are skipped.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the
   * reservation.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is
   * neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} If the range reaches past the end of the reservation.
   * @throws {Pmem2Error} If the system refuses for one of the maps. All maps are tried,
   * then the first error is thrown.
   *
   * @example Stores to two files
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * for (const name of ["a", "b"]) {
   *   reservation.map(`${directory}/${name}`, { create: true, size: 4096 });
   * }
   * reservation.view(4090, 12).fill(1);
   * reservation.persist(4090, 12);
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  persist(offset?: number, length?: number): void;
  /**
   * Makes the stores to a view durable.
   *
   * @param view A typed array or a `DataView` on the buffer of one of the reservation's
   * views, or of one of its maps.
   */
  persist(view: ArrayBufferView): void;
  persist(offset?: number | ArrayBufferView, length?: number): void {
    const action = "persist";
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset);
    const count = countOf(action, native, start, length, offset);
    if (count > 0) native.memory.persist(action, start, count);
  }

  /**
   * Flushes the stores to a range in all of its maps. They are durable once
   * {@linkcode Pmem2VmReservation.drain} returns. Gaps are skipped.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the
   * reservation.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is
   * neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} If the range reaches past the end of the reservation.
   * @throws {Pmem2Error} If {@linkcode Pmem2VmReservation.persist} would throw one.
   *
   * @example Two ranges, and one wait for both
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(8192);
   * reservation.map(source);
   * reservation.flush(0, 1);
   * reservation.flush(4000, 1);
   * reservation.drain();
   * ```
   */
  flush(offset?: number, length?: number): void;
  /**
   * Flushes the stores to a view.
   *
   * @param view A typed array or a `DataView` on the buffer of one of the reservation's
   * views, or of one of its maps.
   */
  flush(view: ArrayBufferView): void;
  flush(offset?: number | ArrayBufferView, length?: number): void {
    const action = "flush";
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset);
    const count = countOf(action, native, start, length, offset);
    if (count > 0) native.memory.flush(action, start, count);
  }

  /**
   * Waits until everything that was flushed in its maps is durable.
   *
   * @throws {TypeError} If the reservation is closed.
   * @throws {Pmem2Error} If a flush of one of the maps failed at page granularity.
   *
   * @example Waiting for the flush of a map
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(8192);
   * reservation.map(source).flush();
   * reservation.drain();
   * ```
   */
  drain(): void {
    Pmem2VmReservation.#live(this, "drain").memory.drain();
  }

  /**
   * Deep flushes the stores to a range in all of its maps: see
   * {@linkcode Pmem2Map.deepFlush}. Gaps are skipped.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the
   * reservation.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is
   * neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} If the range reaches past the end of the reservation.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory, or another code if the
   * system refuses. All maps are tried, then the first error is thrown.
   *
   * @example Deep flushing three bytes
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * reservation.map(`${directory}/a`, { create: true, size: 4096 });
   * reservation.write(new Uint8Array([1, 2, 3]), 0, { flush: false });
   * reservation.deepFlush(0, 3);
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  deepFlush(offset?: number, length?: number): void;
  /**
   * Deep flushes the stores to a view.
   *
   * @param view A typed array or a `DataView` on the buffer of one of the reservation's
   * views, or of one of its maps.
   */
  deepFlush(view: ArrayBufferView): void;
  deepFlush(offset?: number | ArrayBufferView, length?: number): void {
    const action = "deep flush";
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset);
    const count = countOf(action, native, start, length, offset);
    if (count > 0) native.memory.deepFlush(action, start, count);
  }

  /**
   * Does what {@linkcode Pmem2VmReservation.persist} does on other threads, without
   * blocking the event loop. It makes durable what the range holds at the time of the
   * call. The maps in the range cannot be closed until their flushes are done.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the
   * reservation.
   * @returns A promise that resolves when the stores are durable. It settles when the
   * flushes of all maps are done.
   * @throws {TypeError} Rejects if an argument has the wrong type, if one of the maps
   * is neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} Rejects if the range reaches past the end of the reservation.
   * @throws {Pmem2Error} Rejects if {@linkcode Pmem2VmReservation.persist} would throw
   * one.
   *
   * @example Persisting two files at once
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * for (const name of ["a", "b"]) {
   *   reservation.map(`${directory}/${name}`, { create: true, size: 4096 });
   * }
   * reservation.fill(1, 0, 8192, { flush: false });
   * await reservation.persistAsync();
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  persistAsync(offset?: number, length?: number): Promise<void>;
  /**
   * Makes the stores to a view durable on other threads.
   *
   * @param view A typed array or a `DataView` on the buffer of one of the reservation's
   * views, or of one of its maps.
   * @returns A promise that resolves when the stores are durable. It settles when the
   * flushes of all maps are done.
   */
  persistAsync(view: ArrayBufferView): Promise<void>;
  async persistAsync(
    offset?: number | ArrayBufferView,
    length?: number,
  ): Promise<void> {
    const action = "persist";
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset);
    const count = countOf(action, native, start, length, offset);
    if (count > 0) await native.memory.persistAsync(action, start, count);
  }

  /**
   * Does what {@linkcode Pmem2VmReservation.deepFlush} does on other threads, without
   * blocking the event loop. The maps in the range cannot be closed until their flushes
   * are done.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation.
   * Defaults to 0.
   * @param length How many bytes the range has. Defaults to the rest of the
   * reservation.
   * @returns A promise that resolves when the stores are durable. It settles when the
   * flushes of all maps are done.
   * @throws {TypeError} Rejects if an argument has the wrong type, if one of the maps
   * is neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} Rejects if the range reaches past the end of the reservation.
   * @throws {Pmem2Error} Rejects if {@linkcode Pmem2VmReservation.deepFlush} would throw
   * one. The error lacks libpmem2's message, which stays on the other thread.
   *
   * @example Deep flushing three bytes
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * const directory = Deno.makeTempDirSync();
   * using reservation = new Pmem2VmReservation(8192);
   * reservation.map(`${directory}/a`, { create: true, size: 4096 });
   * reservation.write(new Uint8Array([1, 2, 3]), 0, { flush: false });
   * await reservation.deepFlushAsync(0, 3);
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  deepFlushAsync(offset?: number, length?: number): Promise<void>;
  /**
   * Deep flushes the stores to a view on other threads.
   *
   * @param view A typed array or a `DataView` on the buffer of one of the reservation's
   * views, or of one of its maps.
   * @returns A promise that resolves when the stores are durable. It settles when the
   * flushes of all maps are done.
   */
  deepFlushAsync(view: ArrayBufferView): Promise<void>;
  async deepFlushAsync(
    offset?: number | ArrayBufferView,
    length?: number,
  ): Promise<void> {
    const action = "deep flush";
    const native = Pmem2VmReservation.#live(this, action);
    const start = startOf(action, native, offset);
    const count = countOf(action, native, start, length, offset);
    if (count > 0) await native.memory.deepFlushAsync(action, start, count);
  }

  /**
   * Extends the reservation at its end. Its address does not change, so this fails if
   * something else is mapped there. C's `pmem2_vm_reservation_extend`.
   *
   * @param size How many bytes to add: a multiple of the page size. The new size may
   * be up to 2^47.
   * @throws {TypeError} If `size` is not a number, or the reservation is closed.
   * @throws {RangeError} If `size` is not an integer in its range.
   * @throws {Pmem2Error} PMEM2_E_LENGTH_UNALIGNED if `size` is not a multiple of the
   * page size, PMEM2_E_MAPPING_EXISTS if something else is mapped after the
   * reservation, ENOMEM if the system refuses.
   *
   * @example Adding two pages
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using reservation = new Pmem2VmReservation(4096);
   * reservation.extend(8192);
   * assertEquals(reservation.size, 12_288);
   * ```
   */
  extend(size: number): void {
    const action = "extend the reservation";
    const native = Pmem2VmReservation.#live(this, action);
    checkInteger(action, "size", size, 0, MAX_SIZE - native.size);
    native.extend(size);
  }

  /**
   * Removes a free range from the start or the end of the reservation. At the start,
   * this changes the address of the reservation and the offsets of all maps in it. C's
   * `pmem2_vm_reservation_shrink`.
   *
   * @param offset Where the range starts, in bytes from the start of the reservation:
   * a multiple of the page size.
   * @param size How many bytes to remove: a multiple of the page size.
   * @throws {TypeError} If an argument is not a number, if the reservation is closed,
   * or if other native code has memory in it.
   * @throws {RangeError} If the range reaches past the end of the reservation.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP if the range is in the middle, or is the whole
   * reservation; PMEM2_E_VM_RESERVATION_NOT_EMPTY if a map is in the range;
   * PMEM2_E_OFFSET_UNALIGNED or PMEM2_E_LENGTH_UNALIGNED if `offset` or `size` is not a
   * multiple of the page size; PMEM2_E_LENGTH_OUT_OF_RANGE if `size` is 0.
   *
   * @example Removing the first page
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using reservation = new Pmem2VmReservation(12_288);
   * const { address } = reservation;
   * reservation.shrink(0, 4096);
   * assertEquals(reservation.address, address + 4096n);
   * assertEquals(reservation.size, 8192);
   * ```
   */
  shrink(offset: number, size: number): void {
    const action = "shrink the reservation";
    const native = Pmem2VmReservation.#live(this, action);
    checkRange(
      action,
      offset,
      size,
      native.size,
      "reservation",
      "offset",
      "size",
    );
    native.shrink(offset, size);
  }

  /**
   * Whether the reservation is closed.
   *
   * @returns True if it is closed.
   */
  get closed(): boolean {
    return Pmem2VmReservation.#of(this, "tell whether it is closed").closed;
  }

  /**
   * Closes the reservation, which frees its addresses. Closing again does nothing. C's
   * `pmem2_vm_reservation_delete`.
   *
   * @param options With `maps: true`, the maps in the reservation are closed first: all
   * of them, or none if one cannot be closed.
   * @throws {TypeError} If an option has the wrong type or does not exist, or if `maps`
   * is true and one of the maps cannot be closed. Nothing is closed then.
   * @throws {Pmem2Error} PMEM2_E_VM_RESERVATION_NOT_EMPTY if the reservation has maps
   * and `maps` is not true.
   *
   * @example Closing a reservation together with its maps
   * ```ts
   * import { Pmem2Error, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * const reservation = new Pmem2VmReservation(4096);
   * const map = reservation.map(source);
   * const error = assertThrows(() => reservation.close(), Pmem2Error);
   * assertEquals(error.code, "PMEM2_E_VM_RESERVATION_NOT_EMPTY");
   * reservation.close({ maps: true });
   * assertEquals(map.closed, true);
   * ```
   */
  close(options?: { maps?: boolean | undefined }): void {
    const action = "close the reservation";
    const { maps = false } = optionsOf(action, options, closeOptionNames);
    checkBoolean(action, "maps", maps);
    closeReservation(action, Pmem2VmReservation.#of(this, action), maps);
  }

  /**
   * Closes the reservation and its maps at the end of the block in which `using`
   * declares it.
   *
   * @throws {TypeError} If one of the maps cannot be closed. Nothing is closed then.
   */
  [Symbol.dispose](): void {
    const action = "dispose of the reservation";
    closeReservation(action, Pmem2VmReservation.#of(this, action), true);
  }

  /**
   * Waits for pending asynchronous flushes, then closes the reservation and its maps, at
   * the end of the block in which `await using` declares it.
   *
   * @returns A promise that resolves when the reservation is closed.
   * @throws {TypeError} Rejects if one of the maps cannot be closed. Nothing is closed
   * then.
   *
   * @example Closing after a pending flush
   * ```ts
   * import { Pmem2VmReservation } from "@pmem2/pmem2";
   *
   * const directory = Deno.makeTempDirSync();
   * {
   *   await using reservation = new Pmem2VmReservation(8192);
   *   reservation.map(`${directory}/a`, { create: true, size: 4096 });
   *   reservation.persistAsync();
   * }
   * Deno.removeSync(directory, { recursive: true });
   * ```
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const action = "dispose of the reservation";
    const native = Pmem2VmReservation.#of(this, action);
    if (!native.closed) await native.memory.whenIdle();
    closeReservation(action, native, true);
  }

  /** The text that `console.log` shows: a bar to scale, and a line for each map and gap. */
  [Symbol.for("Deno.customInspect")](
    _inspect: unknown,
    options?: Deno.InspectOptions,
  ): string {
    // Printing an object to find an error must not throw another.
    if (!(isObject(this) && #native in this)) return "Pmem2VmReservation {}";
    const native = this.#native;
    const canvas = canvasOf(options);
    if (native.closed) return "Pmem2VmReservation (closed)";
    return canvas.indent(drawReservation({
      pageSize: pageSize(),
      address: native.address,
      size: native.size,
      maps: drawnMaps(native),
      gaps: gapsOf(native),
    }, {
      ...canvas,
      // Deno's default is meant for short items; here each one takes a line.
      rows: canvas.items === DEFAULT_ITEMS ? DEFAULT_ROWS : canvas.items,
    }));
  }
}

const DEFAULT_ROWS = 10;

/** Returns what is drawn of the maps. SAFETY: a native map never gets to a method of arrays. */
function drawnMaps(reservation: NativeVmReservation): LayoutMap[] {
  const drawn: LayoutMap[] = [];
  const maps = reservation.list();
  for (let i = 0; i < maps.length; i++) {
    const map = maps[i]!;
    drawn[i] = { offset: map.offset, ...drawnMap(map) };
  }
  return drawn;
}

/** An iterator over a walk. */
class MapIterator extends Iterator<Pmem2Map, undefined> {
  readonly #walk: Walk;

  constructor(walk: Walk) {
    super();
    if (!(walk instanceof Walk)) {
      throw typeError(
        "Cannot construct an iterator over maps: use a reservation's maps()",
      );
    }
    this.#walk = walk;
  }

  override next(): IteratorResult<Pmem2Map, undefined> {
    if (!(isObject(this) && #walk in this)) {
      throw wrongThis("walk the reservation", "an iterator over its maps");
    }
    const map = this.#walk.step();
    return map === null
      ? { done: true, value: undefined }
      : { done: false, value: map as Pmem2Map };
  }
}

callable(import.meta.url, Pmem2VmReservation, MapIterator);

function wrap(native: NativeMap | null): Pmem2Map | null {
  return native === null ? null : mapOf(native);
}

function ownMap(
  action: string,
  reservation: NativeVmReservation,
  map: unknown,
): NativeMap {
  const native = nativeMapOf(map);
  if (native === null) throw wrongType(action, "map", "a Pmem2Map", map);
  if (native.access === 0 && !native.live) throw isClosed(action, "map");
  if (native.owner !== reservation) {
    throw typeError(
      `Cannot ${action} as the map is not in this reservation`,
    );
  }
  return native;
}

function checkInside(
  action: string,
  reservation: NativeVmReservation,
  offset: unknown,
  length: unknown,
  name?: string,
): void {
  if (isRange(offset, length, reservation.size)) return;
  checkRange(action, offset, length, reservation.size, "reservation", name);
}

function checkPlace(
  action: string,
  reservation: NativeVmReservation,
  at: number | undefined,
  length: number,
): void {
  if (at === undefined) return;
  const { size } = reservation;
  if (at >= size) {
    const rule = `less than ${size}, the reservation's size`;
    throw outOfRange(action, "at", rule, at);
  }
  if (wholePages(length) > BigInt(size - at)) {
    throw rangeError(
      `Cannot ${action} as at + length, in whole pages, must be at most ${size}, the reservation's size: received ${at} + ${length}`,
    );
  }
  if (reservation.isTakenByOthers(reservation.address + BigInt(at), length)) {
    throw rangeError(
      `Cannot ${action} as other native code has memory at ${at}`,
    );
  }
}

function place(
  action: string,
  reservation: NativeVmReservation,
  source: NativeSource,
  settings: MapSettings,
): Pmem2Map {
  const { at } = settings;
  const length = mappedLength(action, source, settings);
  checkPlace(action, reservation, at, length);
  // libpmem2 itself refuses an empty file.
  const address = at === undefined && length > 0
    ? reservation.place(length, alignmentOf(source))
    : reservation.address + BigInt(at ?? 0);
  if (address === null) {
    throw rangeError(
      `Cannot ${action} as no gap is large enough for ${length} bytes: the largest has ${reservation.longestGap()}`,
    );
  }
  return mapOf(reservation.map(source, settings, address, length));
}

function closeReservation(
  action: string,
  reservation: NativeVmReservation,
  withMaps: boolean,
): void {
  if (reservation.closed) return;
  if (withMaps) {
    const maps = reservation.list();
    for (let i = 0; i < maps.length; i++) {
      const map = maps[i]!;
      const obstacle = map.closeObstacle;
      if (obstacle === null) continue;
      throw typeError(
        `Cannot ${action} as its map at offset ${map.offset} cannot be closed: ${obstacle}`,
      );
    }
    for (let i = 0; i < maps.length; i++) maps[i]!.delete();
  }
  reservation.delete();
}
