/**
 * Makes maps: `pmem2_map_new`.
 *
 * @module
 */

import { cell, cellWith, received } from "../c/cell.ts";
import { check, clearMessage } from "../c/error.ts";
import {
  configFunctions,
  fileFunctions,
  mapFunctions,
} from "../c/functions.ts";
import { versionFunctions } from "../c/library.ts";
import type { ConfigPointer, MapPointer } from "../c/pointer.ts";
import type { MapSettings } from "../input/map_options.ts";
import { stdinLock } from "../process/lock.ts";
import { checkMappingLimit } from "../process/mapping_limit.ts";
import { requireStack } from "../process/stack.ts";
import type { NativeSource } from "./source.ts";

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
  const c = mapFunctions();
  clearMessage();
  check(c.pmem2_config_new(cell()), "pmem2_config_new");
  const config = received<ConfigPointer>();
  try {
    configure(config, source, settings, length);
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
  length: number,
): void {
  const { granularity, offset, shared, read, write, exec } = settings;
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
