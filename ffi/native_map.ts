/**
 * What a map is natively: made, viewed, deleted. Internal to the module; what
 * gets here is checked already.
 *
 * @module
 */

import { protectionOf } from "./address_space.ts";
import { detach, isDetached, transfer } from "./buffer.ts";
import * as copy from "./copy.ts";
import { check, clearMessage } from "./error.ts";
import { lazily, librarySymbols } from "./library.ts";
import type { MapSettings } from "./map_options.ts";
import { type Persistence, persistenceOf } from "./persistence.ts";
import { checkMappingLimit } from "./mapping_limit.ts";
import {
  cell,
  cellWith,
  type ConfigPointer,
  type Halves,
  halvesOf,
  type MapPointer,
  received,
} from "./pointer.ts";
import * as pointer from "./pointer.ts";
import { stdinLock } from "./process_lock.ts";
import type { NativeSource } from "./source.ts";
import { requireStack } from "./stack.ts";
import { configSymbols, mapSymbols } from "./symbols.ts";

// What is imported V8 looks up each time; a module's own constants it knows.
const { add, toBigInt } = pointer;
const { copyOut } = copy;
const native = lazily(mapSymbols);
const seldom = lazily(configSymbols);

/** What a reservation is to the maps in it. */
export interface MapOwner {
  readonly address: bigint;
  readonly wrapper: object | null;
  /** Takes a map that was deleted out of the books. */
  forget(map: NativeMap): void;
  /** Whether a map that this module did not make is still there. */
  holds(map: NativeMap): boolean;
}

/** A map's protection and where it comes from. */
export interface MapTraits {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly shared: boolean;
  readonly path: string | null;
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
  };
}

/** The traits of a map that somebody else made, as far as can be seen. */
export function foreignTraits(pointer: MapPointer): MapTraits {
  const c = native();
  const address = c.pmem2_map_get_address(pointer);
  const size = c.pmem2_map_get_size(pointer);
  const { readable = false, writable = false } = protectionOf(address, size) ??
    {};
  return { readable, writable, shared: true, path: null };
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

/** What a map is natively. */
export class NativeMap implements Halves {
  // What a walk looks at comes first, side by side in memory.
  readonly low: number;
  readonly high: number;
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
  readonly size: number;
  readonly granularity: number;
  readonly traits: MapTraits;
  readonly owner: MapOwner | null;
  closed = false;
  /** Made by other native code, which alone may delete it. */
  readonly borrowed: boolean;
  /** Flushes under way on other threads. */
  pending = 0;
  #persistence: Persistence | null = null;
  #views: Views | null = null;

  constructor(
    pointer: MapPointer,
    traits: MapTraits,
    owner: MapOwner | null,
    borrowed: boolean,
  ) {
    const c = native();
    const { low, high } = halvesOf(pointer);
    this.low = low;
    this.high = high;
    this.access = borrowed ? 0 : OWN | accessOf(traits);
    this.pointer = pointer;
    this.address = c.pmem2_map_get_address(pointer);
    this.size = Number(c.pmem2_map_get_size(pointer));
    this.granularity = c.pmem2_map_get_store_granularity(pointer);
    this.traits = traits;
    this.owner = owner;
    this.borrowed = borrowed;
  }

  get persistence(): Persistence {
    return this.#persistence === null
      ? this.#persistence = this.makePersistence()
      : this.#persistence;
  }

  /** Overridden where libpmem2's own functions can't be used. */
  protected makePersistence(): Persistence {
    return persistenceOf(this.pointer, this.granularity);
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
    this.closed = true;
    this.access = 0;
    this.next = this.previous = undefined;
    if (this.#views !== null && !isDetached(this.#views.buffer)) {
      detach(this.#views.buffer);
    }
  }

  /** Why the map can't be closed now, or null. */
  get closeObstacle(): string | null {
    if (this.borrowed) return "it belongs to the native code that made it";
    if (this.pending > 0) return "an asynchronous flush is pending";
    if (this.#views !== null && isDetached(this.#views.buffer)) {
      return "its buffer was transferred: whoever holds the memory would crash";
    }
    return null;
  }

  /** Deletes the map and empties its views; if C refuses, nothing changes. */
  delete(): void {
    requireStack();
    clearMessage();
    const result = native().pmem2_map_delete(cellWith(this.pointer));
    check(result, "pmem2_map_delete");
    this.closed = true;
    this.access = 0;
    // Not `detach`: V8 may have to compile that first, and that takes much stack.
    if (this.#views !== null) transfer(this.#views.buffer, 0);
    this.next = this.previous = undefined;
    this.owner?.forget(this);
  }
}

/** A map's memory as JavaScript sees it. */
export interface Views {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function makeViews(address: bigint, size: number): Views {
  const pointer = Deno.UnsafePointer.create(address)!;
  const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, size);
  return { buffer, bytes: new Uint8Array(buffer) };
}

// 1 << 31 is negative in JavaScript.
const PMEM2_PROT_EXEC = 2 ** 29;
const PMEM2_PROT_READ = 2 ** 30;
const PMEM2_PROT_WRITE = 2 ** 31;
const PMEM2_PRIVATE = 1;

/**
 * Maps a source: `pmem2_map_new`, with a `pmem2_config` that nobody else sees.
 *
 * @param place Puts the map into a reservation, if it's to go into one.
 */
export function newMap(
  source: NativeSource,
  settings: MapSettings,
  length: number,
  place?: (config: ConfigPointer) => void,
): MapPointer {
  checkMappingLimit();
  requireStack();
  const c = native();
  clearMessage();
  check(c.pmem2_config_new(cell()), "pmem2_config_new");
  const config = received<ConfigPointer>();
  try {
    configure(config, source, settings, length);
    place?.(config);
    // It changes the working directory of the whole process for a moment.
    const { flockfile, funlockfile, pmem2_map_new } = c;
    const file = stdinLock();
    const { pointer } = source;
    flockfile(file);
    const result = pmem2_map_new(cell(), config, pointer);
    funlockfile(file);
    check(result, "pmem2_map_new");
    return received();
  } finally {
    c.pmem2_config_delete(cellWith(config));
  }
}

function configure(
  config: ConfigPointer,
  source: NativeSource,
  settings: MapSettings,
  length: number,
): void {
  const { granularity, offset, shared, read, write, exec } = settings;
  check(
    native().pmem2_config_set_required_store_granularity(config, granularity),
    "pmem2_config_set_required_store_granularity",
  );
  if (offset !== 0) {
    check(
      seldom().pmem2_config_set_offset(config, BigInt(offset)),
      "pmem2_config_set_offset",
    );
  }
  // The rest of a file needs no length, and then need not be aligned; of an
  // anonymous source libpmem2 would map more than that.
  if (settings.length !== undefined || (source.anonymous && offset !== 0)) {
    check(
      seldom().pmem2_config_set_length(config, BigInt(length)),
      "pmem2_config_set_length",
    );
  }
  if (!shared) {
    check(
      seldom().pmem2_config_set_sharing(config, PMEM2_PRIVATE),
      "pmem2_config_set_sharing",
    );
  }
  if (!read || !write || exec) {
    check(
      seldom().pmem2_config_set_protection(
        config,
        (read ? PMEM2_PROT_READ : 0) + (write ? PMEM2_PROT_WRITE : 0) +
          (exec ? PMEM2_PROT_EXEC : 0),
      ),
      "pmem2_config_set_protection",
    );
  }
  // libpmem2 1.x takes one of the process's 1,024 pthread keys for every map
  // that has no data mover of its own, and misbehaves when there are no more.
  // This one is never used: only the *_async functions would.
  const { pmem2_config_set_vdm } = librarySymbols();
  if (pmem2_config_set_vdm !== null) {
    check(pmem2_config_set_vdm(config, config), "pmem2_config_set_vdm");
  }
}

/**
 * How many bytes a map of the source gets. An empty file is let through: about
 * that libpmem2 has an error of its own.
 */
export function mappedLength(
  action: string,
  source: NativeSource,
  { offset, length }: MapSettings,
): number {
  const { size } = source;
  if (size === 0 && offset === 0 && length === undefined) return 0;
  if (offset >= size) {
    throw new RangeError(
      `Cannot ${action} as offset must be less than ${size}, the source's size: received ${offset}`,
    );
  }
  if (length !== undefined && length > size - offset) {
    throw new RangeError(
      `Cannot ${action} as offset + length must be at most ${size}, the source's size: received ${offset} + ${length}`,
    );
  }
  return length ?? size - offset;
}
