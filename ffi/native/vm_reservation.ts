/**
 * The native side of a reservation: its addresses, its maps, the five searches. Internal
 * to the module; arguments were checked by the caller.
 *
 * The addresses of a reservation, from low to high:
 *
 * ```text
 * #taken.from  address               #full                              end #taken.to
 * ▼            ▼                     ▼                                  ▼            ▼
 * ┌────────────┬──────────┬──────────┬──────────┬────────────┬──────────┬────────────┐
 * │ shrunk     │ map      │ map      │ gap      │ taken by   │ map      │ extra      │
 * │            │          │          │          │ others     │          │            │
 * └────────────┴──────────┴──────────┴──────────┴────────────┴──────────┴────────────┘
 *              ├───────────────────────── size ─────────────────────────┤
 * ├─────────────────────── what libpmem2 has really reserved ────────────────────────┤
 * ```
 *
 * - Extra: libpmem2 rounds the size up to its alignment (2 MiB; 1 GiB for sizes
 *   >= 2 GiB) and reserves one alignment more.
 * - Shrunk: when the start is cut off, libpmem2 unmaps whole alignments only, and the
 *   rest stays reserved.
 * - Deleting the reservation unmaps from `address` to `end` only; this module unmaps the
 *   shrunk part and the extra.
 * - There is no gap below `#full`, so that a search for one starts there.
 * - Taken by others: a map failed there and left a hole, and other native code mapped
 *   memory in it. Nothing is mapped or unmapped there any more.
 *
 * @module
 */

import { bareArray, BigInt, Map, Number, Set } from "../input/intrinsics.ts";
import * as cells from "../c/cell.ts";
import { cellWith } from "../c/cell.ts";
import { check, clearMessage, failure, Pmem2Error } from "../c/error.ts";
import { errnoOf, numberOf } from "../c/error_code.ts";
import * as functions from "../c/functions.ts";
import * as pointer from "../c/pointer.ts";
import type { MapPointer, VmReservationPointer } from "../c/pointer.ts";
import { typeError } from "../input/caller.ts";
import type { MapSettings } from "../input/map_options.ts";
import type { Whole } from "../input/range.ts";
import {
  isInaccessible,
  protectionOf,
  release,
  reserve,
} from "../process/address_space.ts";
import { alignDown, alignUp } from "../process/alignment.ts";
import { processLock } from "../process/lock.ts";
import { checkMappingLimit, opened } from "../process/mapping_limit.ts";
import { pageSize, placeFor } from "../process/placement.ts";
import { MUCH, requireStack } from "../process/stack.ts";
import {
  foreignTraits,
  type MapArena,
  type MapOwner,
  NativeMap,
} from "./map.ts";
import { MapIndex } from "./map_index.ts";
import { newMap, newUnreservedMap, type Place } from "./new_map.ts";
import type { NativeSource } from "./source.ts";
import { type Searchable, Spanning } from "./spanning.ts";
import { SpanningViews } from "./spanning_views.ts";
import { atUnload } from "./unload.ts";
import { unmapDue } from "./unmapping.ts";

// PERF: see preload.ts.
const { cell, received } = cells;
const { toBigInt } = pointer;
const {
  addressSpaceFunctions,
  deletionFunctions,
  mapFunctions,
  placementFunctions,
  reservationFunctions,
} = functions;

const ENOMEM = -errnoOf("ENOMEM");
const PMEM2_E_MAPPING_EXISTS = numberOf("PMEM2_E_MAPPING_EXISTS");
const PMEM2_E_MAPPING_NOT_FOUND = numberOf("PMEM2_E_MAPPING_NOT_FOUND");
const PMEM2_E_NO_ACCESS = numberOf("PMEM2_E_NO_ACCESS");
const PMEM2_E_NOSUPP = numberOf("PMEM2_E_NOSUPP");
const PMEM2_E_VM_RESERVATION_NOT_EMPTY = numberOf(
  "PMEM2_E_VM_RESERVATION_NOT_EMPTY",
);
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Returns the alignment in bytes that libpmem2 uses for a reservation of this size. */
export function reservationAlignment(size: number): number {
  return size >= 2 * GIB ? GIB : 2 * MIB;
}

/** All open reservations of callers in this isolate. */
export const liveReservations: Set<NativeVmReservation> = new Set();

/** Closes all maps in reservations of this isolate that can be closed, and then the reservations. */
function closeReservations(): void {
  liveReservations.forEach((reservation) => {
    reservation.closeMaps();
    if (reservation.findFirst() === null) reservation.delete();
  });
}

// PERF: a search takes 3 ns less if it need not ask for the function.
let find: ReturnType<
  typeof placementFunctions
>["pmem2_vm_reservation_map_find"];
let findNext: ReturnType<
  typeof reservationFunctions
>["pmem2_vm_reservation_map_find_next"];

/** Opens the functions that fill holes and free a reservation. */
export function openUndoing(): void {
  deletionFunctions();
  addressSpaceFunctions();
}

/** Makes a reservation at a free place of the module's choice. Its pointer is left in the cell. */
function newAnywhere(size: number, taken: bigint, alignment: bigint): bigint {
  const { pmem2_vm_reservation_new } = placementFunctions();
  for (let tries = 0;; tries++) {
    const address = placeFor(taken, alignment, tries);
    if (address === null) break;
    clearMessage();
    const result = pmem2_vm_reservation_new(cell(), address, BigInt(size));
    if (result === 0) return address;
    if (result !== PMEM2_E_MAPPING_EXISTS) {
      throw failure(result, "pmem2_vm_reservation_new");
    }
  }
  throw new Pmem2Error(
    ENOMEM,
    "pmem2_vm_reservation_new",
    `no free range of ${size} bytes was found`,
  );
}

/** Makes a reservation at an address. Its pointer is left in the cell. */
function newAt(address: bigint, size: number): bigint {
  const { pmem2_vm_reservation_new } = placementFunctions();
  clearMessage();
  const result = pmem2_vm_reservation_new(cell(), address, BigInt(size));
  check(result, "pmem2_vm_reservation_new");
  return address;
}

/** A range of addresses. */
export interface AddressRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** The native side of a reservation. */
export class NativeVmReservation implements MapOwner, Searchable, Whole {
  readonly pointer: VmReservationPointer;
  address: bigint;
  /** The address as a number. It is exact, since no address exceeds 2^52. */
  base: number;
  size: number;
  closed = false;
  /** The one `Pmem2VmReservation` of this reservation. */
  wrapper: object | null = null;
  /** The maps as one memory. */
  readonly memory: Spanning = new Spanning(this);
  readonly views: SpanningViews = new SpanningViews(this, this.memory);
  readonly #alignment: bigint;
  /** What libpmem2 has really reserved. */
  #taken: AddressRange;
  readonly #maps = new Map<MapPointer, NativeMap>();
  /** What the searches expect. C is always asked, and it decides. */
  readonly index: MapIndex = new MapIndex();
  /** How many maps were found that the index did not list, since it was made. */
  #unlisted = 0;
  /** There is no gap below this address. */
  #full: bigint;
  /** Holes in which other native code has mapped memory. */
  readonly #takenByOthers = bareArray<AddressRange>();

  /**
   * @param address The address, or null to let the module choose.
   * @param listed Whether it belongs to a caller, and is in {@linkcode liveReservations}.
   */
  constructor(size: number, address: bigint | null, listed: boolean = true) {
    requireStack();
    unmapDue();
    find = placementFunctions().pmem2_vm_reservation_map_find;
    // Opens what closing needs: the permission may be revoked by then.
    if (listed) {
      openUndoing();
      findNext = reservationFunctions().pmem2_vm_reservation_map_find_next;
    }
    // For an arena, making the map checks the limit. But the page that all isolates
    // share must be placed before anything else.
    if (listed) checkMappingLimit("pmem2_vm_reservation_new");
    else processLock();
    this.#alignment = BigInt(reservationAlignment(size));
    // libpmem2 adds an alignment to choose from, even where it has no choice.
    const taken = alignUp(BigInt(size), this.#alignment) + this.#alignment;
    this.address = address === null
      ? newAnywhere(size, taken, this.#alignment)
      : newAt(address, size);
    this.pointer = received();
    this.base = Number(this.address);
    this.size = size;
    this.#taken = { from: this.address, to: this.address + taken };
    this.#full = this.address;
    if (!listed) return;
    if (liveReservations.size === 0) atUnload(closeReservations);
    liveReservations.add(this);
    opened.reservations++;
  }

  get noun(): string {
    return "reservation";
  }

  get viewRule(): string {
    return "on a buffer of the reservation's view(), or of one of its maps";
  }

  startOfView(view: ArrayBufferView): number | null {
    return this.views.startOfView(view);
  }

  /** The address after the last byte. */
  get end(): bigint {
    return this.address + BigInt(this.size);
  }

  // The searches

  /** Finds the first map that intersects a range given by an offset. */
  findAt(offset: number, size: number): NativeMap | null {
    return this.search(offset, size)
      ? this.found(this.index.search(this.base + offset))
      : null;
  }

  /** Whether C finds a map in a range given by an offset: then see `found`. */
  search(offset: number, size: number): boolean {
    const result = find(
      this.pointer,
      toBigInt(offset),
      toBigInt(size),
      cell(),
    );
    return result === 0 ||
      notFound(result, "pmem2_vm_reservation_map_find") !== null;
  }

  /** Returns the one object of the map that C has just found, likely at an entry of the index, or at the next one. */
  found(position: number): NativeMap {
    const { index } = this;
    if (index.isFound(position)) return index.maps[position]!;
    return index.isFound(position + 1)
      ? index.maps[position + 1]!
      : this.#lookUp();
  }

  findFirst(): NativeMap | null {
    const { pmem2_vm_reservation_map_find_first } = reservationFunctions();
    const result = pmem2_vm_reservation_map_find_first(this.pointer, cell());
    return this.#found(result, "pmem2_vm_reservation_map_find_first", 0);
  }

  findLast(): NativeMap | null {
    const { pmem2_vm_reservation_map_find_last } = reservationFunctions();
    const result = pmem2_vm_reservation_map_find_last(this.pointer, cell());
    const last = this.index.length - 1;
    return this.#found(result, "pmem2_vm_reservation_map_find_last", last);
  }

  findNext(map: NativeMap): NativeMap | null {
    const next = map.position + 1;
    // PERF: if there is no next map, libpmem2 formats a message, which takes longer.
    if (
      next > 0 && next === this.index.length && this.findLast() === map
    ) return null;
    const { pmem2_vm_reservation_map_find_next } = reservationFunctions();
    const result = pmem2_vm_reservation_map_find_next(
      this.pointer,
      map.pointer,
      cell(),
    );
    return this.#found(result, "pmem2_vm_reservation_map_find_next", next);
  }

  findPrev(map: NativeMap): NativeMap | null {
    const previous = map.position - 1;
    if (previous === -1 && this.findFirst() === map) return null;
    const { pmem2_vm_reservation_map_find_prev } = reservationFunctions();
    const result = pmem2_vm_reservation_map_find_prev(
      this.pointer,
      map.pointer,
      cell(),
    );
    return this.#found(result, "pmem2_vm_reservation_map_find_prev", previous);
  }

  /**
   * Whether C finds that the map of an entry of the index is behind the one of the entry
   * before. SAFETY: both must exist, and the map of the one before must be open.
   */
  findsNext(position: number): boolean {
    const { index } = this;
    const result = findNext(
      this.pointer,
      index.pointers[position - 1] as MapPointer,
      cell(),
    );
    return result === 0 && index.isNext(position);
  }

  /** Returns the one object of the map that C has just found, or null if it found none. */
  #found(result: number, call: string, expected: number): NativeMap | null {
    if (result !== 0) return notFound(result, call);
    const { index } = this;
    return index.isFound(expected) ? index.maps[expected]! : this.#lookUp();
  }

  #lookUp(): NativeMap {
    const map = this.#known(received());
    if (++this.#unlisted > this.index.length) this.#makeIndex();
    return map;
  }

  /** PERF: called after as many searches as the index has entries, so that it pays off. */
  #makeIndex(): void {
    this.#unlisted = -Infinity;
    try {
      this.index.fill(this.list());
    } finally {
      this.#unlisted = 0;
    }
  }

  /** Returns the one object of a native map, which other native code may have made. */
  #known(pointer: MapPointer): NativeMap {
    const known = this.#maps.get(pointer);
    if (known !== undefined && known.access !== 0) return known;
    return this.#borrow(pointer, known);
  }

  #borrow(pointer: MapPointer, known: NativeMap | undefined): NativeMap {
    const map = new NativeMap(pointer, foreignTraits(pointer), this, true);
    if (known !== undefined) {
      if (!known.closed && isLike(map, known)) return known;
      // A new map has got the address of a deleted `struct pmem2_map`.
      known.lose();
    }
    this.#maps.set(pointer, map);
    return map;
  }

  holds(map: NativeMap): boolean {
    const offset = map.start - this.base;
    return !this.closed && offset >= 0 && offset < this.size &&
      this.findAt(offset, 1) === map;
  }

  forget(map: NativeMap): boolean {
    if (map.address < this.#full) this.#full = map.address;
    if (this.index.isStale) this.index.fill([]);
    return this.#maps.delete(map.pointer);
  }

  // Placing maps

  /** Returns the first gap, or rest of one, at or after an address, in whole pages. */
  nextGap(from: bigint): AddressRange | null {
    while (from < this.end) {
      const occupied = this.#nextOccupied(from);
      const to = occupied?.from ?? this.end;
      if (to > from) return { from, to };
      from = occupied!.to;
    }
    return null;
  }

  #nextOccupied(from: bigint): AddressRange | null {
    const at = Number(from - this.address);
    let next = this.search(at, this.size - at) ? foundPages() : null;
    for (let i = 0; i < this.#takenByOthers.length; i++) {
      const lost = this.#takenByOthers[i]!;
      if (lost.to > from && (next === null || lost.from < next.from)) {
        next = lost;
      }
    }
    return next;
  }

  /**
   * Returns the lowest address where a map of this length and alignment fits, or null.
   */
  place(length: number, alignment: number): bigint | null {
    const size = wholePages(length);
    const fits = (gap: AddressRange) => {
      const at = alignUp(gap.from, BigInt(alignment));
      return at + size <= gap.to ? at : null;
    };
    let start = this.#full > this.address ? this.#full : this.address;
    const first = this.nextGap(start);
    if (first !== null) this.#full = first.from;
    for (let gap = first; gap !== null; gap = this.nextGap(gap.to)) {
      const at = fits(gap);
      if (at !== null) return at;
    }
    // Below `#full`, other native code may have deleted maps of its own.
    start = this.address;
    for (
      let gap = this.nextGap(start);
      gap !== null;
      gap = this.nextGap(gap.to)
    ) {
      const at = fits(gap);
      if (at !== null) return at;
    }
    return null;
  }

  /** Returns the size in bytes of the largest gap. */
  longestGap(): bigint {
    let longest = 0n;
    let gap = this.nextGap(this.address);
    for (; gap !== null; gap = this.nextGap(gap.to)) {
      if (gap.to - gap.from > longest) longest = gap.to - gap.from;
    }
    return longest;
  }

  /**
   * Maps a source at an address.
   *
   * @param arena The arena that this reservation belongs to, if it is not a caller's.
   */
  map(
    source: NativeSource,
    settings: MapSettings,
    address: bigint,
    length: number,
    arena: MapArena | null = null,
  ): NativeMap {
    const place = {
      reservation: this.pointer,
      offset: address - this.address,
      owner: arena === null ? this : null,
      arena,
    };
    let map: NativeMap | null = null;
    try {
      map = newMap(source, settings, length, place);
    } catch (error) {
      if (!(error instanceof Pmem2Error)) throw error;
      this.#mend(error, address, length);
      if (
        error.errno === ENOMEM && !settings.shared && settings.write &&
        !source.anonymous && !this.isTakenByOthers(address, length)
      ) {
        map = this.#mapUnreserved(source, settings, length, place);
      }
      if (map === null) throw error;
    }
    this.#maps.set(map.pointer, map);
    return map;
  }

  #mapUnreserved(
    source: NativeSource,
    settings: MapSettings,
    length: number,
    place: Place,
  ): NativeMap | null {
    try {
      return newUnreservedMap(source, settings, length, place);
    } catch (error) {
      if (!(error instanceof Pmem2Error)) throw error;
      this.#mend(error, this.address + place.offset, length);
      return null;
    }
  }

  /** Whether other native code has memory in a part of the range. */
  isTakenByOthers(address: bigint, length: number): boolean {
    const to = address + wholePages(length);
    for (let i = 0; i < this.#takenByOthers.length; i++) {
      const lost = this.#takenByOthers[i]!;
      if (lost.from < to && address < lost.to) return true;
    }
    return false;
  }

  /**
   * Fills the hole that a failed map may have left in the reservation.
   *
   * SAFETY: any memory of the process may be mapped in such a hole, and closing the
   * reservation would unmap it. If that has happened, the place is recorded as taken.
   */
  #mend(error: Pmem2Error, address: bigint, length: number): void {
    const { errno } = error;
    const byMmap = errno > -100_000 || errno === PMEM2_E_NO_ACCESS ||
      errno === PMEM2_E_NOSUPP;
    const size = wholePages(length);
    const at = Number(address - this.address);
    if (!byMmap || this.search(at, Number(size))) return;
    // At the limit of mappings, V8 cannot get much memory either.
    if (reserve(address, size) || isInaccessible(address, size)) return;
    const protection = protectionOf(address, size);
    if (protection === undefined || protection.reserved) return;
    this.#takenByOthers[this.#takenByOthers.length] = {
      from: address,
      to: address + size,
    };
  }

  // Growing, shrinking, closing

  // SAFETY: everything that can fail comes before the native call, and after it come only
  // assignments. So the record of what is reserved is always right.

  extend(size: number): void {
    requireStack();
    const whole = this.size + size;
    const end = alignUp(this.address + BigInt(whole), this.#alignment);
    const { from, to } = this.#taken;
    const taken = end > to ? { from, to: end } : this.#taken;
    const { pmem2_vm_reservation_extend } = reservationFunctions();
    clearMessage();
    const result = pmem2_vm_reservation_extend(this.pointer, BigInt(size));
    if (result !== 0) throw failure(result, "pmem2_vm_reservation_extend");
    this.size = whole;
    this.#taken = taken;
  }

  shrink(offset: number, size: number): void {
    if (this.#takenByOthers.length > 0) {
      throw typeError(
        "Cannot shrink the reservation as other native code has memory in it",
      );
    }
    requireStack();
    const at = BigInt(offset);
    const less = BigInt(size);
    const address = offset === 0 ? this.address + less : this.address;
    const base = Number(address);
    const rest = this.size - size;
    // libpmem2 unmaps what is below the aligned rest, or else what is above it, and
    // forgets the other part without unmapping it.
    const from = alignDown(address, this.#alignment);
    const to = alignUp(address + BigInt(rest), this.#alignment);
    const taken = { from, to };
    const forgotten = from > this.#taken.from ? this.#taken.to - to : 0n;
    const full = this.#full < address ? address : this.#full;
    const { pmem2_vm_reservation_shrink } = reservationFunctions();
    clearMessage();
    const result = pmem2_vm_reservation_shrink(this.pointer, at, less);
    if (result !== 0) throw failure(result, "pmem2_vm_reservation_shrink");
    this.address = address;
    this.base = base;
    this.size = rest;
    this.#full = full;
    this.#taken = taken;
    release(to, forgotten);
  }

  /** Lists all maps in address order. */
  list(): NativeMap[] {
    const maps = bareArray<NativeMap>();
    let map = this.findFirst();
    for (; map !== null; map = this.findNext(map)) maps[maps.length] = map;
    return maps;
  }

  /** Closes all maps in the reservation that can be closed. */
  closeMaps(): void {
    this.#maps.forEach((map) => {
      if (map.closeObstacle === null) map.delete();
    });
  }

  /** Deletes the reservation. If C refuses, for example since it has maps, nothing changes. */
  delete(): void {
    requireStack(MUCH);
    const call = "pmem2_vm_reservation_delete";
    const { end } = this;
    if (this.#takenByOthers.length > 0) {
      if (this.findFirst() !== null) {
        throw new Pmem2Error(PMEM2_E_VM_RESERVATION_NOT_EMPTY, call);
      }
      this.closed = true;
      this.#deleteAround();
    } else {
      const { pmem2_vm_reservation_delete } = deletionFunctions();
      const pointer = cellWith(this.pointer);
      clearMessage();
      const result = pmem2_vm_reservation_delete(pointer);
      if (result !== 0) throw failure(result, call);
      this.closed = true;
      release(this.#taken.from, this.address - this.#taken.from);
      release(end, this.#taken.to - end);
    }
    // Maps that are left were deleted by other native code.
    this.#maps.forEach((map) => map.lose());
    if (liveReservations.delete(this)) opened.reservations--;
  }

  /**
   * Unmaps everything but what is taken by others. libpmem2 would unmap all of it, so it is
   * not called, and its `struct pmem2_vm_reservation` is leaked.
   */
  #deleteAround(): void {
    let { from } = this.#taken;
    for (;;) {
      let next: AddressRange | null = null;
      for (let i = 0; i < this.#takenByOthers.length; i++) {
        const lost = this.#takenByOthers[i]!;
        if (lost.to > from && (next === null || lost.from < next.from)) {
          next = lost;
        }
      }
      if (next === null) break;
      if (next.from > from) release(from, next.from - from);
      from = next.to;
    }
    release(from, this.#taken.to - from);
  }
}

function notFound(result: number, call: string): null {
  if (result === PMEM2_E_MAPPING_NOT_FOUND) return null;
  throw failure(result, call);
}

/** Whether two maps that other native code made look the same. */
function isLike(one: NativeMap, other: NativeMap): boolean {
  return one.address === other.address && one.size === other.size &&
    one.traits.readable === other.traits.readable &&
    one.traits.writable === other.traits.writable;
}

/** Rounds a length up to whole pages. */
export function wholePages(length: number): bigint {
  return alignUp(BigInt(length), BigInt(pageSize()));
}

/** Returns the addresses of the map that C has just found, in whole pages. */
function foundPages(): AddressRange {
  const { pmem2_map_get_address, pmem2_map_get_size } = mapFunctions();
  const map = received<MapPointer>();
  const from = pmem2_map_get_address(map);
  return { from, to: from + wholePages(Number(pmem2_map_get_size(map))) };
}
