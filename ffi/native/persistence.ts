/**
 * Makes stores durable, and makes durable copies: what the functions of
 * `pmem2_get_persist_fn`, `pmem2_get_memcpy_fn` and their like do.
 *
 * @module
 */

import { bareArray } from "../input/intrinsics.ts";
import * as copy from "../c/copy.ts";
import * as functionPointer from "../c/function_pointer.ts";
import type { Call4 } from "../c/function_pointer.ts";
import * as functions from "../c/functions.ts";
import * as library from "../c/library.ts";
import * as pointer from "../c/pointer.ts";
import type { FunctionPointer, MapPointer } from "../c/pointer.ts";
import * as granularity from "../input/granularity.ts";
import * as storeOptions from "../input/store_options.ts";
import type { EmulatedMap, EmulatedPersistence } from "./emulation.ts";
import { openMsync, type Writeback } from "./writeback.ts";

// PERF: see preload.ts.
const { add, toBigInt } = pointer;
const { copyIn, copyWithin, pin, unpin } = copy;
const { mapFunctions, memoryFunctions, persistenceFunctions } = functions;
const { loaderFunctions } = library;
const { call2, call2Async, libffiCall, openCall2 } = functionPointer;
const { CACHE_LINE, PAGE } = granularity;

const { NODRAIN, NOFLUSH, NONTEMPORAL, TEMPORAL, WB, WC } = storeOptions;
const HINTS = NONTEMPORAL | TEMPORAL | WC | WB;

/** libpmem2 uses non-temporal stores for this many bytes or more. */
const NONTEMPORAL_FROM = 256;

const NONE = 0n as FunctionPointer;

/**
 * The operations of all maps of one granularity. Maps at page granularity, and maps
 * whose medium is emulated, have an object of their own.
 *
 * PERF: subclasses for these would slow down all maps. In a process that has both,
 * each call would have to find out which one it is, which takes 10 to 20 ns (Deno
 * 2.9.6).
 */
export class Persistence {
  readonly persistFn: FunctionPointer;
  readonly #flushFn: FunctionPointer;
  readonly #drainFn: FunctionPointer;
  readonly #granularity: number;
  readonly #emulated: EmulatedPersistence | null;
  /** Replaces libpmem2's functions at page granularity. */
  readonly #writeback: Writeback | null;
  #memory: MemoryFunctions | undefined;

  constructor(
    map: MapPointer,
    granularity: number,
    writeback: Writeback | null,
    emulated: EmulatedPersistence | null = null,
  ) {
    if (writeback === null) {
      openCall2();
      const c = persistenceFunctions();
      this.persistFn = c.pmem2_get_persist_fn(map);
      this.#flushFn = c.pmem2_get_flush_fn(map);
      this.#drainFn = c.pmem2_get_drain_fn(map);
    } else {
      openMsync();
      this.persistFn = this.#flushFn = this.#drainFn = NONE;
    }
    this.#granularity = granularity;
    this.#writeback = writeback;
    this.#emulated = emulated;
  }

  /** Whether a flush needs a drain. At page granularity it does not. */
  get drains(): boolean {
    return this.#granularity !== PAGE;
  }

  /** Whether the medium is emulated, and this belongs to one map only. */
  get emulated(): boolean {
    return this.#emulated !== null;
  }

  persist(address: bigint, size: bigint): void {
    const emulated = this.#emulated;
    if (emulated !== null) return emulated.persist(address, size);
    const writeback = this.#writeback;
    if (writeback !== null) return writeback.sync(address, size);
    call2(this.persistFn, address, size);
  }

  persistAsync(address: bigint, size: bigint): Promise<void> {
    const emulated = this.#emulated;
    if (emulated !== null) return emulated.persistAsync(address, size);
    const writeback = this.#writeback;
    if (writeback !== null) return writeback.syncAsync(address, size);
    return call2Async(this.persistFn, address, size);
  }

  flush(address: bigint, size: bigint): void {
    const emulated = this.#emulated;
    if (emulated !== null) return emulated.flush(address, size);
    const writeback = this.#writeback;
    if (writeback !== null) return writeback.sync(address, size);
    call2(this.#flushFn, address, size);
  }

  drain(): void {
    const emulated = this.#emulated;
    if (emulated !== null) return emulated.drain();
    const writeback = this.#writeback;
    if (writeback !== null) return writeback.check();
    call2(this.#drainFn, 0n, 0n);
  }

  // PERF: numbers are passed on as they are, since a bigint would have to be allocated.

  /**
   * Copies an array of `length` bytes, which may be a view on the map, as memcpy_fn
   * does.
   */
  write(
    map: Memory,
    offset: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ): void {
    const emulated = this.#emulated;
    if (emulated !== null) {
      return emulated.write(map, offset, data, length, flags);
    }
    const address = add(map.address, offset);
    const size = toBigInt(length);
    const call4 = this.#call4(length, flags);
    if (call4 === null) {
      copyIn(address, data, length);
      this.#finish(address, size, flags);
    } else {
      const { memcpyFn, memmoveFn } = this.#functions(map);
      const from = pin(data, length);
      const apart = from + size <= address || address + size <= from;
      const copyFn = apart ? memcpyFn : memmoveFn;
      call4(copyFn, address, from, size, toBigInt(flags));
      unpin();
    }
  }

  /** Copies within memory as memmove_fn does; the ranges may overlap. */
  move(
    map: Memory,
    target: number,
    source: number,
    length: number,
    flags: number,
  ): void {
    const emulated = this.#emulated;
    if (emulated !== null) {
      return emulated.move(map, target, source, length, flags);
    }
    const to = add(map.address, target);
    const from = add(map.address, source);
    const size = toBigInt(length);
    const call4 = this.#call4(length, flags);
    if (call4 === null) {
      copyWithin(to, from, length);
      this.#finish(to, size, flags);
    } else {
      call4(this.#functions(map).memmoveFn, to, from, size, toBigInt(flags));
    }
  }

  /** Sets memory to a byte as memset_fn does. */
  fill(
    map: Memory,
    offset: number,
    value: number,
    length: number,
    flags: number,
  ): void {
    const emulated = this.#emulated;
    if (emulated !== null) {
      return emulated.fill(map, offset, value, length, flags);
    }
    const address = add(map.address, offset);
    const size = toBigInt(length);
    const call4 = this.#call4(length, flags);
    if (call4 === null) {
      // −0 passes as a byte, but is not an i32.
      loaderFunctions().memset(address, value | 0, size);
      this.#finish(address, size, flags);
    } else {
      const { memsetFn } = this.#functions(map);
      call4(memsetFn, address, toBigInt(value), size, toBigInt(flags));
    }
  }

  /**
   * Returns a way to call libpmem2's own function, or null if libc's function and a
   * persist are to be called instead.
   *
   * PERF: libc's are as fast at byte granularity, and for short stores, which libpmem2
   * does not make non-temporal either. libpmem2's are called if the caller requires a
   * kind of store, but never at page granularity, where they call msync.
   */
  #call4(length: number, flags: number): Call4 | null {
    if (this.#writeback !== null) return null;
    return (flags & HINTS) !== 0 ||
        (this.#granularity === CACHE_LINE && length >= NONTEMPORAL_FROM)
      ? libffiCall()
      : null;
  }

  #finish(address: bigint, size: bigint, flags: number): void {
    if ((flags & NOFLUSH) !== 0) return;
    if ((flags & NODRAIN) !== 0) this.flush(address, size);
    else this.persist(address, size);
  }

  #functions({ pointer }: Memory): MemoryFunctions {
    return this.#memory ??= {
      memcpyFn: memoryFunctions().pmem2_get_memcpy_fn(pointer),
      memmoveFn: memoryFunctions().pmem2_get_memmove_fn(pointer),
      memsetFn: memoryFunctions().pmem2_get_memset_fn(pointer),
    };
  }
}

/** A map, as far as this file uses it. */
interface Memory {
  readonly pointer: MapPointer;
  readonly address: bigint;
}

interface MemoryFunctions {
  readonly memcpyFn: FunctionPointer;
  readonly memmoveFn: FunctionPointer;
  readonly memsetFn: FunctionPointer;
}

const shared = bareArray<Persistence | undefined>();

/** Returns the operations of a map. */
export function persistenceOf(
  map: MapPointer,
  granularity: number,
  writeback: Writeback,
): Persistence {
  if (granularity === PAGE) return new Persistence(map, PAGE, writeback);
  const known = shared[granularity];
  return known?.persistFn === persistenceFunctions().pmem2_get_persist_fn(map)
    ? known
    : shared[granularity] = new Persistence(map, granularity, null);
}

/** Drains what was flushed in any map. A fence of the CPU covers all of them. */
export function fence(): void {
  for (let granularity = 0; granularity < PAGE; granularity++) {
    shared[granularity]?.drain();
  }
}

/** Returns the operations of a map whose medium is emulated. */
export function emulatedPersistence(
  map: MapPointer,
  { granularity, persistence }: EmulatedMap,
  writeback: Writeback,
): Persistence {
  if (persistence !== null) {
    return new Persistence(map, granularity, null, persistence);
  }
  // The emulation leaves this map to the real medium.
  const c = mapFunctions();
  const its = c.pmem2_map_get_store_granularity(map);
  return persistenceOf(map, its, writeback);
}
