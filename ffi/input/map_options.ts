/**
 * How to map a source.
 *
 * @module
 */

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
 * Whether stores reach the source, and who else has it mapped, or stay with the
 * map. C's `enum pmem2_sharing_type`.
 */
export type Sharing = "shared" | "private";

/** How to map a source. C's `struct pmem2_config`. */
export interface MapOptions {
  /**
   * First byte of the source to map: a multiple of the source's alignment.
   *
   * @default {0}
   */
  offset?: number | undefined;
  /**
   * Bytes to map, at least 1: a multiple of the source's alignment. Without it
   * the map goes from `offset` to the end of the source, whatever its size.
   */
  length?: number | undefined;
  /**
   * The coarsest store granularity that the caller accepts: "page" takes any
   * medium, "cache-line" and "byte" only persistent memory.
   *
   * @default {"page"}
   */
  granularity?: Granularity | undefined;
  /**
   * Whether stores reach the source. Of a private map the system keeps in memory
   * what was stored to, and may end the process when that is more than there is;
   * the source itself may be larger than the memory.
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

/** Mapping into a reservation: {@linkcode MapOptions}, and where. */
export interface ReservationMapOptions extends MapOptions {
  /**
   * Byte offset in the reservation, a multiple of the page size. Without it the
   * map goes to the first gap that it fits in.
   */
  at?: number | undefined;
}

const sharings: readonly Sharing[] = ["shared", "private"];

/** {@linkcode ReservationMapOptions}, read once and checked. */
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

/** The same where a file is opened. */
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
 * @param names Those that the call takes.
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
    granularity: granularities.indexOf(granularity),
    shared: sharing === "shared",
    read,
    write,
    exec,
    at,
  };
}

/**
 * Reads and checks the options where a file is opened and mapped at once:
 * `write` is the memory's, and the file is opened for writing if it has to be.
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
