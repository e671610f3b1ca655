/**
 * Makes maps: `pmem2_map_new`.
 *
 * @module
 */

import { cell, cellWith, received } from "../c/cell.ts";
import { check, clearMessage, Pmem2Error } from "../c/error.ts";
import {
  configFunctions,
  fileFunctions,
  mapFunctions,
} from "../c/functions.ts";
import { versionFunctions } from "../c/library.ts";
import { numberOf } from "../c/error_code.ts";
import type { ConfigPointer, MapPointer } from "../c/pointer.ts";
import { rangeError } from "../input/caller.ts";
import { granularities, PAGE } from "../input/granularity.ts";
import type { MapSettings } from "../input/map_options.ts";
import { stdinLock } from "../process/lock.ts";
import { checkMappingLimit } from "../process/mapping_limit.ts";
import { requireStack } from "../process/stack.ts";
import { emulatedMap } from "./emulation.ts";
import { type MapOwner, NativeMap, traitsOf } from "./map.ts";
import type { NativeSource } from "./source.ts";

// 1 << 31 is negative in JavaScript.
const PMEM2_PROT_EXEC = 2 ** 29;
const PMEM2_PROT_READ = 2 ** 30;
const PMEM2_PROT_WRITE = 2 ** 31;
const PMEM2_PRIVATE = 1;

/**
 * Maps a source.
 *
 * @param owner The reservation that the map is to be in, if it's to be in one.
 * @param place Puts it there.
 */
export function newMap(
  source: NativeSource,
  settings: MapSettings,
  length: number,
  owner: MapOwner | null,
  place?: (config: ConfigPointer) => void,
): NativeMap {
  const emulated = emulatedMap(source, settings);
  const traits = traitsOf(source, settings);
  if (emulated === null) {
    const { granularity } = settings;
    const pointer = mapSource(source, settings, granularity, length, place);
    return new NativeMap(pointer, traits, owner, false);
  }
  try {
    const pointer = mapSource(source, settings, PAGE, length, place);
    const map = new NativeMap(pointer, traits, owner, false, emulated);
    emulated.opened(map);
    checkGranularity(map, settings.granularity);
    return map;
  } catch (error) {
    emulated.closed();
    throw error;
  }
}

/** What libpmem2 does once it sees what the medium has. */
function checkGranularity(map: NativeMap, wanted: number): void {
  if (map.granularity <= wanted) return;
  map.delete();
  throw new Pmem2Error(
    numberOf("PMEM2_E_GRANULARITY_NOT_SUPPORTED"),
    "pmem2_map_new",
    `the emulated medium has ${
      granularities[map.granularity]
    } granularity: asked for ${granularities[wanted]}`,
  );
}

/** `pmem2_map_new`, with a `pmem2_config` that nobody else sees. */
function mapSource(
  source: NativeSource,
  settings: MapSettings,
  granularity: number,
  length: number,
  place: ((config: ConfigPointer) => void) | undefined,
): MapPointer {
  checkMappingLimit();
  requireStack();
  const c = mapFunctions();
  clearMessage();
  check(c.pmem2_config_new(cell()), "pmem2_config_new");
  const config = received<ConfigPointer>();
  try {
    configure(config, source, settings, granularity, length);
    place?.(config);
    // It changes the working directory of the whole process for a moment.
    const { pmem2_map_new } = c;
    const { flockfile, funlockfile } = fileFunctions();
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
  granularity: number,
  length: number,
): void {
  const { offset, shared, read, write, exec } = settings;
  check(
    mapFunctions().pmem2_config_set_required_store_granularity(
      config,
      granularity,
    ),
    "pmem2_config_set_required_store_granularity",
  );
  if (offset !== 0) {
    check(
      configFunctions().pmem2_config_set_offset(config, BigInt(offset)),
      "pmem2_config_set_offset",
    );
  }
  // The rest of a file needs no length, and then need not be aligned; of an
  // anonymous source libpmem2 would map more than that.
  if (settings.length !== undefined || (source.anonymous && offset !== 0)) {
    check(
      configFunctions().pmem2_config_set_length(config, BigInt(length)),
      "pmem2_config_set_length",
    );
  }
  if (!shared) {
    check(
      configFunctions().pmem2_config_set_sharing(config, PMEM2_PRIVATE),
      "pmem2_config_set_sharing",
    );
  }
  if (!read || !write || exec) {
    check(
      configFunctions().pmem2_config_set_protection(
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
  const { pmem2_config_set_vdm } = versionFunctions();
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
    throw rangeError(
      `Cannot ${action} as offset must be less than ${size}, the source's size: received ${offset}`,
    );
  }
  if (length !== undefined && length > size - offset) {
    throw rangeError(
      `Cannot ${action} as offset + length must be at most ${size}, the source's size: received ${offset} + ${length}`,
    );
  }
  return length ?? size - offset;
}
