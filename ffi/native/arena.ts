/**
 * Where maps lie that no caller has given a place: reservations of the module's
 * own. See placement.ts for why the kernel doesn't choose.
 *
 * @module
 */

import { Pmem2Error } from "../c/error.ts";
import { errnoOf, numberOf } from "../c/error_code.ts";
import type { MapSettings } from "../input/map_options.ts";
import { addressLimit, isRationed, pageSize } from "../process/placement.ts";
import type { MapArena, NativeMap } from "./map.ts";
import { alignmentOf, mappedLength } from "./new_map.ts";
import type { NativeSource } from "./source.ts";
import { unmapLater } from "./unmapping.ts";
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

/** How much address space the first arena of an isolate takes: workers come and go. */
const FIRST_SIZE = 64 * MIB;
/** Each time an arena is used up the next is so many times as large. */
const GROWTH = 8;

/**
 * The largest: 16 GiB on x86-64. Addresses are used again when all of it was. The
 * kernel keeps the page tables of what was mapped, of such an arena at most 32 MiB.
 */
function largestSize(): number {
  return Math.max(Number(addressLimit() >> 13n), FIRST_SIZE);
}

/** All arenas of this isolate. Maps are placed in the last one. */
const arenas: Arena[] = [];

/** One reservation of the module's own. Offsets in it are in whole pages. */
class Arena implements MapArena {
  readonly reservation: NativeVmReservation;
  /** Whether addresses are used again when there are no new ones. */
  readonly #wraps: boolean;
  /** Bytes that are mapped, or wait to be unmapped. */
  #used = 0;
  /** Where the next map goes, if there is room for it. */
  #cursor = 0;
  /** From the cursor to here nothing is mapped. */
  #free: number;
  /** What is as long as this found no place, and nothing was unmapped since. */
  #tooLong = Infinity;

  constructor(size: number, wraps: boolean = false) {
    this.reservation = new NativeVmReservation(size, null, false);
    this.#wraps = wraps;
    this.#free = size;
  }

  /** A place that is free, or −1. */
  place(size: number, alignment: number): number {
    if (alignment > reservationAlignment(this.reservation.size)) return -1;
    const at = alignUp(this.#cursor, alignment);
    return at + size <= this.#free ? at : this.#search(size, alignment);
  }

  #search(size: number, alignment: number): number {
    const whole = this.reservation.size;
    if (size >= this.#tooLong) return -1;
    let at = this.#searchBetween(this.#cursor, whole, size, alignment);
    // Where most is taken it would be a long search.
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
    // Should this fail, what is there is looked at again.
    this.#cursor = this.#free = at;
    const address = reservation.address + BigInt(at);
    const map = reservation.map(source, settings, address, length, this);
    // It's longer than it was to be if the file has grown meanwhile.
    const size = sizeOf(map);
    this.#used += size;
    this.#cursor = at + size;
    this.#free = free;
    return map;
  }

  unmapLater(map: NativeMap): void {
    unmapLater(map, this);
  }

  forget(map: NativeMap): void {
    // A map that didn't get as far as that was never in the books.
    if (!this.reservation.forget(map)) return;
    this.#used -= sizeOf(map);
    this.#tooLong = Infinity;
    this.closeIfEmpty();
  }

  /** Gives the addresses back, unless the next map goes here. */
  closeIfEmpty(): void {
    if (this.#used > 0 || arenas.at(-1) === this) return;
    this.reservation.delete();
    const i = arenas.indexOf(this);
    if (i !== -1) arenas.splice(i, 1);
  }
}

/** The arena in which a map of this size fits, and where in it. */
function placeFor(
  size: number,
  alignment: number,
): { arena: Arena; at: number } {
  const last = arenas.at(-1);
  const at = last === undefined ? -1 : last.place(size, alignment);
  if (at !== -1) return { arena: last!, at };
  const arena = newArena(size, alignment);
  return { arena, at: arena.place(size, alignment) };
}

function newArena(size: number, alignment: number): Arena {
  const limit = isRationed() ? FIRST_SIZE : largestSize();
  const before = arenas.at(-1);
  // All but the first are given back when they are empty.
  if (before !== undefined) openUndoing();
  const wanted = Math.max(
    before === undefined ? FIRST_SIZE : before.reservation.size * GROWTH,
    alignUp(4 * size, FIRST_SIZE),
  );
  const shared = Math.min(wanted, limit);
  if (size <= limit / 4 && alignment <= reservationAlignment(shared)) {
    try {
      const arena = new Arena(shared, shared === limit);
      arenas.push(arena);
      before?.closeIfEmpty();
      return arena;
    } catch (error) {
      if (!(error instanceof Pmem2Error && error.errno === ENOMEM)) throw error;
    }
  }
  // One for the map alone, that goes with it.
  openUndoing();
  const whole = alignUp(size, Math.max(alignment, pageSize()));
  return new Arena(alignment > 2 * MIB ? Math.max(whole, 2 * GIB) : whole);
}

/** Whether a range reaches into an arena of this isolate. */
export function isInArena(address: bigint, size: bigint): boolean {
  return arenas.some(({ reservation }) =>
    address < reservation.end && reservation.address < address + size
  );
}

/** Maps a source where there is room. */
export function mapAnywhere(
  action: string,
  source: NativeSource,
  settings: MapSettings,
): NativeMap {
  let wanted = 0;
  for (let tries = 1;; tries++) {
    const length = mappedLength(action, source, settings);
    // Of an empty file libpmem2 has an error of its own.
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
      // The file may have grown since, and reach into the map behind.
      if (GROWN.includes(errno)) continue;
      // Few sources want more than whole pages, and they say so.
      if (!UNALIGNED.includes(errno)) throw error;
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
