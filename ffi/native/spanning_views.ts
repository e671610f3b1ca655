/**
 * Views across the maps of a reservation. Internal to the module; the caller has
 * checked that the range lies in the reservation.
 *
 * There is one buffer for each pair of a first and a last map that was viewed. It
 * covers those maps as a whole, and lasts until one of the maps under it is closed.
 *
 * SAFETY: the buffers are held strongly. If a buffer was transferred, the garbage
 * collector might otherwise free the old object. Then nothing would tell of the
 * transfer, the map could be closed, and whoever has the memory would crash.
 *
 * PERF: V8 counts the length of each buffer as memory: 24 to 140 µs per GiB (Deno
 * 2.9.6). So few buffers are better than many.
 *
 * @module
 */

import { ArrayBuffer, Map, Number } from "../input/intrinsics.ts";
import * as copy from "../c/copy.ts";
import { typeError } from "../input/caller.ts";
import * as views from "../input/views.ts";
import { viewGetters } from "../input/views.ts";
import * as maps from "./map.ts";
import { bufferOver, type NativeMap, type Span, SpanLink } from "./map.ts";
import { pagesEndOf, type Searchable, type Spanning } from "./spanning.ts";

// PERF: see preload.ts.
const { addressOf } = copy;
const { isDetached, transfer } = views;
const { READ, WRITE } = maps;
const Bytes = Uint8Array;

/** A buffer over neighboring maps. */
class Buffer implements Span {
  readonly buffer: ArrayBuffer;
  readonly first: NativeMap;
  readonly last: NativeMap;
  // Addresses.
  readonly start: number;
  readonly firstEnd: number;
  readonly lastStart: number;
  readonly end: number;
  readonly #books: SpanningViews;
  #links: SpanLink | null = null;
  closed = false;

  constructor(
    books: SpanningViews,
    first: NativeMap,
    last: NativeMap,
  ) {
    this.#books = books;
    this.first = first;
    this.last = last;
    this.start = first.start;
    this.firstEnd = pagesEndOf(first);
    this.lastStart = last.start;
    this.end = pagesEndOf(last);
    // A single map of whole pages has such a buffer already.
    this.buffer = first === last && this.end === first.start + first.size
      ? first.views.buffer
      : bufferOver(first.address, this.end - this.start);
  }

  /** Makes sure that the map empties this buffer when it is closed. */
  link(map: NativeMap): void {
    this.#links = new SpanLink(this, map, this.#links);
  }

  empty(): void {
    this.closed = true;
    if (!isDetached(this.buffer)) transfer(this.buffer, 0);
  }

  forget(): void {
    let link = this.#links;
    for (; link !== null; link = link.sibling) link.remove();
    this.#books.forget(this);
  }
}

/** The views across a reservation's maps. */
export class SpanningViews {
  readonly #reservation: Searchable;
  readonly #spanning: Spanning;
  /**
   * The buffers by their first map, and then by their last.
   *
   * PERF: most maps are the first map of one buffer only. An inner `Map` for that would
   * take longer than everything else here.
   */
  readonly #byMaps = new Map<NativeMap, Buffer | Map<NativeMap, Buffer>>();
  readonly #byBuffer = new Map<ArrayBuffer, Buffer>();
  /** The buffer of views of length 0, which need no map. */
  #nothing = new ArrayBuffer(0);
  /** The buffer of the last call. PERF: the next call is often for the same one. */
  #recent: Buffer | null = null;

  constructor(reservation: Searchable, spanning: Spanning) {
    this.#reservation = reservation;
    this.#spanning = spanning;
  }

  /** The number of buffers. */
  get count(): number {
    return this.#byBuffer.size;
  }

  /** Makes a view on a range. Throws unless all of it is mapped. */
  view(
    action: string,
    offset: number,
    length: number,
  ): Uint8Array<ArrayBuffer> {
    if (length === 0) return this.#viewOfNothing();
    const from = this.#reservation.base + offset;
    const recent = this.#recent;
    const { buffer, start } = recent !== null && !recent.closed &&
        from >= recent.start && from < recent.firstEnd &&
        from + length > recent.lastStart && from + length <= recent.end
      ? recent
      : this.#bufferOf(action, offset, length);
    return isDetached(buffer)
      ? throwTransferred(action)
      : new Bytes(buffer, from - start, length);
  }

  #viewOfNothing(): Uint8Array<ArrayBuffer> {
    if (isDetached(this.#nothing)) this.#nothing = new ArrayBuffer(0);
    return new Bytes(this.#nothing);
  }

  #bufferOf(action: string, offset: number, length: number): Buffer {
    const known = this.#known(offset, length);
    if (known !== undefined) return this.#recent = known;
    const pieces = this.#spanning.covering(
      action,
      offset,
      length,
      READ | WRITE,
    )!;
    let last = pieces;
    for (;; last = last.next) {
      if (last.map.borrowed) {
        throw typeError(
          `Cannot ${action} as the map at offset ${last.map.offset} belongs to the native code that made it`,
        );
      }
      if (last.next === null) break;
    }
    const buffer = new Buffer(this, pieces.map, last.map);
    let linked: NativeMap | null = null;
    for (let piece: typeof pieces | null = pieces; piece; piece = piece.next) {
      if (piece.map !== linked) buffer.link(linked = piece.map);
    }
    this.#byBuffer.set(buffer.buffer, buffer);
    const ofFirst = this.#byMaps.get(buffer.first);
    if (ofFirst instanceof Map) {
      ofFirst.set(buffer.last, buffer);
    } else if (ofFirst === undefined) {
      this.#byMaps.set(buffer.first, buffer);
    } else {
      const both = new Map<NativeMap, Buffer>();
      both.set(ofFirst.last, ofFirst);
      both.set(buffer.last, buffer);
      this.#byMaps.set(buffer.first, both);
    }
    return this.#recent = buffer;
  }

  /** Returns the buffer from the first to the last map of a range, if there is one. */
  #known(offset: number, length: number): Buffer | undefined {
    const first = this.#spanning.mapAt(offset);
    if (first === null) return undefined;
    const ofFirst = this.#byMaps.get(first);
    if (ofFirst === undefined) return undefined;
    const last = this.#spanning.mapAt(offset + length - 1);
    if (last === null) return undefined;
    if (ofFirst instanceof Map) return ofFirst.get(last);
    return ofFirst.last === last ? ofFirst : undefined;
  }

  forget(buffer: Buffer): void {
    this.#byBuffer.delete(buffer.buffer);
    const ofFirst = this.#byMaps.get(buffer.first);
    if (ofFirst instanceof Map) ofFirst.delete(buffer.last);
    if (!(ofFirst instanceof Map) || ofFirst.size === 0) {
      this.#byMaps.delete(buffer.first);
    }
    if (this.#recent === buffer) this.#recent = null;
  }

  /**
   * Returns the offset of a view that is on one of these buffers or on that of a map, or
   * null for other views.
   */
  startOfView(view: ArrayBufferView): number | null {
    const getters = viewGetters(view);
    const buffer = getters.buffer(view) as ArrayBuffer;
    const recent = this.#recent;
    const known = recent !== null && recent.buffer === buffer
      ? recent
      : this.#byBuffer.get(buffer);
    const start = known !== undefined
      ? known.start
      : this.#ownerOf(view, buffer)?.start;
    if (buffer === this.#nothing) return 0;
    return start === undefined
      ? null
      : start - this.#reservation.base + getters.byteOffset(view);
  }

  /** Returns the map that has the buffer as its own. */
  #ownerOf(view: ArrayBufferView, buffer: ArrayBuffer): NativeMap | null {
    const { base, size } = this.#reservation;
    if (viewGetters(view).byteLength(view) > 0) {
      // Its address tells which map it may belong to.
      const offset = Number(addressOf(view)) - base;
      if (!(offset >= 0 && offset < size)) return null;
      const map = this.#spanning.mapAt(offset);
      return map?.handedOut?.buffer === buffer ? map : null;
    }
    let map = this.#reservation.findFirst();
    while (map !== null && map.handedOut?.buffer !== buffer) {
      map = this.#reservation.findNext(map);
    }
    return map;
  }
}

function throwTransferred(action: string): never {
  throw typeError(
    `Cannot ${action} as the buffer of these maps was transferred`,
  );
}
