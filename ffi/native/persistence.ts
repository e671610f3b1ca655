/**
 * Makes stores durable, and copies so that they are: what a map's function
 * pointers do.
 *
 * @module
 */

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

// What is imported V8 looks up each time; a module's own constants it knows.
const { add, toBigInt } = pointer;
const { copyIn, copyWithin, pin, unpin } = copy;
const { mapFunctions, memoryFunctions, persistenceFunctions } = functions;
const { loaderFunctions } = library;
const { call2, call2Async, libffiCall, openCall2 } = functionPointer;
const { CACHE_LINE, PAGE } = granularity;

const { NODRAIN, NOFLUSH, NONTEMPORAL, TEMPORAL, WB, WC } = storeOptions;
const HINTS = NONTEMPORAL | TEMPORAL | WC | WB;

/** From how many bytes on libpmem2 takes non-temporal stores. */
const NONTEMPORAL_FROM = 256;

const NONE = 0n as FunctionPointer;

/**
 * The operations of all maps of one granularity; at page granularity of one map,
 * as of one whose medium is emulated.
 *
 * PERF: a subclass for either would slow down all others: each call in a process
 * that has both would have to look which it is, and that takes 10 to 20 ns.
 */
export class Persistence {
  readonly persistFn: FunctionPointer;
  readonly #flushFn: FunctionPointer;
  readonly #drainFn: FunctionPointer;
  readonly #granularity: number;
  readonly #emulated: EmulatedPersistence | null;
  /** At page granularity, instead of libpmem2's functions. */
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

  /** Whether a flush leaves something to wait for: at page granularity it doesn't. */
  get drains(): boolean {
    return this.#granularity !== PAGE;
  }

  /** Whether this is an emulated medium's, and so of one map alone. */
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

  // Numbers are handed on as they are: a bigint would have to be allocated.

  /** Copies an array of `length` bytes, maybe the map's own, over memcpy_fn. */
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

  /** Copies within memory, also where the ranges overlap, over memmove_fn. */
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

  /** Sets memory to a byte, over memset_fn. */
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
      // An i32 is not −0, which is a byte all the same.
      loaderFunctions().memset(address, value | 0, size);
      this.#finish(address, size, flags);
    } else {
      const { memsetFn } = this.#functions(map);
      call4(memsetFn, address, toBigInt(value), size, toBigInt(flags));
    }
  }

  /**
   * How to call libpmem2's own function, or null where libc's and a persist do
   * the same and as fast: at byte granularity, and for the short stores that
   * libpmem2 doesn't lead around the caches, unless the caller has asked for a
   * kind of store. Never at page granularity, where libpmem2 calls msync itself.
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

/** A map, as far as its memory goes. */
interface Memory {
  readonly pointer: MapPointer;
  readonly address: bigint;
}

interface MemoryFunctions {
  readonly memcpyFn: FunctionPointer;
  readonly memmoveFn: FunctionPointer;
  readonly memsetFn: FunctionPointer;
}

const shared: (Persistence | undefined)[] = [];

/** The operations of a map. */
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

/** Drains whatever was flushed of any map: to the CPU it's all the same. */
export function fence(): void {
  for (let granularity = 0; granularity < PAGE; granularity++) {
    shared[granularity]?.drain();
  }
}

/** The operations of a map whose medium is emulated. */
export function emulatedPersistence(
  map: MapPointer,
  { granularity, persistence }: EmulatedMap,
  writeback: Writeback,
): Persistence {
  if (persistence !== null) {
    return new Persistence(map, granularity, null, persistence);
  }
  // On another medium, which has its own.
  const c = mapFunctions();
  const its = c.pmem2_map_get_store_granularity(map);
  return persistenceOf(map, its, writeback);
}
