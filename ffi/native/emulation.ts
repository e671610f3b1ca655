/**
 * Lets something else take the place of the medium, as the emulation of "./testing" does.
 * Without one, nothing here is used.
 *
 * @module
 */

import type { MapSettings } from "../input/map_options.ts";
import type { NativeMap } from "./map.ts";
import type { NativeSource } from "./source.ts";

/** Makes stores durable in place of libpmem2. All addresses are in one map. */
export interface EmulatedPersistence {
  persist(address: bigint, size: bigint): void;
  persistAsync(address: bigint, size: bigint): Promise<void>;
  flush(address: bigint, size: bigint): void;
  drain(): void;
  deepFlush(address: bigint, size: bigint): void;
  deepFlushAsync(address: bigint, size: bigint): Promise<void>;
  /** `data` is not longer than `length`; flags as C's. */
  write(
    memory: { readonly address: bigint },
    offset: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ): void;
  move(
    memory: { readonly address: bigint },
    target: number,
    source: number,
    length: number,
    flags: number,
  ): void;
  fill(
    memory: { readonly address: bigint },
    offset: number,
    value: number,
    length: number,
    flags: number,
  ): void;
}

/** The emulated medium of a map. */
export interface EmulatedMap {
  /** The granularity that the map reports. */
  readonly granularity: number;
  /** Null if libpmem2 makes stores durable on the real medium. */
  readonly persistence: EmulatedPersistence | null;
  /** Called when the map is made. If it could not be made, only {@linkcode closed} is called. */
  opened(map: NativeMap): void;
  closed(): void;
}

type Emulate = (
  source: NativeSource,
  settings: MapSettings,
) => EmulatedMap | null;

let emulate: Emulate | null = null;
let everSet = false;

/** Sets the emulation that every new shared map of a file asks; null ends it. */
export function setEmulation(emulation: Emulate | null): void {
  emulate = emulation;
  everSet = true;
}

/** Whether maps of an emulated medium may exist. */
export function wasEmulated(): boolean {
  return everSet;
}

/** What a map that is to be made has of an emulated medium, or null. */
export function emulatedMap(
  source: NativeSource,
  settings: MapSettings,
): EmulatedMap | null {
  return emulate === null || source.anonymous || !settings.shared
    ? null
    : emulate(source, settings);
}
