/**
 * Walks a reservation in address order, over what there is at each step: maps
 * may be closed and made meanwhile.
 *
 * @module
 */

import type { NativeMap } from "./map.ts";
import { type NativeVmReservation, pagesOf } from "./vm_reservation.ts";

/** A free range of a reservation, in whole pages. */
export interface Gap {
  /** First free byte, in bytes from the reservation's start. */
  readonly offset: number;
  /** Free bytes. */
  readonly size: number;
}

/** What a walk covers, and its direction. */
export interface WalkOptions {
  /**
   * Walk only what reaches past this offset in the reservation, in bytes.
   *
   * @default {0}
   */
  from?: number | undefined;
  /** Walk only what starts before this offset. Without it: all of it. */
  to?: number | undefined;
  /**
   * Walk from the last map to the first.
   *
   * @default {false}
   */
  reverse?: boolean | undefined;
}

/** Steps from map to map. The iterator that the caller holds is made of it. */
export abstract class Walk {
  protected readonly reservation: NativeVmReservation;
  /** Addresses, since offsets shift when the reservation's head is cut off. */
  protected readonly from: bigint;
  protected readonly to: bigint | null;
  /** The map that the walk stands on; null before the first. */
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

  /** The next map, or null for good. */
  step(): NativeMap | null {
    const current = this.#current;
    // A step is short enough for V8 to make it a part of the caller's loop.
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
  /** Where the walk goes on when the map it stood on is gone. */
  protected abstract resume(gone: NativeMap): NativeMap | null;
  /** Whether the map is not yet past what is to be walked. */
  protected abstract covers(map: NativeMap): boolean;
}

/** From the first map to the last. */
export class ForwardWalk extends Walk {
  protected override first(): NativeMap | null {
    return this.#earliest(this.from);
  }

  protected override next(map: NativeMap): NativeMap | null {
    return this.reservation.findNext(map);
  }

  protected override resume(gone: NativeMap): NativeMap | null {
    const map = this.#earliest(pagesOf(gone).to);
    // What has come to lie around the place would be out of order.
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

/** From the last map to the first. */
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

  /** The last map that starts below an address. */
  #lastBefore(address: bigint): NativeMap | null {
    const { reservation } = this;
    if (address <= reservation.address) return null;
    const rest = reservation.end - address;
    const after = rest > 0n ? reservation.find(address, rest) : null;
    if (after === null) return reservation.findLast();
    return after.address < address ? after : reservation.findPrev(after);
  }
}

/** The free ranges of a reservation, in address order. */
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
