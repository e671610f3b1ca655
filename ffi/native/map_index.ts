/**
 * The maps of a reservation in address order, for searches. Whatever is found here was
 * found by libpmem2 as well: see `NativeVmReservation`.
 *
 * PERF: with many maps, what costs are misses of the CPU's caches, about 100 ns each.
 * A walk reads these arrays from one end to the other, which the CPU foresees, where
 * objects of V8 lie anywhere: a step among 20,000 maps takes 450 ns instead of 750
 * (Deno 2.9.6).
 *
 * @module
 */

import {
  ArrayBuffer,
  bareArray,
  BigUint64Array,
  Float64Array,
  Int32Array,
} from "../input/intrinsics.ts";
import * as cells from "../c/cell.ts";
import type { NativeMap } from "./map.ts";

// PERF: see preload.ts.
const { isReceivedAt } = cells;

/** The maps of a reservation, as they were when the index was made. */
export class MapIndex {
  /** Counts the fills, and the maps that were closed since. */
  changes = 0;
  /** The number of entries. */
  length = 0;
  /** The address of each map as a number. */
  starts: Float64Array = new Float64Array(0);
  /** The pointer of each map, or 0 if the map is closed or other native code made it. */
  pointers: BigUint64Array = new BigUint64Array(0);
  maps: readonly NativeMap[] = [];
  /** The `Pmem2Map` of each map, or null. */
  wrappers: (object | null)[] = [];
  #cleared = 0;
  /** The pointers as integers of 32 bits, which V8 compares faster. */
  #halves = new Int32Array(0);

  /** Replaces all entries by these maps, which are in address order. */
  fill(maps: readonly NativeMap[]): void {
    const { length } = maps;
    const starts = new Float64Array(length);
    const memory = new ArrayBuffer(8 * length);
    const pointers = new BigUint64Array(memory);
    const wrappers = bareArray<object | null>();
    for (let i = 0; i < length; i++) {
      const map = maps[i]!;
      starts[i] = map.start;
      wrappers[i] = map.wrapper;
      if (map.access !== 0) pointers[i] = map.pointer;
    }
    // SAFETY: from here on there are only assignments. If one array was of this time and
    // another of the time before, C would get the pointer of a map that is deleted.
    this.starts = starts;
    this.pointers = pointers;
    this.#halves = new Int32Array(memory);
    this.maps = maps;
    this.wrappers = wrappers;
    this.length = length;
    this.#cleared = 0;
    this.changes++;
    for (let i = 0; i < length; i++) {
      const map = maps[i]!;
      if (map.access === 0) continue;
      map.index = this;
      map.position = i;
    }
  }

  /** Whether most entries are of maps that are closed, which it keeps from being collected. */
  get isStale(): boolean {
    return this.#cleared > this.length / 2;
  }

  /** Records the `Pmem2Map` of an entry. */
  wrap(position: number, wrapper: object): void {
    if (position < this.length) this.wrappers[position] = wrapper;
  }

  /** Makes an entry invalid, as its map is closed. */
  clear(position: number): void {
    this.changes++;
    if (position >= this.length) return;
    this.pointers[position] = 0n;
    this.wrappers[position] = null;
    this.#cleared++;
  }

  /** Returns the last entry that starts at or below an address, or −1. */
  search(address: number): number {
    const { starts } = this;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Whether C has just found the map of this entry, and the map is open. */
  isFound(position: number): boolean {
    return position >= 0 && position < this.length && this.isNext(position);
  }

  /** The same, for an entry that exists. */
  isNext(position: number): boolean {
    return isReceivedAt(this.#halves, position);
  }
}
