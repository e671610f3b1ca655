/**
 * Where something else may take the place of the medium: the emulation of
 * "./testing" does. Without that nothing here is ever asked.
 *
 * @module
 */

import type { MapSettings } from "../input/map_options.ts";
import type { NativeMap } from "./map.ts";
import type { NativeSource } from "./source.ts";

/** Makes stores durable, in the place of libpmem2. Addresses are in one map. */
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

/** What a map has of an emulated medium. */
export interface EmulatedMap {
  /** What the map reports. */
  readonly granularity: number;
  /** Null: what libpmem2 does, on the medium that there is. */
  readonly persistence: EmulatedPersistence | null;
  /** The map was made; or it was not, and {@linkcode closed} comes next. */
  opened(map: NativeMap): void;
  closed(): void;
}

type Emulate = (
  source: NativeSource,
  settings: MapSettings,
) => EmulatedMap | null;

let emulate: Emulate | null = null;
let everSet = false;

/** Has every new shared map of a file ask for its medium; null ends it. */
export function setEmulation(emulation: Emulate | null): void {
  emulate = emulation;
  everSet = true;
}

/** Whether there may be maps of an emulated medium. */
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
