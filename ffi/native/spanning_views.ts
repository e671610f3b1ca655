/**
 * Views across the maps of a reservation. Internal to the module; that the range
 * lies in the reservation is checked already.
 *
 * For each pair of a first and a last map that was asked for there is one buffer,
 * over those maps whole, until one of the maps under it is closed. It's held
 * strongly: of a buffer that was transferred away the old object may be collected,
 * the transfer would be forgotten, and whoever holds the memory would crash when
 * the map is closed. V8 counts the length of each buffer as memory, too, so that
 * few of them are better than many.
 *
 * @module
 */

import * as copy from "../c/copy.ts";
import { typeError } from "../input/caller.ts";
import * as views from "../input/views.ts";
import { viewGetters } from "../input/views.ts";
import * as maps from "./map.ts";
import { bufferOver, type NativeMap, type Span, SpanLink } from "./map.ts";
import { pagesEndOf, type Searchable, type Spanning } from "./spanning.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
const { addressOf } = copy;
const { isDetached, transfer } = views;
const { READ, WRITE } = maps;
const Bytes = Uint8Array;

/** A buffer over neighbouring maps. */
class Buffer implements Span {
  readonly buffer: ArrayBuffer;
  readonly first: NativeMap;
  readonly last: NativeMap;
  /** Addresses: of the whole, and of where the first ends and the last starts. */
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
    // A map of whole pages has such a buffer already.
    this.buffer = first === last && this.end === first.start + first.size
      ? first.views.buffer
      : bufferOver(first.address, this.end - this.start);
  }

  /** Has a map close it. */
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
   * By the first map and the last.
   *
   * PERF: most maps are the first of one alone, and a `Map` for that would take
   * longer than all else here.
   */
  readonly #byMaps = new Map<NativeMap, Buffer | Map<NativeMap, Buffer>>();
  readonly #byBuffer = new Map<ArrayBuffer, Buffer>();
  /** What views of length 0 are on: there need be no map. */
  #nothing = new ArrayBuffer(0);
  /** That of the last call, which tends to be that of the next. */
  #recent: Buffer | null = null;

  constructor(reservation: Searchable, spanning: Spanning) {
    this.#reservation = reservation;
    this.#spanning = spanning;
  }

  /** How many buffers there are. */
  get count(): number {
    return this.#byBuffer.size;
  }

  /** A view on a range, all of which must be mapped. */
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
          `Cannot ${action} as the map at ${last.map.offset} belongs to the native code that made it`,
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

  /** The buffer of the maps that the range starts and ends in, if there is one. */
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
   * Where a view starts that is on one of these buffers or on a map's own; null
   * for others.
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

  /** The map whose own buffer it is. */
  #ownerOf(view: ArrayBufferView, buffer: ArrayBuffer): NativeMap | null {
    const { base, size } = this.#reservation;
    if (viewGetters(view).byteLength(view) > 0) {
      // Where it is in memory tells which map's it can be.
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
