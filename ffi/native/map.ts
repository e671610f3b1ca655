/**
 * What a map is natively: made, viewed, deleted. Internal to the module; what
 * gets here is checked already.
 *
 * @module
 */

import { cellWith } from "../c/cell.ts";
import * as copy from "../c/copy.ts";
import { check, clearMessage, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import * as functions from "../c/functions.ts";
import { deepFlushFunctions } from "../c/functions.ts";
import * as pointer from "../c/pointer.ts";
import { type Halves, halvesOf, type MapPointer } from "../c/pointer.ts";
import * as granularity from "../input/granularity.ts";
import type { MapSettings } from "../input/map_options.ts";
import type { Whole } from "../input/range.ts";
import { detach, isDetached, transfer, viewGetters } from "../input/views.ts";
import { protectionOf } from "../process/address_space.ts";
import { opened } from "../process/mapping_limit.ts";
import { MUCH, requireStack } from "../process/stack.ts";
import type { EmulatedMap } from "./emulation.ts";
import {
  emulatedPersistence,
  type Persistence,
  persistenceOf,
} from "./persistence.ts";
import type { NativeSource } from "./source.ts";
import { Writeback } from "./writeback.ts";
import { unmapDue } from "./unmapping.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
const { add, toBigInt } = pointer;
const { copyOut } = copy;
const { mapFunctions } = functions;
const { PAGE } = granularity;

const ENOMEM = -errnoOf("ENOMEM");

/** What a reservation is to the maps in it. */
export interface MapOwner {
  readonly address: bigint;
  readonly wrapper: object | null;
  /** Takes a map that was deleted out of the books. */
  forget(map: NativeMap): void;
  /** Whether a map that this module did not make is still there. */
  holds(map: NativeMap): boolean;
}

/** Where maps lie that no caller has given a place. */
export interface MapArena {
  /** Unmaps a map that was closed, but not yet. */
  unmapLater(map: NativeMap): void;
  /** Takes a map that was unmapped out of the books. */
  forget(map: NativeMap): void;
}

/** A map's protection and where it comes from. */
export interface MapTraits {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly shared: boolean;
  readonly path: string | null;
  /** First byte of the source that is mapped. */
  readonly sourceOffset: number;
  /** What became of the stores to all maps of the source. */
  readonly writeback: Writeback;
}

/** The traits of a map of a source. */
export function traitsOf(
  source: NativeSource,
  settings: MapSettings,
): MapTraits {
  return {
    readable: settings.read,
    writable: settings.write,
    shared: settings.shared,
    path: source.path,
    sourceOffset: settings.offset,
    writeback: source.writeback,
  };
}

/** The traits of a map that somebody else made, as far as can be seen. */
export function foreignTraits(pointer: MapPointer): MapTraits {
  const c = mapFunctions();
  const address = c.pmem2_map_get_address(pointer);
  const size = c.pmem2_map_get_size(pointer);
  const {
    readable = false,
    writable = false,
    shared = true,
    sourceOffset = 0,
  } = protectionOf(address, size) ?? {};
  const writeback = new Writeback(null);
  return { readable, writable, shared, path: null, sourceOffset, writeback };
}

/** The map was made here and is there. */
const OWN = 1 << 0;
/** Its memory may be read. */
export const READ = 1 << 1;
/** Its memory may be written to. */
export const WRITE = 1 << 2;

/** What a map's protection allows: the bits `READ` and `WRITE`. */
export function accessOf({ readable, writable }: MapTraits): number {
  return (readable ? READ : 0) | (writable ? WRITE : 0);
}

/** A buffer over several maps. */
export interface Span {
  readonly buffer: ArrayBuffer;
  /** Empties all views on it. */
  empty(): void;
  /** Takes it out of the books, of all of its maps too. */
  forget(): void;
}

/**
 * That a map lies under such a buffer. These are linked, not in a `Set`: a view
 * that is left on memory that is gone would be the end, and of a `Set` a caller may
 * have replaced what is needed to find it.
 */
export class SpanLink {
  readonly span: Span;
  readonly #map: NativeMap;
  /** The next one of the same span. */
  readonly sibling: SpanLink | null;
  /** The next one of the same map. */
  next: SpanLink | null;
  #previous: SpanLink | null = null;

  constructor(span: Span, map: NativeMap, sibling: SpanLink | null) {
    this.span = span;
    this.#map = map;
    this.sibling = sibling;
    this.next = map.spans;
    if (this.next !== null) this.next.#previous = this;
    map.spans = this;
  }

  remove(): void {
    if (this.next !== null) this.next.#previous = this.#previous;
    if (this.#previous !== null) this.#previous.next = this.next;
    else this.#map.spans = this.next;
  }
}

/** What a map is natively. */
export class NativeMap implements Halves, Whole {
  // What a walk looks at comes first, side by side in memory.
  readonly pointerLow: number;
  readonly pointerHigh: number;
  /**
   * What may be done to the memory: the bits `OWN`, `READ` and `WRITE`. 0 where
   * that isn't sure, as the map was closed or is borrowed.
   */
  access: number;
  /**
   * The map that came next at the last look, null if there was none: a guess,
   * to be checked.
   */
  next: NativeMap | null | undefined;
  /** The one `Pmem2Map` that stands for this map, once somebody asked for it. */
  wrapper: object | null = null;
  previous: NativeMap | null | undefined;
  readonly pointer: MapPointer;
  readonly address: bigint;
  /** The address as a number, which is exact: there is none above 2^52. */
  readonly start: number;
  readonly size: number;
  readonly granularity: number;
  readonly traits: MapTraits;
  /** The caller's reservation that it's in. */
  readonly owner: MapOwner | null;
  /** The module's own that it's in. */
  readonly arena: MapArena | null;
  closed = false;
  /** Made by other native code, which alone may delete it. */
  readonly borrowed: boolean;
  /** Flushes under way on other threads. */
  pendingFlushes = 0;
  readonly #emulated: EmulatedMap | null;
  /** The buffers over several maps that this one lies under. */
  spans: SpanLink | null = null;
  #persistence: Persistence | null = null;
  #views: Views | null = null;
  /** Settled when no flush is under way any more; null while nobody waits. */
  #idle: PromiseWithResolvers<void> | null = null;

  constructor(
    pointer: MapPointer,
    traits: MapTraits,
    owner: MapOwner | null,
    borrowed: boolean,
    arena: MapArena | null = null,
    emulated: EmulatedMap | null = null,
  ) {
    const c = mapFunctions();
    const { pointerLow, pointerHigh } = halvesOf(pointer);
    this.pointerLow = pointerLow;
    this.pointerHigh = pointerHigh;
    this.access = borrowed ? 0 : OWN | accessOf(traits);
    this.pointer = pointer;
    this.address = c.pmem2_map_get_address(pointer);
    this.start = Number(this.address);
    this.size = Number(c.pmem2_map_get_size(pointer));
    this.granularity = emulated === null
      ? c.pmem2_map_get_store_granularity(pointer)
      : emulated.granularity;
    this.traits = traits;
    traits.writeback.retain();
    this.owner = owner;
    this.arena = arena;
    this.borrowed = borrowed;
    if (!borrowed) opened.maps++;
    this.#emulated = emulated;
  }

  get noun(): string {
    return "map";
  }

  get viewRule(): string {
    return "on the map's own buffer";
  }

  get persistence(): Persistence {
    return this.#persistence === null
      ? this.#persistence = this.#makePersistence()
      : this.#persistence;
  }

  #makePersistence(): Persistence {
    const { writeback } = this.traits;
    return this.#emulated === null
      ? persistenceOf(this.pointer, this.granularity, writeback)
      : emulatedPersistence(this.pointer, this.#emulated, writeback);
  }

  /** Offset in the reservation, 0 outside one. */
  get offset(): number {
    return this.owner === null ? 0 : Number(this.address - this.owner.address);
  }

  /** The views, if there are any, after the map was closed too. */
  get handedOut(): Views | null {
    return this.#views;
  }

  /** The views; made at first use, since V8 accounts for their size. */
  get views(): Views {
    return this.#views ??= makeViews(this.address, this.size);
  }

  /** Where a view on the map's own buffer starts in it, null for others. */
  startOfView(view: ArrayBufferView): number | null {
    const { buffer, byteOffset } = viewGetters(view);
    return buffer(view) === this.#views?.buffer ? byteOffset(view) : null;
  }

  /** Makes a range durable, if it isn't empty. */
  persist(offset: number, length: number): void {
    if (length === 0) return;
    this.persistence.persist(add(this.address, offset), toBigInt(length));
  }

  /** Starts to make a range durable, if it isn't empty. */
  flush(offset: number, length: number): void {
    if (length === 0) return;
    this.persistence.flush(add(this.address, offset), toBigInt(length));
  }

  /** Makes a range durable off the main thread, if it isn't empty. */
  async persistAsync(offset: number, length: number): Promise<void> {
    if (length === 0) return;
    this.pendingFlushes++;
    try {
      await this.persistence.persistAsync(
        add(this.address, offset),
        toBigInt(length),
      );
    } finally {
      this.#endFlush();
    }
  }

  /** Deep flushes a range, if it isn't empty: at page granularity, persists it. */
  deepFlush(offset: number, length: number): void {
    if (this.granularity === PAGE) return this.persist(offset, length);
    if (length === 0) return;
    const emulated = this.#emulated?.persistence ?? null;
    if (emulated !== null) {
      emulated.deepFlush(add(this.address, offset), toBigInt(length));
      return;
    }
    const { pmem2_deep_flush } = deepFlushFunctions();
    const address = add(this.address, offset);
    const { writeback, path } = this.traits;
    writeback.check();
    clearMessage();
    const call = "pmem2_deep_flush";
    const result = pmem2_deep_flush(this.pointer, address, toBigInt(length));
    if (isErrno(result)) writeback.fail(result, call);
    check(result, call, path);
  }

  /** The same off the main thread. */
  deepFlushAsync(offset: number, length: number): Promise<void> {
    return this.granularity === PAGE
      ? this.persistAsync(offset, length)
      : this.#deepFlushAsync(offset, length);
  }

  async #deepFlushAsync(offset: number, length: number): Promise<void> {
    if (length === 0) return;
    const { pmem2_deep_flush_async } = deepFlushFunctions();
    const address = add(this.address, offset);
    const emulated = this.#emulated?.persistence ?? null;
    this.pendingFlushes++;
    try {
      if (emulated !== null) {
        return await emulated.deepFlushAsync(address, toBigInt(length));
      }
      const { writeback, path } = this.traits;
      writeback.check();
      const call = "pmem2_deep_flush";
      const result = await pmem2_deep_flush_async(
        this.pointer,
        address,
        toBigInt(length),
      );
      if (isErrno(result)) writeback.fail(result, call);
      // The message is the other thread's.
      if (result !== 0) throw new Pmem2Error(result, call, "", path);
    } finally {
      this.#endFlush();
    }
  }

  #endFlush(): void {
    if (--this.pendingFlushes > 0) return;
    this.#idle?.resolve();
    this.#idle = null;
  }

  /** Waits until no flush is under way any more, however they end. */
  async whenIdle(): Promise<void> {
    while (this.pendingFlushes > 0) {
      await (this.#idle ??= Promise.withResolvers<void>()).promise;
    }
  }

  /** Copies out of the map. */
  read(target: Uint8Array, offset: number, length: number): void {
    copyOut(target, add(this.address, offset), length);
  }

  /** Whether the map is there; the maker of a borrowed one may have deleted it. */
  get live(): boolean {
    if (this.borrowed && !this.closed && !this.owner!.holds(this)) this.lose();
    return !this.closed;
  }

  /** Takes notice that the map is gone: to touch its memory would be the end. */
  lose(): void {
    if (!this.closed) this.traits.writeback.release();
    this.closed = true;
    this.access = 0;
    this.next = this.previous = undefined;
    if (this.#views !== null && !isDetached(this.#views.buffer)) {
      detach(this.#views.buffer);
    }
    this.#emptySpans();
  }

  /** Empties all views before anything else, which may fail. */
  #emptySpans(): void {
    for (let link = this.spans; link !== null; link = link.next) {
      link.span.empty();
    }
    while (this.spans !== null) this.spans.span.forget();
  }

  /** Why the map can't be closed now, or null. */
  get closeObstacle(): string | null {
    if (this.borrowed) return "it belongs to the native code that made it";
    if (this.pendingFlushes > 0) return "an asynchronous flush is pending";
    if (this.#views !== null && isDetached(this.#views.buffer)) {
      return "its buffer was transferred: whoever holds the memory would crash";
    }
    for (let link = this.spans; link !== null; link = link.next) {
      if (isDetached(link.span.buffer)) {
        return "a buffer over it was transferred: whoever holds the memory would crash";
      }
    }
    return null;
  }

  /**
   * Deletes the map and empties its views; if C refuses, nothing changes.
   *
   * Where views were handed out, some asynchronous operation may still be at work
   * on the memory, by its address: then an arena unmaps it later.
   */
  delete(): void {
    unmapDue();
    requireStack(this.spans === null ? undefined : MUCH);
    const { arena } = this;
    let waits = arena !== null && this.#views !== null;
    if (!waits) {
      clearMessage();
      const result = mapFunctions().pmem2_map_delete(cellWith(this.pointer));
      // At the limit of mappings nothing can be unmapped inside of others.
      waits = arena !== null && result === ENOMEM;
      if (!waits) check(result, "pmem2_map_delete");
    }
    this.closed = true;
    this.traits.writeback.release();
    opened.maps--;
    this.access = 0;
    // Not `detach`: V8 may have to compile that first, and that takes much stack.
    if (this.#views !== null) transfer(this.#views.buffer, 0);
    if (this.spans !== null) this.#emptySpans();
    this.next = this.previous = undefined;
    if (waits) arena!.unmapLater(this);
    else (arena ?? this.owner)?.forget(this);
    this.#emulated?.closed();
  }
}

/** Whether it's the system that has refused: libpmem2 calls msync, for one. */
function isErrno(result: number): boolean {
  return result < 0 && result > -100_000;
}

/** A map's memory as JavaScript sees it. */
export interface Views {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Memory as a buffer, without a copy. */
export function bufferOver(address: bigint, size: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(address)!;
  return Deno.UnsafePointerView.getArrayBuffer(pointer, size);
}

function makeViews(address: bigint, size: number): Views {
  const buffer = bufferOver(address, size);
  return { buffer, bytes: new Uint8Array(buffer) };
}
