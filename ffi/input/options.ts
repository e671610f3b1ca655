/**
 * Options: read once, whole, and before anything else is looked at or done, and
 * none that doesn't exist.
 *
 * @module
 */

import { wrongType } from "./argument.ts";
import { typeError } from "./caller.ts";
import { show } from "./show.ts";

/** The names of the options that a call takes. */
export type OptionNames = readonly string[];

/** Makes the names of an interface's options; the compiler sees to it that it's all. */
export function optionNames<T extends object>(
  names: Readonly<Record<keyof T, true>>,
): OptionNames {
  return Object.freeze(Object.keys(names));
}

/** Taken at import, before anybody's code could have replaced it. */
const { hasOwn } = Object;

const NO_OPTIONS = Object.freeze(Object.create(null));

/**
 * The object to read options from: `undefined` and `null` stand for none. The
 * caller's getters and traps run while it's looked at and read, so both happen
 * first, and once.
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

/** Throws, unless the option is inherited, or undefined and thereby not given. */
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

/** Where an option that exists belongs, if not here. */
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

/** What other interfaces, and people, call the options. */
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

/** The options that are nearest to a name. */
function suggestion(name: string, known: OptionNames): string {
  const wanted = name.toLowerCase();
  for (const [option, names] of Object.entries(synonyms)) {
    const [real] = option.split(":");
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
 * How many letters must be put in, taken out, replaced or swapped with the next
 * one; an abbreviation is near. Names longer than any option are cut off.
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
