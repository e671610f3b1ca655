/**
 * The native side of a map: its memory, its views, its flushes, its deletion. Internal
 * to the module; arguments were checked by the caller.
 *
 * @module
 */

import { isClosed } from "../input/argument.ts";
import { Number, Uint8Array } from "../input/intrinsics.ts";
import { cellWith } from "../c/cell.ts";
import * as copy from "../c/copy.ts";
import { check, clearMessage, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import * as functions from "../c/functions.ts";
import { deepFlushFunctions } from "../c/functions.ts";
import * as pointer from "../c/pointer.ts";
import type { MapPointer } from "../c/pointer.ts";
import * as granularity from "../input/granularity.ts";
import type { MapSettings } from "../input/map_options.ts";
import type { Whole } from "../input/range.ts";
import { detach, isDetached, transfer, viewGetters } from "../input/views.ts";
import { protectionOf } from "../process/address_space.ts";
import { opened } from "../process/mapping_limit.ts";
import { MUCH, requireStack } from "../process/stack.ts";
import type { EmulatedMap } from "./emulation.ts";
import type { MapIndex } from "./map_index.ts";
import {
  emulatedPersistence,
  type Persistence,
  persistenceOf,
} from "./persistence.ts";
import type { NativeSource } from "./source.ts";
import { Writeback } from "./writeback.ts";
import { unmapDue } from "./unmapping.ts";

// PERF: see preload.ts.
const { add, toBigInt } = pointer;
const { copyOut } = copy;
const { mapFunctions } = functions;
const { PAGE } = granularity;

const ENOMEM = -errnoOf("ENOMEM");

/** The reservation of a map, as far as the map uses it. */
export interface MapOwner {
  readonly address: bigint;
  readonly wrapper: object | null;
  /** Removes a map that was deleted from the records. */
  forget(map: NativeMap): void;
  /** Whether a map that other native code made still exists. */
  holds(map: NativeMap): boolean;
}

/** The arena of a map, as far as the map uses it. */
export interface MapArena {
  /** Removes a map that is closed from the records, and unmaps it some time later. */
  unmapLater(map: NativeMap): void;
  /** Removes a map that was unmapped from the records. */
  forget(map: NativeMap): void;
}

/** What a map was made from, and how. */
export interface MapTraits {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly shared: boolean;
  readonly path: string | null;
  /** The offset of the map in its source. */
  readonly sourceOffset: number;
  /** Whether stores to maps of the source have failed to reach it. */
  readonly writeback: Writeback;
}

/** Returns the traits of a map of a source. */
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

/** Returns the traits of a map that other native code made, as /proc shows them. */
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

/** This module made the map, and it is open. */
const OWN = 1 << 0;
/** The memory may be read. */
export const READ = 1 << 1;
/** The memory may be written to. */
export const WRITE = 1 << 2;

/** Returns what the protection of a map allows: the bits `READ` and `WRITE`. */
export function accessOf({ readable, writable }: MapTraits): number {
  return (readable ? READ : 0) | (writable ? WRITE : 0);
}

/** A buffer over several maps. */
export interface Span {
  readonly buffer: ArrayBuffer;
  /** Empties all views on it. */
  empty(): void;
  /** Removes it from the records, and from those of its maps. */
  forget(): void;
}

/**
 * Links a map to a buffer that covers it.
 *
 * SAFETY: a linked list, not a `Set`, since callers may replace the methods of `Set`.
 * If a buffer were missed, its views would stay on memory that is unmapped.
 */
export class SpanLink {
  readonly span: Span;
  readonly #map: NativeMap;
  /** The next link of the same buffer. */
  readonly sibling: SpanLink | null;
  /** The next link of the same map. */
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

/** Tells a `Pmem2Map` that its map is gone. */
let disown: (wrapper: object) => void;

/** Sets what tells a `Pmem2Map` that its map is gone. */
export function onDisowned(callback: typeof disown): void {
  disown = callback;
}

/** The native side of a map. */
export class NativeMap implements Whole {
  // PERF: the fields that a walk reads come first, side by side in memory.
  /**
   * What may be done with the memory: the bits `OWN`, `READ` and `WRITE`. 0 if that
   * must be checked first, since the map is closed or borrowed.
   */
  access: number;
  readonly size: number;
  readonly address: bigint;
  /** The address as a number. It is exact, since no address exceeds 2^52. */
  readonly start: number;
  /** The one `Pmem2Map` of this map, once a caller has got it. */
  wrapper: object | null = null;
  /** The index that lists this map, or null. */
  index: MapIndex | null = null;
  /** The entry in the index. */
  position = -1;
  readonly pointer: MapPointer;
  readonly granularity: number;
  readonly traits: MapTraits;
  /** The caller's reservation that the map is in. */
  readonly owner: MapOwner | null;
  /** The module's arena that the map is in. */
  readonly arena: MapArena | null;
  closed = false;
  /** Whether other native code made the map, and must delete it. */
  readonly borrowed: boolean;
  /** How many flushes are running on other threads. */
  pendingFlushes = 0;
  readonly #emulated: EmulatedMap | null;
  /** The buffers over several maps that cover this one. */
  spans: SpanLink | null = null;
  #persistence: Persistence | null = null;
  #views: Views | null = null;
  /** Resolves when no flush is running any more; null while nobody waits for that. */
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
    this.access = borrowed ? 0 : OWN | accessOf(traits);
    this.size = Number(c.pmem2_map_get_size(pointer));
    this.address = c.pmem2_map_get_address(pointer);
    this.start = Number(this.address);
    this.pointer = pointer;
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

  /** The offset in the reservation, or 0 outside of one. */
  get offset(): number {
    return this.owner === null ? 0 : Number(this.address - this.owner.address);
  }

  /** The views that a caller has got, or null. They remain after the map is closed. */
  get handedOut(): Views | null {
    return this.#views;
  }

  /** The views. PERF: made at first use, since V8 counts their size as memory. */
  get views(): Views {
    return this.#views ??= this.#makeViews();
  }

  #makeViews(): Views {
    if (this.closed) throw isClosed("make a view", "map");
    return makeViews(this.address, this.size);
  }

  /** Returns the offset of a view on the map's own buffer, or null for other views. */
  startOfView(view: ArrayBufferView): number | null {
    const { buffer, byteOffset } = viewGetters(view);
    return buffer(view) === this.#views?.buffer ? byteOffset(view) : null;
  }

  /** Persists a range, unless it is empty. */
  persist(offset: number, length: number): void {
    if (length === 0) return;
    this.persistence.persist(add(this.address, offset), toBigInt(length));
  }

  /** Flushes a range, unless it is empty. */
  flush(offset: number, length: number): void {
    if (length === 0) return;
    this.persistence.flush(add(this.address, offset), toBigInt(length));
  }

  /** Persists a range on another thread, unless it is empty. */
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

  /** Deep flushes a range, unless it is empty. At page granularity, persists it. */
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

  /** Deep flushes a range on another thread. */
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
      // libpmem2's message stays on the other thread.
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

  /** Waits until all running flushes are done, whether or not they succeed. */
  async whenIdle(): Promise<void> {
    while (this.pendingFlushes > 0) {
      await (this.#idle ??= Promise.withResolvers<void>()).promise;
    }
  }

  /** Copies bytes out of the map. */
  read(target: Uint8Array, offset: number, length: number): void {
    copyOut(target, add(this.address, offset), length);
  }

  /** Whether the map is open. Other native code may have deleted a borrowed map. */
  get live(): boolean {
    if (this.borrowed && !this.closed && !this.owner!.holds(this)) this.lose();
    return !this.closed;
  }

  /** Records that the map is gone. SAFETY: its views must be emptied, or they crash. */
  lose(): void {
    if (!this.closed) this.traits.writeback.release();
    this.closed = true;
    this.#revoke();
    if (this.#views !== null && !isDetached(this.#views.buffer)) {
      detach(this.#views.buffer);
    }
    this.#emptySpans();
  }

  /** Records the one `Pmem2Map` of this map. */
  wrapIn(wrapper: object): object {
    this.index?.wrap(this.position, wrapper);
    return this.wrapper = wrapper;
  }

  #revoke(): void {
    this.access = 0;
    if (this.wrapper !== null) disown(this.wrapper);
    this.wrapper = null;
    this.index?.clear(this.position);
    this.index = null;
  }

  /** Empties all views first, and then does what may fail. */
  #emptySpans(): void {
    for (let link = this.spans; link !== null; link = link.next) {
      link.span.empty();
    }
    while (this.spans !== null) this.spans.span.forget();
  }

  /** Why the map cannot be closed now, or null. */
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
   * Deletes the map and empties its views. If C refuses, nothing changes.
   *
   * SAFETY: if a caller has got views, an asynchronous operation may still use the
   * address of the memory. An arena unmaps it some time later, therefore.
   */
  delete(): void {
    if (this.closed) return;
    unmapDue();
    requireStack(this.spans === null ? undefined : MUCH);
    const { arena } = this;
    let waits = arena !== null && this.#views !== null;
    if (!waits) {
      clearMessage();
      const result = mapFunctions().pmem2_map_delete(cellWith(this.pointer));
      // At the limit of mappings, nothing in the middle of a mapping can be unmapped.
      waits = arena !== null && result === ENOMEM;
      if (!waits) check(result, "pmem2_map_delete");
    }
    this.closed = true;
    this.traits.writeback.release();
    opened.maps--;
    this.#revoke();
    // Not `detach`: V8 may have to compile it first, which takes much stack.
    if (this.#views !== null) transfer(this.#views.buffer, 0);
    if (this.spans !== null) this.#emptySpans();
    if (waits) arena!.unmapLater(this);
    else (arena ?? this.owner)?.forget(this);
    this.#emulated?.closed();
  }
}

/** Whether a result of libpmem2 is an errno, for example of msync. */
function isErrno(result: number): boolean {
  return result < 0 && result > -100_000;
}

/** The memory of a map as JavaScript sees it. */
export interface Views {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Makes a buffer of memory, without a copy.
 *
 * SAFETY: V8 does not know who owns the memory. The caller must empty the buffer before
 * the memory is unmapped, and must not unmap it while the buffer is transferred.
 */
export function bufferOver(address: bigint, size: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(address)!;
  return Deno.UnsafePointerView.getArrayBuffer(pointer, size);
}

function makeViews(address: bigint, size: number): Views {
  const buffer = bufferOver(address, size);
  return { buffer, bytes: new Uint8Array(buffer) };
}
