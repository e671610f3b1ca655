/**
 * libpmem2's `struct pmem2_vm_reservation`.
 *
 * @module
 */

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
import { granularities } from "./input/granularity.ts";
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
import { drawReservation } from "./inspect/layout.ts";
import { canvasOf, DEFAULT_ITEMS } from "./inspect/options.ts";
import * as maps from "./map.ts";
import { liveSource, mapOnce, type Pmem2Map } from "./map.ts";
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
  type Walk,
  type WalkOptions,
} from "./native/walk.ts";
import { addressLimit, pageSize } from "./process/placement.ts";
import { nativeSourceOf, type Pmem2Source } from "./source.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
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
 * A range of addresses that belongs to its maps alone, so that several files lie
 * side by side in memory. C's `struct pmem2_vm_reservation`.
 *
 * It is one memory, made of its maps: {@linkcode Pmem2VmReservation.view} is an array
 * over several of them, and copies, stores and flushes go across their borders. As
 * address space is free, reserve much, and map the next part of a file behind the
 * last one when it grows.
 *
 * It is an iterable of its maps in the order of their addresses. Close it when it
 * isn't needed any more, best with `using`, which closes its maps, too.
 *
 * A reservation belongs to one worker, or to the main one: libpmem2 takes no lock
 * when it searches.
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
   * @param size How many bytes, a multiple of the page size: up to 2^47.
   * With `address`, the caller chooses the place. While libpmem2 maps a file on a
   * file system without DAX, it leaves the place of the map free for a moment, and
   * memory that the kernel puts there at that moment is lost. So choose a part of
   * the address space where the kernel puts nothing on its own. Without `address`,
   * this module does so.
   *
   * @param options The `address` of the first byte: 2 MiB-aligned; 1 GiB-aligned
   * for sizes >= 2 GiB.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If `size` is not an integer in its range, or `address`
   * not a multiple of what the size asks for, or past the address space.
   * @throws {Pmem2Error} PMEM2_E_LENGTH_UNALIGNED; PMEM2_E_MAPPING_EXISTS if
   * something is at `address`; ENOMEM if there is no such room.
   *
   * @example Where the caller wants it
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
   * Address of the first byte. It changes when the head is cut off. C's
   * `pmem2_vm_reservation_get_address`.
   *
   * @throws {TypeError} If the reservation is closed.
   */
  get address(): bigint {
    return Pmem2VmReservation.#live(this, "get the address").address;
  }

  /**
   * Size in bytes. C's `pmem2_vm_reservation_get_size`.
   *
   * @throws {TypeError} If the reservation is closed.
   */
  get size(): number {
    return Pmem2VmReservation.#live(this, "get the size").size;
  }

  /**
   * The `struct pmem2_vm_reservation *`, for other native code, until the
   * reservation is closed. What such code maps into it is found and walked here,
   * and can be read, but not closed.
   *
   * Unsafe, since libpmem2 takes no lock when it searches: to use it on another
   * thread would end the process or corrupt memory. So would deleting it.
   *
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
   * @param options Which part of it, how, and where: without `at`, in the first
   * gap that it fits in.
   * @returns The map.
   * @throws {TypeError} If an argument has the wrong type, or the source or the
   * reservation is closed.
   * @throws {RangeError} If a number is out of its range, if the map would reach
   * past the end of the source or of the reservation, or if no gap is long enough.
   * @throws {Pmem2Error} PMEM2_E_MAPPING_EXISTS if there is a map already,
   * PMEM2_E_OFFSET_UNALIGNED if `at` is not a multiple of the page size; and those
   * of {@linkcode Pmem2Map.open}.
   *
   * @example
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
   * Opens a file, maps it, and lets go of the descriptor.
   *
   * @param path The path, or a `file:` URL.
   * @param options How to open the file, how to map it, and where.
   * @returns The map.
   * @throws {Deno.errors.NotFound} And the others that `Deno.open` throws.
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
    // Before the file is grown: it will have at least its new size.
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
   * reservation.
   * @param length How many bytes, 1 if it isn't given; what is past the end of the
   * reservation is empty. 0 finds the map that contains `offset`, as 1 does.
   * @returns The map, or null.
   * @throws {TypeError} If an argument is not a number, or the reservation is
   * closed.
   * @throws {RangeError} If an argument is not a non-negative safe integer.
   *
   * @example
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
    return offset < native.size ? wrap(native.findAt(offset, length)) : null;
  }

  /**
   * Finds the map with the lowest address. C's
   * `pmem2_vm_reservation_map_find_first`.
   *
   * @returns The map, or null if there is none.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example
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
   * @returns The map, or null if there is none.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example
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
   * @returns The map behind it, or null if it's the last.
   * @throws {TypeError} If `map` is not a map, is closed, or is not in this
   * reservation; or if the reservation is closed.
   *
   * @example
   * ```ts
   * import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
   * import { assertEquals } from "@std/assert";
   *
   * using source = Pmem2Source.anonymous(4096);
   * using reservation = new Pmem2VmReservation(16_384);
   * const map = reservation.map(source, { at: 4096 });
   * const behind = reservation.map(source, { at: 12_288 });
   * assertEquals(reservation.findNext(map), behind);
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
   * @returns The map before it, or null if it's the first.
   * @throws {TypeError} If `map` is not a map, is closed, or is not in this
   * reservation; or if the reservation is closed.
   *
   * @example
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
   * Walks the maps in address order, over `pmem2_vm_reservation_map_find_first`
   * and `_next`. Maps may be closed and made meanwhile: the walk goes on over
   * what there is.
   *
   * @returns An iterator.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example
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
    return new MapIterator(new ForwardWalk(native, 0, undefined));
  }

  /**
   * Walks the maps of a part of the reservation; backwards with `reverse`, over
   * `pmem2_vm_reservation_map_find_last` and `_prev`. The part is fixed when the
   * walk is made, in addresses.
   *
   * @param options Which part, and the direction.
   * @returns An iterator.
   * @throws {TypeError} If an option has the wrong type, or the reservation is
   * closed.
   * @throws {RangeError} If `from` or `to` is not a non-negative safe integer.
   *
   * @example Backwards
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
    return new MapIterator(new Direction(native, from, to));
  }

  /**
   * Walks the free ranges in address order. They have whole pages: a map of 5,000
   * bytes leaves no gap before the end of its second page.
   *
   * @returns An iterator.
   * @throws {TypeError} If the reservation is closed.
   *
   * @example
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
   * The maps as one memory: a view on a range, across the borders of the maps in it,
   * without a copy. Needs `--allow-ffi` without a path.
   *
   * All of the range must be mapped. It may lie in the last page of a file behind
   * the file's end: that is memory alone, which never reaches the file.
   *
   * The view is empty as soon as a map under it is closed, whether the range reaches
   * to what's left or not; views that lie in other maps stay. It's made anew at each
   * call, its buffer is not: views over the same maps share one, over all of them,
   * so that `byteOffset` needn't be 0. What is said at {@linkcode Pmem2Map.buffer}
   * of transferring it holds for all of its maps.
   *
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @returns The view, a new one at each call.
   * @throws {TypeError} If an argument is not a number; if one of the maps is not
   * both readable and writable, or was made by other native code; if the buffer was
   * transferred; or if the reservation is closed.
   * @throws {RangeError} If the range is past the end of the reservation, or not all
   * of it is mapped: the message names the first offset that is free.
   * @throws {Deno.errors.NotCapable} Without the permission.
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
   * @param target Gets the bytes; its length says how many.
   * @param offset Where to read, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is not
   * readable, or if the reservation is closed.
   * @throws {RangeError} If it's past the end of the reservation, or not all of it is
   * mapped: the message names the first offset that is free.
   *
   * @example
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
   * Copies bytes into the reservation, across the borders of its maps, and makes them
   * durable unless told else: each map's part as that map's granularity wants, with
   * one wait for all. The bytes may come from the reservation itself. All of the range
   * must be mapped; if it isn't, nothing is stored.
   *
   * A copy is not atomic: see {@linkcode Pmem2Map.write}.
   *
   * @param data The bytes.
   * @param offset Where to write, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is not
   * writable, or if the reservation is closed.
   * @throws {RangeError} If it's past the end of the reservation, or not all of it is
   * mapped: the message names the first offset that is free.
   * @throws {Pmem2Error} If the system refuses to make a part durable: the first error
   * of several, after all parts were tried.
   *
   * @example
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
   * Copies bytes within the reservation, across the borders of its maps, also where
   * the two ranges overlap, and makes them durable unless told else. All of both
   * ranges must be mapped; if they aren't, nothing is stored.
   *
   * @param target Where to, in bytes from the start of the reservation.
   * @param source Where from, likewise.
   * @param length How many bytes.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, if a map of the source is
   * not readable or one of the target not writable, or if the reservation is closed.
   * @throws {RangeError} If one of the ranges is past the end of the reservation, or
   * not all of it is mapped: the message names the first offset that is free.
   * @throws {Pmem2Error} As {@linkcode Pmem2VmReservation.write} does.
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
   * Sets bytes of the reservation to a value, across the borders of its maps, and
   * makes them durable unless told else. All of the range must be mapped; if it
   * isn't, nothing is stored.
   *
   * @param value The value of each byte: 0 to 255.
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @param options Whether and how to flush.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is not
   * writable, or if the reservation is closed.
   * @throws {RangeError} If `value` is not a byte; if the range is past the end of the
   * reservation, or not all of it is mapped: the message names the first offset that is
   * free.
   * @throws {Pmem2Error} As {@linkcode Pmem2VmReservation.write} does.
   *
   * @example
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
   * Makes stores durable, in all maps of the range: flushes each as its granularity
   * wants, and drains once. What is free is skipped.
   *
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is
   * neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} If the range is past the end of the reservation.
   * @throws {Pmem2Error} If the system refuses for one of the maps: the first error of
   * several, after all maps were tried.
   *
   * @example
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
   * Starts to make stores durable, in all maps of the range; they are after
   * {@linkcode Pmem2VmReservation.drain}. What is free is skipped.
   *
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is
   * neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} If the range is past the end of the reservation.
   * @throws {Pmem2Error} As {@linkcode Pmem2VmReservation.persist} does.
   *
   * @example
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
   * Starts to make the stores to a view durable.
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
   * Waits until everything that was flushed of its maps is durable.
   *
   * @throws {TypeError} If the reservation is closed.
   *
   * @example
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
   * Makes stores durable beyond the power-fail protected buffers of the hardware, in
   * all maps of the range: see {@linkcode Pmem2Map.deepFlush}. What is free is skipped.
   *
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @throws {TypeError} If an argument has the wrong type, if one of the maps is
   * neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} If the range is past the end of the reservation.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP for anonymous memory, or if the system
   * refuses: the first error of several, after all maps were tried.
   *
   * @example
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
   * Makes the stores to a view durable in this way.
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
   * {@linkcode Pmem2VmReservation.persist} on other threads: the event loop runs on.
   * Maps that it is under way for can't be closed. What becomes durable is what the
   * memory holds when this is called.
   *
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @returns A promise that settles when all maps are done.
   * @throws {TypeError} Rejects if an argument has the wrong type, if one of the maps
   * is neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} Rejects if the range is past the end of the reservation.
   * @throws {Pmem2Error} Rejects as {@linkcode Pmem2VmReservation.persist} throws.
   *
   * @example
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
   * @returns A promise that settles when all maps are done.
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
   * {@linkcode Pmem2VmReservation.deepFlush} on other threads: the event loop runs on.
   * Maps that it is under way for can't be closed.
   *
   * @param offset Where to start, in bytes from the start of the reservation; 0 if it
   * isn't given.
   * @param length How many bytes; without it, to the end of the reservation.
   * @returns A promise that settles when all maps are done.
   * @throws {TypeError} Rejects if an argument has the wrong type, if one of the maps
   * is neither readable nor writable, or if the reservation is closed.
   * @throws {RangeError} Rejects if the range is past the end of the reservation.
   * @throws {Pmem2Error} Rejects as {@linkcode Pmem2VmReservation.deepFlush} throws;
   * without libpmem2's message, which stays on the other thread.
   *
   * @example
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
   * @returns A promise that settles when all maps are done.
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
   * Makes the reservation longer, at its end and where it is: if something else is
   * behind it, that fails. C's `pmem2_vm_reservation_extend`.
   *
   * @param size How many bytes more, a multiple of the page size. The whole may
   * have up to 2^47.
   * @throws {TypeError} If `size` is not a number, or the reservation is closed.
   * @throws {RangeError} If `size` is not an integer in its range.
   * @throws {Pmem2Error} PMEM2_E_LENGTH_UNALIGNED; PMEM2_E_MAPPING_EXISTS if
   * something is behind it; ENOMEM.
   *
   * @example
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
   * Gives back a free part at the start or at the end. When it's at the start, the
   * address of the reservation changes, and with it all offsets. C's
   * `pmem2_vm_reservation_shrink`.
   *
   * @param offset Where the part starts, in bytes from the start of the
   * reservation: a multiple of the page size.
   * @param size How many bytes, likewise.
   * @throws {TypeError} If an argument is not a number, or the reservation is
   * closed.
   * @throws {RangeError} If it's past the end of the reservation.
   * @throws {Pmem2Error} PMEM2_E_NOSUPP in the middle, or for the whole;
   * PMEM2_E_VM_RESERVATION_NOT_EMPTY; PMEM2_E_OFFSET_UNALIGNED;
   * PMEM2_E_LENGTH_UNALIGNED; PMEM2_E_LENGTH_OUT_OF_RANGE for size 0.
   *
   * @example
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

  /** Whether the reservation was closed. */
  get closed(): boolean {
    return Pmem2VmReservation.#of(this, "tell whether it is closed").closed;
  }

  /**
   * Gives the addresses back. Closing again does nothing. C's
   * `pmem2_vm_reservation_delete`.
   *
   * @param options Whether to close its maps first, with `maps: true`: all of them,
   * or none if one can't be closed.
   * @throws {TypeError} If an option has the wrong type; or, with `maps`, if one
   * of the maps can't be closed: then none is.
   * @throws {Pmem2Error} PMEM2_E_VM_RESERVATION_NOT_EMPTY if it has maps.
   *
   * @example
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
   * Closes the reservation and its maps at the end of a `using`'s block.
   *
   * @throws {TypeError} If one of the maps can't be closed: then nothing is.
   */
  [Symbol.dispose](): void {
    const action = "dispose of the reservation";
    closeReservation(action, Pmem2VmReservation.#of(this, action), true);
  }

  /**
   * Closes the reservation and its maps at the end of an `await using`'s block, after
   * the asynchronous flushes that are pending.
   *
   * @throws {TypeError} Rejects if one of the maps can't be closed: then nothing is.
   *
   * @example
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

  /** What `console.log` shows: a bar to scale, and its maps and gaps. */
  [Symbol.for("Deno.customInspect")](
    _inspect: unknown,
    options?: Deno.InspectOptions,
  ): string {
    // What is printed to find an error must not throw one.
    if (!(isObject(this) && #native in this)) return "Pmem2VmReservation {}";
    const native = this.#native;
    const canvas = canvasOf(options);
    if (native.closed) return "Pmem2VmReservation (closed)";
    return canvas.indent(drawReservation({
      pageSize: pageSize(),
      address: native.address,
      size: native.size,
      maps: native.list().map(({ offset, size, granularity, traits }) => ({
        offset,
        size,
        granularity: granularities[granularity]!,
        sharing: traits.shared ? "shared" : "private",
        path: traits.path,
        sourceOffset: traits.sourceOffset,
        readable: traits.readable,
        writable: traits.writable,
      })),
      gaps: gapsOf(native),
    }, {
      ...canvas,
      // Deno's default is for items of a few characters; here each has a line.
      rows: canvas.items === DEFAULT_ITEMS ? DEFAULT_ROWS : canvas.items,
    }));
  }
}

const DEFAULT_ROWS = 10;

/** An iterator over a walk. */
class MapIterator extends Iterator<Pmem2Map, undefined> {
  readonly #walk: Walk;

  constructor(walk: Walk) {
    super();
    this.#walk = walk;
  }

  override next(): IteratorResult<Pmem2Map, undefined> {
    if (!(isObject(this) && #walk in this)) {
      throw wrongThis("walk the reservation", "a walk");
    }
    const map = this.#walk.step();
    return map === null
      ? { done: true, value: undefined }
      : { done: false, value: mapOf(map) };
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
  // Of an empty file libpmem2 has an error of its own.
  const address = at === undefined && length > 0
    ? reservation.place(length, alignmentOf(source))
    : reservation.address + BigInt(at ?? 0);
  if (address === null) {
    throw rangeError(
      `Cannot ${action} as no gap fits ${length} bytes: the longest has ${reservation.longestGap()}`,
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
    for (const map of maps) {
      const obstacle = map.closeObstacle;
      if (obstacle === null) continue;
      throw typeError(
        `Cannot ${action} as its map at offset ${map.offset} can't be closed: ${obstacle}`,
      );
    }
    for (const map of maps) map.delete();
  }
  reservation.delete();
}
