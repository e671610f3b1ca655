/**
 * What a map and a reservation have in common.
 *
 * @module
 */

import type { StoreOptions } from "./input/store_options.ts";

/**
 * Memory whose contents can be made durable: a map, or a reservation as one memory
 * made of its maps. Code that takes a `Pmem2Memory` works with either. Offsets are
 * in bytes from the start of the memory.
 *
 * What it takes to make a store durable depends on the granularity of each map; the
 * methods do whatever that requires.
 *
 * @example A function for maps and reservations
 * ```ts
 * import { Pmem2Map, type Pmem2Memory, Pmem2VmReservation } from "@pmem2/pmem2";
 * import { assertEquals } from "@std/assert";
 *
 * function store(memory: Pmem2Memory, text: string): void {
 *   memory.write(new TextEncoder().encode(text), 4094);
 * }
 *
 * const directory = Deno.makeTempDirSync();
 * using map = Pmem2Map.open(`${directory}/a`, { create: true, size: 8192 });
 * store(map, "hello");
 *
 * using reservation = new Pmem2VmReservation(8192);
 * for (const name of ["b", "c"]) {
 *   reservation.map(`${directory}/${name}`, { create: true, size: 4096 });
 * }
 * store(reservation, "hello"); // across the border
 *
 * assertEquals(Deno.readTextFileSync(`${directory}/c`).slice(0, 3), "llo");
 * Deno.removeSync(directory, { recursive: true });
 * ```
 */
export interface Pmem2Memory extends Disposable, AsyncDisposable {
  /** Address of the first byte. */
  readonly address: bigint;
  /** Size in bytes. */
  readonly size: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Fills `target` with bytes of the memory, starting at `offset`. */
  read(target: Uint8Array, offset?: number): void;
  /** Copies bytes into the memory. They are durable on return, unless `options` say otherwise. */
  write(data: Uint8Array, offset?: number, options?: StoreOptions): void;
  /** Copies bytes within the memory. The two ranges may overlap. */
  move(
    target: number,
    source: number,
    length: number,
    options?: StoreOptions,
  ): void;
  /** Sets bytes to a value from 0 to 255. */
  fill(
    value: number,
    offset?: number,
    length?: number,
    options?: StoreOptions,
  ): void;
  /** Makes the stores to a range durable: flushes and drains. */
  persist(offset?: number, length?: number): void;
  /** Makes the stores to a view durable. */
  persist(view: ArrayBufferView): void;
  /**
   * Flushes the stores to a range. They are durable once
   * {@linkcode Pmem2Memory.drain} returns.
   */
  flush(offset?: number, length?: number): void;
  /** Flushes the stores to a view. */
  flush(view: ArrayBufferView): void;
  /** Waits until everything that was flushed is durable. */
  drain(): void;
  /**
   * Makes the stores to a range durable without relying on buffers that the
   * hardware writes out when the power fails.
   */
  deepFlush(offset?: number, length?: number): void;
  /** Deep flushes the stores to a view. */
  deepFlush(view: ArrayBufferView): void;
  /** Does what {@linkcode Pmem2Memory.persist} does on another thread, without blocking the event loop. */
  persistAsync(offset?: number, length?: number): Promise<void>;
  /** Makes the stores to a view durable on another thread. */
  persistAsync(view: ArrayBufferView): Promise<void>;
  /** Does what {@linkcode Pmem2Memory.deepFlush} does on another thread, without blocking the event loop. */
  deepFlushAsync(offset?: number, length?: number): Promise<void>;
  /** Deep flushes the stores to a view on another thread. */
  deepFlushAsync(view: ArrayBufferView): Promise<void>;
  /** Closes the memory and empties all views on it. */
  close(): void;
}
