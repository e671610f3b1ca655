/**
 * Reads options: all of them, once, and before anything else is checked or done.
 * Refuses options that do not exist.
 *
 * @module
 */

import { wrongType } from "./argument.ts";
import { typeError } from "./caller.ts";
import { show } from "./show.ts";

/** The names of the options that a call takes. */
export type OptionNames = readonly string[];

/** Lists the names of an interface's options. The compiler checks that none is missing. */
export function optionNames<T extends object>(
  names: Readonly<Record<keyof T, true>>,
): OptionNames {
  return Object.freeze(Object.keys(names));
}

/** Taken at import, before anyone could replace it. */
const { hasOwn } = Object;

const NO_OPTIONS = Object.freeze(Object.create(null));

/**
 * Returns the object to read options from; `undefined` and `null` mean no options.
 * The caller's getters and traps run while it is inspected and read, so both must
 * happen once, and before all checks.
 */
export function optionsOf<T extends object>(
  action: string,
  options: T | null | undefined,
  names: OptionNames,
): Partial<T> {
  if (options === undefined || options === null) return NO_OPTIONS;
  if (typeof options !== "object" && typeof options !== "function") {
    throw wrongType(action, "options", "an object", options);
  }
  // PERF: `for … in` makes no list, and a short array is searched faster than a
  // set or an object: 21 ns for two options instead of 29 or 180 (Deno 2.9.6).
  for (const name in options) {
    if (!isAmong(names, name)) refuse(action, options, name, names);
  }
  return options;
}

function isAmong(names: OptionNames, name: string): boolean {
  for (let i = 0; i < names.length; i++) if (names[i] === name) return true;
  return false;
}

/** Throws, unless the option is inherited or `undefined`, and so is not given. */
function refuse(
  action: string,
  options: object,
  name: string,
  names: OptionNames,
): void {
  if (!hasOwn(options, name)) return;
  if ((options as Record<string, unknown>)[name] === undefined) return;
  const remedy = elsewhere(name, names) ??
    `: use ${suggestion(name, names)}`;
  throw typeError(
    `Cannot ${action} as there is no option ${show(name)}${remedy}`,
  );
}

/** Tells where an option belongs that exists, but not for this call. */
function elsewhere(name: string, names: OptionNames): string | null {
  const mapping = names.includes("granularity");
  const opening = names.includes("create");
  if (mapping && name === "at") {
    return " outside a reservation: give it to the map() of one";
  }
  if (mapping && !opening && forOpening.includes(name)) {
    const also = name === "size" ? 'use "length", or ' : "";
    return ` where no file is opened: ${also}open the file with it`;
  }
  if (opening && !mapping && forMapping.includes(name)) {
    return " where nothing is mapped: map the source with it";
  }
  return null;
}

const forOpening = ["create", "createNew", "size", "mode"];
const forMapping = [
  "offset",
  "length",
  "granularity",
  "sharing",
  "read",
  "exec",
];

/** Other names for the options, from other interfaces and from habit. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  "write: false": ["readonly", "ro"],
  write: ["writable", "writeable", "rw"],
  read: ["readable"],
  exec: ["executable", "execute"],
  'sharing: "private"': ["private", "copyonwrite", "cow"],
  'sharing: "shared"': ["shared"],
  length: ["len", "bytes", "bytelength", "count"],
  size: ["len", "bytes"],
  offset: ["start", "position", "pos", "byteoffset"],
  at: ["offsetinreservation", "reservationoffset"],
  address: ["at", "addr", "base"],
  createNew: ["exclusive", "excl"],
  mode: ["permissions", "perm"],
  "flush: false": ["noflush"],
  "drain: false": ["nodrain"],
  "temporal: false": ["nontemporal"],
  writeCombining: ["wc"],
  "writeCombining: false": ["wb", "writeback"],
  from: ["start", "offset"],
  to: ["end"],
  reverse: ["backward", "backwards", "descending"],
  "maps: true": ["force"],
  directory: ["path", "parent", "tmpdir"],
};

/** Suggests the options that are nearest to a name. */
function suggestion(name: string, known: OptionNames): string {
  const wanted = name.toLowerCase();
  const options = Object.keys(synonyms);
  for (let i = 0; i < options.length; i++) {
    const option = options[i]!;
    const names = synonyms[option]!;
    const real = option.split(":")[0];
    if (known.includes(real!) && names.includes(wanted)) return `"${option}"`;
  }
  const rated = known
    .map((option) => ({ option, far: distance(wanted, option.toLowerCase()) }))
    .sort((a, b) => a.far - b.far);
  const [nearest] = rated;
  const near = known.length === 1 ||
    nearest!.far <= Math.max(1, Math.floor(wanted.length / 3));
  return near
    ? `"${nearest!.option}"`
    : `one of ${known.map((option) => `"${option}"`).join(", ")}`;
}

/**
 * Counts how many letters must be inserted, deleted, replaced or swapped with the
 * next one. An abbreviation has distance 0. Long names are cut.
 */
function distance(wanted: string, option: string): number {
  if (wanted.length > 1 && option.startsWith(wanted)) return 0;
  const a = wanted.slice(0, 40);
  let before: number[] = [];
  let row = Array.from({ length: option.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= option.length; j++) {
      const same = a[i - 1] === option[j - 1];
      const swapped = i > 1 && j > 1 && a[i - 1] === option[j - 2] &&
        a[i - 2] === option[j - 1];
      next[j] = Math.min(
        row[j]! + 1,
        next[j - 1]! + 1,
        row[j - 1]! + (same ? 0 : 1),
        swapped ? before[j - 2]! + 1 : Infinity,
      );
    }
    [before, row] = [row, next];
  }
  return row[option.length]!;
}
