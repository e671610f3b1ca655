/**
 * Walks a reservation in address order. Maps may be made and closed during a walk: each
 * step goes to the next map that exists at that time.
 *
 * @module
 */

import { Number } from "../input/intrinsics.ts";
import type { NativeMap } from "./map.ts";
import { pagesEndOf } from "./spanning.ts";
import type { NativeVmReservation } from "./vm_reservation.ts";

/** A free range of a reservation, in whole pages. */
export interface Gap {
  /** Where the range starts, in bytes from the start of the reservation. */
  readonly offset: number;
  /** How many bytes the range has. */
  readonly size: number;
}

/** Which maps to walk, and in which direction. */
export interface WalkOptions {
  /**
   * Skips maps that end at or before this offset, in bytes from the start of the
   * reservation.
   *
   * @default {0}
   */
  from?: number | undefined;
  /**
   * Skips maps that start at or after this offset, in bytes from the start of the
   * reservation. Without it, the walk reaches to the end.
   */
  to?: number | undefined;
  /**
   * Whether to walk from the last map to the first.
   *
   * @default {false}
   */
  reverse?: boolean | undefined;
}

/** Returns the one `Pmem2Map` of a native map. */
type Wrap = (map: NativeMap) => object;

/** Steps from map to map, for the iterator that the caller has. */
export abstract class Walk {
  protected readonly reservation: NativeVmReservation;
  /** Addresses, since offsets change when the reservation is shrunk at its start. */
  protected readonly from: number;
  protected readonly to: number;
  /** The map that was reached by the last slow step; null before the first one. */
  #reached: NativeMap | null = null;
  /** The reservation's index as it was then: {@linkcode MapIndex.maps}. */
  #maps: readonly NativeMap[] = [];
  /** The same: {@linkcode MapIndex.changes}. */
  protected changes = -1;
  /** Where the map that was reached last is in it. */
  protected position = -1;
  /** Up to which entry a walk may go on fast: to one before this. */
  protected limit = 0;
  readonly #wrap: Wrap;
  #done: boolean;

  constructor(
    reservation: NativeVmReservation,
    from: number,
    to: number,
    wrap: Wrap,
  ) {
    this.reservation = reservation;
    this.from = reservation.base + from;
    this.to = reservation.base + to;
    this.#wrap = wrap;
    this.#done = to <= from;
  }

  /** Returns the `Pmem2Map` of the next map. After the last one it returns null from then on. */
  step(): object | null {
    const map = this.#next();
    if (map === null || !this.covers(map)) return this.#end();
    const wrapper = this.#wrap(map);
    const { index } = this.reservation;
    this.#reached = map;
    this.#maps = index.maps;
    this.changes = index.changes;
    this.position = map.position;
    this.limit = map.index === index ? index.search(this.to - 1) + 1 : 0;
    return wrapper;
  }

  #next(): NativeMap | null {
    if (this.#done || this.reservation.closed) return null;
    const current = this.limit === 0
      ? this.#reached
      : this.#maps[this.position]!;
    if (current === null) return this.first();
    return current.live ? this.next(current) : this.resume(current);
  }

  #end(): null {
    this.#done = true;
    this.limit = 0;
    this.#maps = [];
    return this.#reached = null;
  }

  protected abstract first(): NativeMap | null;
  protected abstract next(map: NativeMap): NativeMap | null;
  /** Returns the next map after one that was closed. */
  protected abstract resume(gone: NativeMap): NativeMap | null;
  /** Whether the map is in the range of the walk, and not past it. */
  protected abstract covers(map: NativeMap): boolean;
}

/** Walks from the first map to the last. */
export class ForwardWalk extends Walk {
  // PERF: this is short enough for V8 to inline it into the caller's loop.
  override step(): object | null {
    const { reservation } = this;
    const { index } = reservation;
    const next = this.position + 1;
    if (
      next < this.limit && index.changes === this.changes &&
      reservation.findsNext(next)
    ) {
      const wrapper = index.wrappers[next]!;
      if (wrapper !== null) {
        this.position = next;
        return wrapper;
      }
    }
    return super.step();
  }

  protected override first(): NativeMap | null {
    return this.#earliest(this.from);
  }

  protected override next(map: NativeMap): NativeMap | null {
    return this.reservation.findNext(map);
  }

  protected override resume(gone: NativeMap): NativeMap | null {
    const map = this.#earliest(pagesEndOf(gone));
    // A new map around that place would be out of order.
    return map !== null && map.start <= gone.start
      ? this.reservation.findNext(map)
      : map;
  }

  protected override covers(map: NativeMap): boolean {
    return map.start < this.to;
  }

  #earliest(address: number): NativeMap | null {
    const { reservation } = this;
    const offset = address - reservation.base;
    if (offset <= 0) return reservation.findFirst();
    const rest = reservation.size - offset;
    return rest > 0 ? reservation.findAt(offset, rest) : null;
  }
}

/** Walks from the last map to the first. */
export class ReverseWalk extends Walk {
  protected override first(): NativeMap | null {
    return this.#lastBefore(this.to);
  }

  protected override next(map: NativeMap): NativeMap | null {
    return this.reservation.findPrev(map);
  }

  protected override resume(gone: NativeMap): NativeMap | null {
    return this.#lastBefore(gone.start);
  }

  protected override covers(map: NativeMap): boolean {
    return map.start + map.size > this.from;
  }

  /** Returns the last map that starts below an address. */
  #lastBefore(address: number): NativeMap | null {
    const { reservation } = this;
    const offset = address - reservation.base;
    if (offset <= 0) return null;
    const rest = reservation.size - offset;
    const after = rest > 0 ? reservation.findAt(offset, rest) : null;
    if (after === null) return reservation.findLast();
    return after.start < address ? after : reservation.findPrev(after);
  }
}

/** Walks the free ranges of a reservation in address order. */
export function* gapsOf(
  reservation: NativeVmReservation,
): Generator<Gap, undefined> {
  let position = reservation.address;
  while (!reservation.closed) {
    if (position < reservation.address) position = reservation.address;
    const gap = reservation.nextGap(position);
    if (gap === null) return;
    position = gap.to;
    yield {
      offset: Number(gap.from - reservation.address),
      size: Number(gap.to - gap.from),
    };
  }
}
