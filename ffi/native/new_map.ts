/**
 * Makes maps with `pmem2_map_new`.
 *
 * @module
 */

import { BigInt, Math, Number } from "../input/intrinsics.ts";
import { cell, cellWith, received } from "../c/cell.ts";
import { check, clearMessage, failure, Pmem2Error } from "../c/error.ts";
import {
  configFunctions,
  fileFunctions,
  fileSystemFunctions,
  mapFunctions,
  placementFunctions,
} from "../c/functions.ts";
import { versionFunctions } from "../c/library.ts";
import { numberOf, type Pmem2ErrorCode } from "../c/error_code.ts";
import type {
  ConfigPointer,
  MapPointer,
  VmReservationPointer,
} from "../c/pointer.ts";
import { rangeError } from "../input/caller.ts";
import { granularities, PAGE } from "../input/granularity.ts";
import type { MapSettings } from "../input/map_options.ts";
import { replacePrivately } from "../process/address_space.ts";
import { alignUp } from "../process/alignment.ts";
import { processLock } from "../process/lock.ts";
import { checkMappingLimit } from "../process/mapping_limit.ts";
import { pageSize } from "../process/placement.ts";
import { requireStack } from "../process/stack.ts";
import { emulatedMap } from "./emulation.ts";
import { type MapArena, type MapOwner, NativeMap, traitsOf } from "./map.ts";
import { remedyOf } from "./remedy.ts";
import type { NativeSource } from "./source.ts";
import { unmapDue } from "./unmapping.ts";

// 1 << 31 is negative in JavaScript.
const PMEM2_PROT_EXEC = 2 ** 29;
const PMEM2_PROT_READ = 2 ** 30;
const PMEM2_PROT_WRITE = 2 ** 31;
const PMEM2_PRIVATE = 1;

/** Where to put a map. */
export interface Place {
  readonly reservation: VmReservationPointer;
  /** The offset in the reservation. */
  readonly offset: bigint;
  /** The caller's reservation, or null. */
  readonly owner: MapOwner | null;
  /** The module's arena, or null. */
  readonly arena: MapArena | null;
}

/** Maps a source at a place. */
export function newMap(
  source: NativeSource,
  settings: MapSettings,
  length: number,
  place: Place,
): NativeMap {
  const { owner, arena } = place;
  const emulated = emulatedMap(source, settings);
  const traits = traitsOf(source, settings);
  if (emulated === null) {
    const { granularity } = settings;
    const pointer = mapSource(source, settings, granularity, length, place);
    return new NativeMap(pointer, traits, owner, false, arena);
  }
  try {
    const pointer = mapSource(source, settings, PAGE, length, place);
    const map = new NativeMap(
      pointer,
      traits,
      owner,
      false,
      arena,
      emulated,
    );
    emulated.opened(map);
    checkGranularity(map, settings.granularity);
    return map;
  } catch (error) {
    emulated.closed();
    throw error;
  }
}

/**
 * Makes a private map for which the system refuses to set memory aside. Returns null
 * if it refuses for another reason.
 *
 * libpmem2 has no option for MAP_NORESERVE. So it makes a read-only map, which needs no
 * memory, and a mapping of the same bytes with MAP_NORESERVE takes its place.
 */
export function newUnreservedMap(
  source: NativeSource,
  settings: MapSettings,
  length: number,
  place: Place,
): NativeMap | null {
  const { owner, arena } = place;
  const { granularity, offset } = settings;
  const readOnly = { ...settings, read: true, write: false };
  const pointer = mapSource(source, readOnly, granularity, length, place);
  const traits = traitsOf(source, settings);
  const map = new NativeMap(pointer, traits, owner, false, arena);
  const size = alignUp(BigInt(map.size), BigInt(pageSize()));
  const fd = source.descriptor;
  if (replacePrivately(map.address, size, settings, fd, BigInt(offset))) {
    return map;
  }
  map.delete();
  return null;
}

/** Does what libpmem2 does when it sees the granularity of the medium. */
function checkGranularity(map: NativeMap, wanted: number): void {
  if (map.granularity <= wanted) return;
  map.delete();
  throw new Pmem2Error(
    numberOf("PMEM2_E_GRANULARITY_NOT_SUPPORTED"),
    "pmem2_map_new",
    `the emulated medium has ${
      granularities[map.granularity]
    } granularity, and ${granularities[wanted]} was required`,
    map.traits.path,
  );
}

/** Calls `pmem2_map_new` with a temporary `pmem2_config`. */
function mapSource(
  source: NativeSource,
  settings: MapSettings,
  granularity: number,
  length: number,
  place: Place,
): MapPointer {
  unmapDue();
  checkMappingLimit("pmem2_map_new");
  checkHugePages(source, settings, length);
  requireStack();
  const c = mapFunctions();
  clearMessage();
  check(c.pmem2_config_new(cell()), "pmem2_config_new");
  const config = received<ConfigPointer>();
  try {
    configure(config, source, settings, granularity, length);
    check(
      placementFunctions().pmem2_config_set_vm_reservation(
        config,
        place.reservation,
        place.offset,
      ),
      "pmem2_config_set_vm_reservation",
    );
    // SAFETY: it changes the working directory of the whole process for a moment, so
    // that only one thread may be in it.
    const { pmem2_map_new } = c;
    const { flockfile, funlockfile } = fileFunctions();
    const file = processLock();
    const { pointer } = source;
    const out = cell();
    flockfile(file);
    const result = pmem2_map_new(out, config, pointer);
    funlockfile(file);
    if (result !== 0) {
      const remedy = remedyOf(result, source, settings);
      throw failure(result, "pmem2_map_new", source.path, remedy);
    }
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
  // Without a length, libpmem2 maps the rest of a file, which need not be aligned. Of an
  // anonymous source it would map too much.
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
  // SAFETY: libpmem2 1.x takes one of the process's 1,024 pthread keys for every map
  // without a data mover, and misbehaves when there are no more. This data mover is
  // never used: only the *_async functions use one.
  const { pmem2_config_set_vdm } = versionFunctions();
  if (pmem2_config_set_vdm !== null) {
    check(pmem2_config_set_vdm(config, config), "pmem2_config_set_vdm");
  }
}

const HUGETLBFS_MAGIC = 0x958458f6n;
/** struct statfs */
const statfs = new BigUint64Array(new ArrayBuffer(256));

/** Returns the size of the huge pages of a file on hugetlbfs, or 0 for other files. */
function hugePageSize(source: NativeSource): number {
  if (source.anonymous) return 0;
  if (fileSystemFunctions().fstatfs(source.descriptor, statfs) !== 0) return 0;
  // f_type and f_bsize are its first words.
  return statfs[0] === HUGETLBFS_MAGIC ? Number(statfs[1]) : 0;
}

/** Returns the alignment of the address of a map. */
export function alignmentOf(source: NativeSource): number {
  return Math.max(source.alignment, hugePageSize(source));
}

/**
 * Checks that the range consists of whole huge pages, if the source has such.
 *
 * SAFETY: libpmem2 takes huge pages for ordinary ones, but the kernel maps whole huge
 * pages, and so maps over what comes after a shorter map.
 */
function checkHugePages(
  source: NativeSource,
  { offset, length: wanted }: MapSettings,
  length: number,
): void {
  if (offset === 0 && wanted === undefined) return;
  const size = hugePageSize(source);
  if (size === 0) return;
  const refuse = (code: Pmem2ErrorCode, name: string, value: number) => {
    throw new Pmem2Error(
      numberOf(code),
      "pmem2_map_new",
      `${name} ${value} is not a multiple of ${size}, the size of the file system's huge pages`,
    );
  };
  if (offset % size !== 0) refuse("PMEM2_E_OFFSET_UNALIGNED", "offset", offset);
  if (length % size !== 0) refuse("PMEM2_E_LENGTH_UNALIGNED", "length", length);
}

/**
 * Returns the length of a map of the source. An empty file is let through, since
 * libpmem2 itself refuses it.
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
