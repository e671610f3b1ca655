/**
 * Walks a reservation in address order. Maps may be made and closed during a walk: each
 * step goes to the next map that exists at that time.
 *
 * @module
 */

import { BigInt, Number } from "../input/intrinsics.ts";
import type { NativeMap } from "./map.ts";
import { type NativeVmReservation, pagesOf } from "./vm_reservation.ts";

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

/** Steps from map to map, for the iterator that the caller has. */
export abstract class Walk {
  protected readonly reservation: NativeVmReservation;
  /** Addresses, since offsets change when the reservation is shrunk at its start. */
  protected readonly from: bigint;
  protected readonly to: bigint | null;
  /** The map that was reached last, or null before the first step. */
  #current: NativeMap | null = null;
  #done = false;

  constructor(
    reservation: NativeVmReservation,
    from: number,
    to: number | undefined,
  ) {
    this.reservation = reservation;
    this.from = from === 0
      ? reservation.address
      : reservation.address + BigInt(from);
    this.to = to === undefined ? null : reservation.address + BigInt(to);
    this.#done = to !== undefined && to <= from;
  }

  /** Returns the next map. After the last one it returns null from then on. */
  step(): NativeMap | null {
    const current = this.#current;
    // PERF: a step is short enough for V8 to inline it into the caller's loop.
    const map = current !== null && current.access !== 0
      ? this.next(current)
      : this.#startOver();
    return map !== null && this.covers(map) ? this.#current = map : this.#end();
  }

  #startOver(): NativeMap | null {
    if (this.#done || this.reservation.closed) return null;
    const current = this.#current;
    if (current === null) return this.first();
    return current.live ? this.next(current) : this.resume(current);
  }

  #end(): null {
    this.#done = true;
    return this.#current = null;
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
  protected override first(): NativeMap | null {
    return this.#earliest(this.from);
  }

  protected override next(map: NativeMap): NativeMap | null {
    return this.reservation.findNext(map);
  }

  protected override resume(gone: NativeMap): NativeMap | null {
    const map = this.#earliest(pagesOf(gone).to);
    // A new map around that place would be out of order.
    return map !== null && map.address <= gone.address
      ? this.reservation.findNext(map)
      : map;
  }

  protected override covers(map: NativeMap): boolean {
    return this.to === null || map.address < this.to;
  }

  #earliest(address: bigint): NativeMap | null {
    const { reservation } = this;
    if (address <= reservation.address) return reservation.findFirst();
    const rest = reservation.end - address;
    return rest > 0n ? reservation.find(address, rest) : null;
  }
}

/** Walks from the last map to the first. */
export class ReverseWalk extends Walk {
  protected override first(): NativeMap | null {
    return this.to === null
      ? this.reservation.findLast()
      : this.#lastBefore(this.to);
  }

  protected override next(map: NativeMap): NativeMap | null {
    return this.reservation.findPrev(map);
  }

  protected override resume(gone: NativeMap): NativeMap | null {
    return this.#lastBefore(gone.address);
  }

  protected override covers(map: NativeMap): boolean {
    return map.address + BigInt(map.size) > this.from;
  }

  /** Returns the last map that starts below an address. */
  #lastBefore(address: bigint): NativeMap | null {
    const { reservation } = this;
    if (address <= reservation.address) return null;
    const rest = reservation.end - address;
    const after = rest > 0n ? reservation.find(address, rest) : null;
    if (after === null) return reservation.findLast();
    return after.address < address ? after : reservation.findPrev(after);
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
