/**
 * Places maps for which the caller gives no reservation: in arenas, which are
 * reservations of the module's own. See placement.ts for why the kernel does not choose.
 *
 * @module
 */

import {
  bareArray,
  BigInt,
  indexIn,
  Math,
  Number,
  Set,
} from "../input/intrinsics.ts";
import { Pmem2Error } from "../c/error.ts";
import { errnoOf, numberOf } from "../c/error_code.ts";
import type { MapSettings } from "../input/map_options.ts";
import { addressLimit, isRationed, pageSize } from "../process/placement.ts";
import type { MapArena, NativeMap } from "./map.ts";
import { alignmentOf, mappedLength } from "./new_map.ts";
import type { NativeSource } from "./source.ts";
import { atUnload } from "./unload.ts";
import { unmapAll, unmapLater } from "./unmapping.ts";
import {
  NativeVmReservation,
  openUndoing,
  reservationAlignment,
  wholePages,
} from "./vm_reservation.ts";

const ENOMEM = -errnoOf("ENOMEM");

const GROWN = [
  numberOf("PMEM2_E_MAPPING_EXISTS"),
  numberOf("PMEM2_E_LENGTH_OUT_OF_RANGE"),
];
const UNALIGNED = [numberOf("PMEM2_E_ADDRESS_UNALIGNED"), -errnoOf("EINVAL")];

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** The size of an isolate's first arena: small, since workers come and go. */
const FIRST_SIZE = 64 * MIB;
/** When an arena is used up, the next one is this many times as large. */
const GROWTH = 8;

/**
 * The size of the largest arena: 16 GiB on x86-64. Its addresses are used again once
 * all of it was used. The kernel keeps the page tables of addresses that were mapped:
 * at most 32 MiB for such an arena.
 */
function largestSize(): number {
  return Math.max(Number(addressLimit() >> 13n), FIRST_SIZE);
}

/** A worker may end at any moment, without an event, so it keeps no arena without maps. */
const inWorker = "WorkerGlobalScope" in globalThis;

/** All arenas of this isolate. Maps are placed in the last one. */
const arenas = bareArray<Arena>();

/** All arenas that are open, including those for one large map each. */
const live = new Set<Arena>();

/** Closes all maps in arenas that can be closed, and then the arenas. */
function closeArenas(): void {
  live.forEach((arena) => {
    arena.reservation.closeMaps();
    unmapAll();
    arena.closeIfUnused();
  });
}

/** A reservation of the module's own. Offsets in it are multiples of the page size. */
class Arena implements MapArena {
  readonly reservation: NativeVmReservation;
  /** Whether addresses are used again when there are no new ones. */
  readonly #wraps: boolean;
  /** How many bytes are mapped or wait to be unmapped. */
  #used = 0;
  /** Where the next map goes, if there is room for it. */
  #cursor = 0;
  /** Nothing is mapped from the cursor to here. */
  #free: number;
  /** A map of this size found no place, and nothing was unmapped since. */
  #tooLong = Infinity;

  constructor(size: number, wraps: boolean = false) {
    this.reservation = new NativeVmReservation(size, null, false);
    this.#wraps = wraps;
    this.#free = size;
    if (live.size === 0) atUnload(closeArenas);
    live.add(this);
  }

  /** Returns the offset of a free range, or −1. */
  place(size: number, alignment: number): number {
    if (alignment > reservationAlignment(this.reservation.size)) return -1;
    const at = alignUp(this.#cursor, alignment);
    return at + size <= this.#free ? at : this.#search(size, alignment);
  }

  #search(size: number, alignment: number): number {
    const whole = this.reservation.size;
    if (size >= this.#tooLong) return -1;
    let at = this.#searchBetween(this.#cursor, whole, size, alignment);
    // If most of it is in use, the search would take long.
    if (at === -1 && this.#wraps && this.#used <= whole / 2) {
      at = this.#searchBetween(0, this.#cursor, size, alignment);
    }
    if (at === -1) this.#tooLong = size;
    return at;
  }

  #searchBetween(
    from: number,
    to: number,
    size: number,
    alignment: number,
  ): number {
    const { reservation } = this;
    const { address } = reservation;
    while (from < to) {
      const gap = reservation.nextGap(address + BigInt(from));
      if (gap === null) return -1;
      const at = alignUp(Number(gap.from - address), alignment);
      const end = Number(gap.to - address);
      if (at + size <= end) {
        this.#cursor = at;
        this.#free = end;
        return at;
      }
      from = end;
    }
    return -1;
  }

  map(
    source: NativeSource,
    settings: MapSettings,
    at: number,
    length: number,
  ): NativeMap {
    const { reservation } = this;
    const free = this.#free;
    // If this fails, the next call looks for the gap again.
    this.#cursor = this.#free = at;
    const address = reservation.address + BigInt(at);
    const map = reservation.map(source, settings, address, length, this);
    // The map is longer than expected if the file has grown meanwhile.
    const size = sizeOf(map);
    this.#used += size;
    this.#cursor = at + size;
    this.#free = free;
    return map;
  }

  unmapLater(map: NativeMap): void {
    this.reservation.forget(map);
    unmapLater(map, sizeOf(map), this);
  }

  forget(map: NativeMap): void {
    // A map whose creation failed was never recorded.
    if (this.reservation.forget(map)) this.release(sizeOf(map));
  }

  release(bytes: number): void {
    this.#used -= bytes;
    this.#tooLong = Infinity;
    this.closeIfEmpty();
  }

  /** Frees the addresses, unless the next map goes here. */
  closeIfEmpty(): void {
    if (arenas[arenas.length - 1] === this && !inWorker) return;
    this.closeIfUnused();
  }

  /** Frees the addresses if there are no maps. */
  closeIfUnused(): void {
    if (this.#used > 0 || this.reservation.closed) return;
    this.reservation.delete();
    live.delete(this);
    const at = indexIn(arenas, this);
    if (at === -1) return;
    for (let i = at + 1; i < arenas.length; i++) arenas[i - 1] = arenas[i]!;
    arenas.length--;
  }
}

/** Returns an arena in which a map of this size fits, and the offset in it. */
function placeFor(
  size: number,
  alignment: number,
): { arena: Arena; at: number } {
  const last = arenas[arenas.length - 1];
  const at = last === undefined ? -1 : last.place(size, alignment);
  if (at !== -1) return { arena: last!, at };
  const arena = newArena(size, alignment);
  return { arena, at: arena.place(size, alignment) };
}

function newArena(size: number, alignment: number): Arena {
  const limit = isRationed() ? FIRST_SIZE : largestSize();
  const before = arenas[arenas.length - 1];
  // All arenas but the first are closed when they are empty.
  if (before !== undefined || inWorker) openUndoing();
  const wanted = Math.max(
    before === undefined ? FIRST_SIZE : before.reservation.size * GROWTH,
    alignUp(4 * size, FIRST_SIZE),
  );
  const shared = Math.min(wanted, limit);
  if (size <= limit / 4 && alignment <= reservationAlignment(shared)) {
    try {
      const arena = new Arena(shared, shared === limit);
      arenas[arenas.length] = arena;
      before?.closeIfEmpty();
      return arena;
    } catch (error) {
      if (!(error instanceof Pmem2Error && error.errno === ENOMEM)) throw error;
    }
  }
  // An arena for this map only, which is closed together with it.
  openUndoing();
  const whole = alignUp(size, Math.max(alignment, pageSize()));
  return new Arena(alignment > 2 * MIB ? Math.max(whole, 2 * GIB) : whole);
}

/** Whether a range reaches into an arena of this isolate. */
export function isInArena(address: bigint, size: bigint): boolean {
  for (let i = 0; i < arenas.length; i++) {
    const { reservation } = arenas[i]!;
    if (address < reservation.end && reservation.address < address + size) {
      return true;
    }
  }
  return false;
}

/** Maps a source in an arena. */
export function mapAnywhere(
  action: string,
  source: NativeSource,
  settings: MapSettings,
): NativeMap {
  let wanted = 0;
  for (let tries = 1;; tries++) {
    const length = mappedLength(action, source, settings);
    // libpmem2 itself refuses an empty file.
    const size = Math.max(Number(wholePages(length)), pageSize());
    const alignment = Math.max(
      size >= 2 * MIB ? reservationAlignment(size) : pageSize(),
      wanted,
    );
    const { arena, at } = placeFor(size, alignment);
    try {
      return arena.map(source, settings, at, length);
    } catch (error) {
      arena.closeIfEmpty();
      if (!(error instanceof Pmem2Error) || tries === TRIES) throw error;
      const { errno } = error;
      // The file may have grown meanwhile, and would reach into the next map.
      if (indexIn(GROWN, errno) !== -1) continue;
      // Few sources need more than page alignment.
      if (indexIn(UNALIGNED, errno) === -1) throw error;
      wanted = alignmentOf(source);
      if (wanted <= alignment) throw error;
    }
  }
}

const TRIES = 4;

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function sizeOf(map: NativeMap): number {
  return Number(wholePages(map.size));
}
