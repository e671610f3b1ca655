/**
 * How to map a source.
 *
 * @module
 */

import { indexIn } from "./intrinsics.ts";
import { checkBoolean, checkInteger, checkOneOf } from "./argument.ts";
import { granularities, type Granularity } from "./granularity.ts";
import {
  checkedFileSettings,
  type FileSettings,
  opening,
  type OpenOptions,
} from "./open_options.ts";
import { type OptionNames, optionNames, optionsOf } from "./options.ts";

/**
 * Whether stores reach the source and all other maps of it ("shared"), or stay in the
 * map ("private"). C's `enum pmem2_sharing_type`.
 */
export type Sharing = "shared" | "private";

/** How to map a source. C's `struct pmem2_config`. */
export interface MapOptions {
  /**
   * Where the mapped range starts, in bytes from the start of the source: a multiple
   * of the source's alignment.
   *
   * @default {0}
   */
  offset?: number | undefined;
  /**
   * How many bytes to map: a multiple of the source's alignment, at least 1. Without
   * it, the map reaches to the end of the source, which need not be aligned.
   */
  length?: number | undefined;
  /**
   * The coarsest store granularity that the caller accepts: "page" accepts any
   * medium, "cache-line" and "byte" only persistent memory.
   *
   * @default {"page"}
   */
  granularity?: Granularity | undefined;
  /**
   * Whether stores reach the source. The system keeps the stores to a private map in
   * memory, and may end the process if they need more than there is; the source
   * itself may be larger than the memory.
   *
   * @default {"shared"}
   */
  sharing?: Sharing | undefined;
  /**
   * Whether the memory can be read.
   *
   * @default {true}
   */
  read?: boolean | undefined;
  /**
   * Whether the memory can be written to.
   *
   * @default {true}
   */
  write?: boolean | undefined;
  /**
   * Whether the memory can be executed.
   *
   * @default {false}
   */
  exec?: boolean | undefined;
}

/** How to map a source into a reservation, and where. */
export interface ReservationMapOptions extends MapOptions {
  /**
   * Where to put the map, in bytes from the start of the reservation: a multiple of
   * the page size. Without it, the map goes to the first gap that is large enough.
   */
  at?: number | undefined;
}

const sharings: readonly Sharing[] = ["shared", "private"];

/** The options after they were read once and checked. */
export interface MapSettings {
  readonly offset: number;
  readonly length: number | undefined;
  readonly granularity: number;
  readonly shared: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly at: number | undefined;
}

const mapping: Record<keyof MapOptions, true> = {
  offset: true,
  length: true,
  granularity: true,
  sharing: true,
  read: true,
  write: true,
  exec: true,
};

/** The names of {@linkcode MapOptions}. */
export const mapOptionNames = optionNames<MapOptions>(mapping);

/** The names of {@linkcode ReservationMapOptions}. */
export const reservationMapOptionNames = optionNames<ReservationMapOptions>({
  ...mapping,
  at: true,
});

/** The names of the options of a call that opens a file and maps it. */
export const openAndMapOptionNames = optionNames<OpenOptions & MapOptions>({
  ...opening,
  ...mapping,
});
export const openAndReservationMapOptionNames = optionNames<
  OpenOptions & ReservationMapOptions
>({ ...opening, ...mapping, at: true });

/**
 * Reads and checks the options.
 *
 * @param names The options that the call takes.
 */
export function mapSettings(
  action: string,
  options: ReservationMapOptions | null | undefined,
  names: OptionNames,
): MapSettings {
  return checkedMapSettings(action, optionsOf(action, options, names));
}

function checkedMapSettings(
  action: string,
  options: ReservationMapOptions,
): MapSettings {
  const {
    offset = 0,
    length,
    granularity = "page",
    sharing = "shared",
    read = true,
    write = true,
    exec = false,
    at,
  } = options;
  checkInteger(action, "offset", offset);
  if (length !== undefined) checkInteger(action, "length", length, 1);
  checkOneOf(action, "granularity", granularity, granularities);
  checkOneOf(action, "sharing", sharing, sharings);
  checkBoolean(action, "read", read);
  checkBoolean(action, "write", write);
  checkBoolean(action, "exec", exec);
  if (at !== undefined) checkInteger(action, "at", at);
  return {
    offset,
    length,
    granularity: indexIn(granularities, granularity),
    shared: sharing === "shared",
    read,
    write,
    exec,
    at,
  };
}

/**
 * Reads and checks the options of a call that opens a file and maps it. `write`
 * applies to the memory; the file is opened for writing if that requires it.
 *
 * @param names The options that the call takes.
 */
export function openAndMapSettings(
  action: string,
  options: (OpenOptions & ReservationMapOptions) | null | undefined,
  names: OptionNames,
): { file: FileSettings; map: MapSettings } {
  return options === undefined
    ? defaults ??= readOpenAndMapSettings(action, options, names)
    : readOpenAndMapSettings(action, options, names);
}

let defaults: ReturnType<typeof readOpenAndMapSettings> | undefined;

function readOpenAndMapSettings(
  action: string,
  options: (OpenOptions & ReservationMapOptions) | null | undefined,
  names: OptionNames,
): { file: FileSettings; map: MapSettings } {
  const {
    create,
    createNew,
    size,
    mode,
    offset,
    length,
    granularity,
    sharing,
    read,
    write,
    exec,
    at,
  } = optionsOf(action, options, names);
  const map = checkedMapSettings(action, {
    offset,
    length,
    granularity,
    sharing,
    read,
    write,
    exec,
    at,
  });
  const file = checkedFileSettings(action, {
    write: map.write && map.shared,
    create,
    createNew,
    size,
    mode,
  });
  return { file, map };
}
