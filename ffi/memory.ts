/**
 * What a map and a reservation have in common.
 *
 * @module
 */

import type { StoreOptions } from "./input/store_options.ts";

/**
 * Memory that is made durable: a map, or a reservation as one memory made of its
 * maps. A program that takes this works with either. Offsets are in bytes from its
 * start.
 *
 * Whether what was stored is durable is a matter of each map's granularity: the
 * methods do what that needs.
 *
 * @example A program for either
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
  /** Whether it was closed. */
  readonly closed: boolean;
  /** Copies bytes out of the memory, from `offset` on: as many as `target` has. */
  read(target: Uint8Array, offset?: number): void;
  /** Copies bytes into the memory, and makes them durable unless told else. */
  write(data: Uint8Array, offset?: number, options?: StoreOptions): void;
  /** Copies bytes within the memory, also where the two ranges overlap. */
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
  /** Makes stores durable: flushes and drains. */
  persist(offset?: number, length?: number): void;
  /** Makes the stores to a view durable. */
  persist(view: ArrayBufferView): void;
  /** Starts to make stores durable; they are after {@linkcode Pmem2Memory.drain}. */
  flush(offset?: number, length?: number): void;
  /** Starts to make the stores to a view durable. */
  flush(view: ArrayBufferView): void;
  /** Waits until everything that was flushed is durable. */
  drain(): void;
  /** Makes stores durable beyond the power-fail protected buffers of the hardware. */
  deepFlush(offset?: number, length?: number): void;
  /** Makes the stores to a view durable in this way. */
  deepFlush(view: ArrayBufferView): void;
  /** {@linkcode Pmem2Memory.persist} on another thread: the event loop runs on. */
  persistAsync(offset?: number, length?: number): Promise<void>;
  /** The same for the stores to a view. */
  persistAsync(view: ArrayBufferView): Promise<void>;
  /** {@linkcode Pmem2Memory.deepFlush} on another thread: the event loop runs on. */
  deepFlushAsync(offset?: number, length?: number): Promise<void>;
  /** The same for the stores to a view. */
  deepFlushAsync(view: ArrayBufferView): Promise<void>;
  /** Closes it: all views on it are empty then. */
  close(): void;
}
