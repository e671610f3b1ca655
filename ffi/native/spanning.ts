/**
 * A reservation as one memory: finds the maps of a range, and does to each of them what
 * is to be done. Internal to the module; the caller has checked that the range lies in
 * the reservation.
 *
 * @module
 */

import { Number } from "../input/intrinsics.ts";
import * as copy from "../c/copy.ts";
import { rangeError, typeError } from "../input/caller.ts";
import { NODRAIN, NOFLUSH } from "../input/store_options.ts";
import { pageSize } from "../process/placement.ts";
import { wasEmulated } from "./emulation.ts";
import * as maps from "./map.ts";
import { accessOf, type NativeMap } from "./map.ts";
import type { MapIndex } from "./map_index.ts";
import { fence } from "./persistence.ts";
import { hasFailed } from "./writeback.ts";

// PERF: see preload.ts.
const { copyOut, pin, unpin } = copy;
const { READ, WRITE } = maps;
const { max, min } = Math;
const toBig = BigInt;

/** A reservation, as far as this file uses it. */
export interface Searchable {
  /** The address as a number. It is exact, since no address exceeds 2^52. */
  readonly base: number;
  readonly size: number;
  readonly index: MapIndex;
  findFirst(): NativeMap | null;
  /** Finds the first map that intersects a range. */
  findAt(offset: number, size: number): NativeMap | null;
  findNext(map: NativeMap): NativeMap | null;
}

/**
 * A part of a range that lies in one map.
 *
 * SAFETY: pieces are in a linked list, not in an array, since callers may replace the
 * methods of arrays.
 */
export class Piece {
  readonly map: NativeMap;
  /** The address of the piece. */
  readonly at: number;
  readonly length: number;
  /**
   * Whether the piece is in the source. The rest of the last page, after the end of the
   * source, is only memory: it cannot be made durable.
   */
  readonly durable: boolean;
  readonly previous: Piece | null;
  next: Piece | null = null;

  constructor(
    map: NativeMap,
    at: number,
    length: number,
    durable: boolean,
    previous: Piece | null,
  ) {
    this.map = map;
    this.at = at;
    this.length = length;
    this.durable = durable;
    this.previous = previous;
    if (previous !== null) previous.next = this;
  }

  /** The offset of the piece in its map. */
  get start(): number {
    return this.at - this.map.start;
  }
}

/** Returns the end of the last page of a map. */
export function pagesEndOf({ start, size }: NativeMap): number {
  const page = pageSize();
  return start + size + (page - size % page) % page;
}

/** The maps of a reservation as one memory. */
export class Spanning {
  readonly #reservation: Searchable;
  /** The map of the last call. PERF: the next call is often for the same one. */
  #recent: NativeMap | null = null;

  constructor(reservation: Searchable) {
    this.#reservation = reservation;
  }

  // Where a range lies

  /**
   * Returns the one map that the whole range lies in, or null if there is none or
   * if other native code made it.
   */
  #inOne(offset: number, length: number): NativeMap | null {
    const map = this.#recent;
    if (map !== null && map.access !== 0) {
      const start = offset - (map.start - this.#reservation.base);
      if (start >= 0 && start < map.size) {
        return start + length <= map.size ? map : null;
      }
    }
    return this.#search(offset, length);
  }

  #search(offset: number, length: number): NativeMap | null {
    const map = this.mapAt(offset);
    if (map === null || map.access === 0) return null;
    const start = offset - (map.start - this.#reservation.base);
    return start >= 0 && start + length <= map.size ? map : null;
  }

  /** Returns the map that the page of an offset belongs to. */
  mapAt(offset: number): NativeMap | null {
    const map = this.#recent;
    if (map !== null && map.access !== 0) {
      const start = offset - (map.start - this.#reservation.base);
      if (start >= 0 && start < map.size) return map;
    }
    const found = this.#indexed(offset) ?? this.#at(offset, 1);
    if (found !== null && found.access !== 0) this.#recent = found;
    return found;
  }

  /** Returns the first map that has a page in the range. */
  #at(offset: number, length: number): NativeMap | null {
    // libpmem2 finds a map up to the end of its source, which may be inside a page.
    const before = offset % pageSize();
    return this.#reservation.findAt(offset - before, before + length);
  }

  /**
   * Returns the map of an offset if the index lists it. While a map is open, no other
   * map can be there.
   *
   * PERF: libpmem2's search takes 150 ns with 64 maps and 450 ns with 1,000 (1.12.1).
   */
  #indexed(offset: number): NativeMap | null {
    const { base, index } = this.#reservation;
    const address = base + offset;
    const position = index.search(address);
    if (position === -1) return null;
    const map = index.maps[position]!;
    return map.access !== 0 && address < map.start + map.size ? map : null;
  }

  /** Returns the parts of a range that are mapped, in address order. */
  #pieces(offset: number, length: number): Piece | null {
    if (length === 0) return null;
    const from = this.#reservation.base + offset;
    const to = from + length;
    const recent = this.#recent;
    let map = recent !== null && recent.access !== 0 &&
        from >= recent.start && from < recent.start + recent.size
      ? recent
      : this.#indexed(offset) ?? this.#at(offset, length);
    let first: Piece | null = null;
    let last: Piece | null = null;
    while (map !== null && map.start < to) {
      const end = map.start + map.size;
      const pagesEnd = pagesEndOf(map);
      const at = max(from, map.start);
      if (at < end) {
        last = new Piece(map, at, min(to, end) - at, true, last);
        first ??= last;
      }
      const behind = max(at, end);
      const rest = min(to, pagesEnd) - behind;
      if (rest > 0) {
        last = new Piece(map, behind, rest, false, last);
        first ??= last;
      }
      if (pagesEnd >= to) break;
      map = this.#behind(map, pagesEnd);
    }
    return first;
  }

  /** Returns the next map, without a search if it follows without a gap. */
  #behind(map: NativeMap, pagesEnd: number): NativeMap | null {
    const { maps, length } = this.#reservation.index;
    const next = map.position + 1;
    if (next > 0 && next < length) {
      const guess = maps[next]!;
      if (guess.access !== 0 && guess.start === pagesEnd) return guess;
    }
    return this.#reservation.findNext(map);
  }

  /**
   * Returns the parts of a range. Throws unless all of it is mapped, by maps that allow
   * `access`.
   */
  covering(
    action: string,
    offset: number,
    length: number,
    access: number,
  ): Piece | null {
    const first = this.#pieces(offset, length);
    const { base } = this.#reservation;
    let end = base + offset;
    for (let piece = first; piece !== null; piece = piece.next) {
      if (piece.at !== end) break;
      end += piece.length;
    }
    if (end !== base + offset + length) {
      const free = end - base;
      throw rangeError(
        `Cannot ${action} as all of the range must be mapped: offset ${free} is free`,
      );
    }
    for (let piece = first; piece !== null; piece = piece.next) {
      if ((accessOf(piece.map.traits) & access) === access) continue;
      throw this.#isnt(action, piece, nameOf(access));
    }
    return first;
  }

  /** Returns the parts of a range that are mapped. The CPU must have access to flush. */
  #flushable(
    action: string,
    offset: number,
    length: number,
  ): Piece | null {
    const first = this.#pieces(offset, length);
    for (let piece = first; piece !== null; piece = piece.next) {
      if (accessOf(piece.map.traits) !== 0) continue;
      throw this.#isnt(action, piece, "readable or writable");
    }
    return first;
  }

  #isnt(action: string, { map }: Piece, what: string): TypeError {
    return typeError(
      `Cannot ${action} as the map at offset ${
        map.start - this.#reservation.base
      } is not ${what}`,
    );
  }

  // Copies and stores

  read(
    action: string,
    target: Uint8Array,
    offset: number,
    length: number,
  ): void {
    const map = this.#inOne(offset, length);
    if (map !== null && (map.access & READ) !== 0) {
      map.read(target, offset - (map.start - this.#reservation.base), length);
    } else if (this.covering(action, offset, length, READ) !== null) {
      // The parts are side by side in memory, so one copy is enough.
      copyOut(target, toBig(this.#reservation.base + offset), length);
    }
  }

  write(
    action: string,
    data: Uint8Array,
    offset: number,
    length: number,
    flags: number,
  ): void {
    const map = this.#inOne(offset, length);
    if (map !== null && (map.access & WRITE) !== 0) {
      const start = offset - (map.start - this.#reservation.base);
      map.persistence.write(map, start, data, length, flags);
      return;
    }
    const first = this.covering(action, offset, length, WRITE);
    if (first === null) return;
    move(first, Number(pin(data, length)), flags);
    unpin();
    finish(first, flags);
  }

  move(
    action: string,
    target: number,
    source: number,
    length: number,
    flags: number,
  ): void {
    const { base } = this.#reservation;
    const map = this.#inOne(target, length);
    if (map !== null && (map.access & WRITE) !== 0 && map.access & READ) {
      const start = map.start - base;
      if (source >= start && source - start + length <= map.size) {
        const { persistence } = map;
        persistence.move(map, target - start, source - start, length, flags);
        return;
      }
    }
    this.covering(action, source, length, READ);
    const first = this.covering(action, target, length, WRITE);
    if (first === null) return;
    move(first, base + source, flags);
    finish(first, flags);
  }

  fill(
    action: string,
    offset: number,
    value: number,
    length: number,
    flags: number,
  ): void {
    const map = this.#inOne(offset, length);
    if (map !== null && (map.access & WRITE) !== 0) {
      const start = offset - (map.start - this.#reservation.base);
      map.persistence.fill(map, start, value, length, flags);
      return;
    }
    const first = this.covering(action, offset, length, WRITE);
    for (let piece = first; piece !== null; piece = piece.next) {
      const { map, start, length } = piece;
      map.persistence.fill(map, start, value, length, flagsOf(piece, flags));
    }
    finish(first, flags);
  }

  // Making it durable

  persist(action: string, offset: number, length: number): void {
    const map = this.#inOne(offset, length);
    if (map !== null && (map.access & (READ | WRITE)) !== 0) {
      map.persist(offset - (map.start - this.#reservation.base), length);
      return;
    }
    const first = this.#flushable(action, offset, length);
    const failure = flush(first);
    drain(first);
    report(failure);
  }

  flush(action: string, offset: number, length: number): void {
    const map = this.#inOne(offset, length);
    if (map !== null && (map.access & (READ | WRITE)) !== 0) {
      map.flush(offset - (map.start - this.#reservation.base), length);
    } else {
      report(flush(this.#flushable(action, offset, length)));
    }
  }

  drain(): void {
    fence();
    if (!wasEmulated() && !hasFailed()) return;
    // Maps of an emulated medium drain on their own, and a map of a source that has
    // failed must throw.
    let failure: Failure | null = null;
    let map = this.#reservation.findFirst();
    for (; map !== null; map = this.#reservation.findNext(map)) {
      const { persistence } = map;
      if (!persistence.emulated && persistence.drains) continue;
      try {
        persistence.drain();
      } catch (error) {
        failure ??= { error };
      }
    }
    report(failure);
  }

  deepFlush(action: string, offset: number, length: number): void {
    const first = this.#flushable(action, offset, length);
    let failure: Failure | null = null;
    for (let piece = first; piece !== null; piece = piece.next) {
      if (!piece.durable || failure !== null && !piece.map.live) continue;
      try {
        piece.map.deepFlush(piece.start, piece.length);
      } catch (error) {
        failure ??= { error };
      }
    }
    report(failure);
  }

  persistAsync(action: string, offset: number, length: number): Promise<void> {
    return allOf(
      this.#flushable(action, offset, length),
      ({ map, start, length }) => map.persistAsync(start, length),
    );
  }

  deepFlushAsync(
    action: string,
    offset: number,
    length: number,
  ): Promise<void> {
    return allOf(
      this.#flushable(action, offset, length),
      ({ map, start, length }) => map.deepFlushAsync(start, length),
    );
  }

  /** Waits until no map has a running flush any more. */
  async whenIdle(): Promise<void> {
    let map = this.#pending();
    for (; map !== null; map = this.#pending()) await map.whenIdle();
  }

  #pending(): NativeMap | null {
    let map = this.#reservation.findFirst();
    while (map !== null && map.pendingFlushes === 0) {
      map = this.#reservation.findNext(map);
    }
    return map;
  }
}

/** The first of several errors: the other maps are still flushed. */
interface Failure {
  readonly error: unknown;
}

function nameOf(access: number): string {
  if (access === (READ | WRITE)) {
    return 'readable and writable: use read(), or map it with sharing: "private", whose views never reach the file';
  }
  return access === READ ? "readable" : "writable";
}

/**
 * Returns the flags for the store to a piece. It does not drain, which is done once for
 * all pieces. It does not flush either where that may fail: everything must be stored
 * before.
 */
function flagsOf({ map, durable }: Piece, flags: number): number {
  const flush = durable && map.persistence.drains;
  return flags | (flush ? NODRAIN : NODRAIN | NOFLUSH);
}

/** Copies from an address to all pieces, as memmove does. */
function move(first: Piece, from: number, flags: number): void {
  // Bytes that are still to be copied must not be overwritten.
  const backwards = from < first.at;
  let piece: Piece | null = first;
  if (backwards) { while (piece.next !== null) piece = piece.next; }
  while (piece !== null) {
    const { map: { persistence, pointer }, at, length } = piece;
    const source = from + (at - first.at);
    const part = flagsOf(piece, flags);
    persistence.move({ pointer, address: 0n }, at, source, length, part);
    piece = backwards ? piece.previous : piece.next;
  }
}

/** Flushes all pieces, or only those whose stores did not flush. */
function flush(first: Piece | null, leftOut = false): Failure | null {
  let failure: Failure | null = null;
  for (let piece = first; piece !== null; piece = piece.next) {
    if (!piece.durable || leftOut && piece.map.persistence.drains) continue;
    // The caller's code may run when an error is made, and may close a map.
    if (failure !== null && !piece.map.live) continue;
    try {
      piece.map.flush(piece.start, piece.length);
    } catch (error) {
      failure ??= { error };
    }
  }
  return failure;
}

/** Makes the stores to all pieces durable, as far as the flags say so. */
function finish(first: Piece | null, flags: number): void {
  if ((flags & NOFLUSH) !== 0) return;
  const failure = flush(first, true);
  if ((flags & NODRAIN) === 0) drain(first);
  report(failure);
}

function report(failure: Failure | null): void {
  if (failure !== null) throw failure.error;
}

function drain(first: Piece | null): void {
  let drained = false;
  for (let piece = first; piece !== null; piece = piece.next) {
    const { persistence, closed } = piece.map;
    if (!persistence.drains || closed) continue;
    if (persistence.emulated) {
      persistence.drain();
    } else if (!drained) {
      // Once for all: a fence of the CPU covers all of its stores.
      persistence.drain();
      drained = true;
    }
  }
}

/** Starts an operation for all pieces, and then waits for all of them. */
async function allOf(
  first: Piece | null,
  start: (piece: Piece) => Promise<void>,
): Promise<void> {
  let last: Started | null = null;
  for (let piece = first; piece !== null; piece = piece.next) {
    if (!piece.durable || !piece.map.live) continue;
    last = new Started(settle(start(piece)), last);
  }
  let failure: Failure | null = null;
  for (; last !== null; last = last.previous) {
    failure = await last.end ?? failure;
  }
  report(failure);
}

class Started {
  readonly end: Promise<Failure | null>;
  readonly previous: Started | null;

  constructor(end: Promise<Failure | null>, previous: Started | null) {
    this.end = end;
    this.previous = previous;
  }
}

async function settle(promise: Promise<void>): Promise<Failure | null> {
  try {
    await promise;
    return null;
  } catch (error) {
    return { error };
  }
}
