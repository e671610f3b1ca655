/**
 * What a reservation is to do, in plain TypeScript: a sorted list of maps.
 *
 * @module
 */

import type { Gap, Pmem2Map, Pmem2VmReservation } from "@pmem2/pmem2";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { nativeMaps } from "./native_process.ts";
import { PAGE } from "./page.ts";

/** A map as it should be. */
export interface ModelMap {
  readonly map: Pmem2Map;
  readonly address: bigint;
  readonly size: number;
  /** What its first and its last byte hold. */
  readonly tag: number;
}

/** The address behind the last page. */
export function endOf({ address, size }: ModelMap): bigint {
  return address + BigInt(Math.ceil(size / PAGE) * PAGE);
}

export class ReservationModel {
  readonly actual: Pmem2VmReservation;
  address: bigint;
  size: number;
  maps: ModelMap[] = [];

  constructor(actual: Pmem2VmReservation) {
    this.actual = actual;
    this.address = actual.address;
    this.size = actual.size;
  }

  get end(): bigint {
    return this.address + BigInt(this.size);
  }

  add(added: ModelMap): void {
    this.maps.push(added);
    this.maps.sort((a, b) => a.address < b.address ? -1 : 1);
  }

  remove(map: Pmem2Map): void {
    this.maps = this.maps.filter((known) => known.map !== map);
  }

  /** The free ranges at or behind an address. */
  gaps(from = this.address): Gap[] {
    const gaps: Gap[] = [];
    let position = from > this.address ? from : this.address;
    const free = (to: bigint) => {
      if (to <= position) return;
      const offset = Number(position - this.address);
      gaps.push({ offset, size: Number(to - position) });
    };
    for (const map of this.maps) {
      if (endOf(map) <= position) continue;
      free(map.address);
      position = endOf(map);
    }
    free(this.end);
    return gaps;
  }

  /** Where a map without `at` goes. */
  place(size: number): number | null {
    return this.gaps().find((gap) => gap.size >= size)?.offset ?? null;
  }

  /** The earliest map with a byte of the range, or around a range of nothing. */
  find(offset: number, length: number): Pmem2Map | null {
    const from = this.address + BigInt(offset);
    const to = from + BigInt(length);
    return this.maps.find(({ address, size }) =>
      address + BigInt(size) > from &&
      (address < to || (length === 0 && address <= from))
    )?.map ?? null;
  }

  /** Asserts that the module sees what the model sees, and libpmem2 too. */
  check(): void {
    const { actual, maps } = this;
    assertEquals([actual.address, actual.size], [this.address, this.size]);
    const objects = maps.map(({ map }) => map);
    const walked = [...actual];
    assertEquals(walked.length, objects.length);
    walked.forEach((map, i) => assertStrictEquals(map, objects[i]));
    const back = [...actual.maps({ reverse: true })].reverse();
    back.forEach((map, i) => assertStrictEquals(map, objects[i]));
    assertEquals(back.length, objects.length);
    assertEquals([...actual.gaps()], this.gaps());
    assertStrictEquals(actual.findFirst(), objects[0] ?? null);
    assertStrictEquals(actual.findLast(), objects.at(-1) ?? null);
    const theirs = nativeMaps(actual.unsafeHandle);
    for (const [i, { map, address, size, tag }] of maps.entries()) {
      assertEquals(
        [map.address, map.size, map.offset, map.unsafeHandle],
        [address, size, Number(address - this.address), theirs[i]!.handle],
      );
      assertEquals([theirs[i]!.address, theirs[i]!.size], [address, size]);
      const byte = new Uint8Array(1);
      for (const at of [0, size - 1]) {
        map.read(byte, at);
        assertEquals(byte[0], tag);
      }
    }
    assertEquals(theirs.length, maps.length);
  }
}

/** A walk as it should go, whatever happens between its steps. */
export class ModelWalk {
  readonly #model: ReservationModel;
  readonly #reverse: boolean;
  readonly #from: bigint;
  readonly #to: bigint | null;
  #current: ModelMap | null = null;
  #done = false;

  constructor(
    model: ReservationModel,
    { from, to, reverse }: { from: number; to?: number; reverse: boolean },
  ) {
    this.#model = model;
    this.#reverse = reverse;
    this.#from = model.address + BigInt(from);
    this.#to = to === undefined ? null : model.address + BigInt(to);
    this.#done = to !== undefined && to <= from;
  }

  next(): Pmem2Map | null {
    if (this.#done) return null;
    const found = this.#model.actual.closed
      ? undefined
      : this.#reverse
      ? this.#before()
      : this.#behind();
    if (found === undefined) {
      this.#done = true;
      return null;
    }
    this.#current = found;
    return found.map;
  }

  #behind(): ModelMap | undefined {
    const current = this.#current;
    const position = current === null ? this.#from : endOf(current);
    const found = this.#model.maps.find(({ address, size }) =>
      address + BigInt(size) > position &&
      (current === null || address > current.address)
    );
    const inside = found !== undefined &&
      (this.#to === null || found.address < this.#to);
    return inside ? found : undefined;
  }

  #before(): ModelMap | undefined {
    const position = this.#current?.address ?? this.#to ?? this.#model.end;
    const found = this.#model.maps.findLast(({ address }) =>
      address < position
    );
    const inside = found !== undefined &&
      found.address + BigInt(found.size) > this.#from;
    return inside ? found : undefined;
  }
}
