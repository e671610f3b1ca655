/**
 * Draws reservations and maps as text, for `console.log` and `Deno.inspect`.
 *
 * @module
 */

import type { Granularity } from "../input/granularity.ts";
import { formatPath } from "./display_text.ts";

/** What is drawn of each map. */
export interface DrawnMap {
  readonly size: number;
  readonly granularity: Granularity;
  readonly sharing: "shared" | "private";
  readonly path: string | null;
  readonly sourceOffset: number;
  readonly readable: boolean;
  readonly writable: boolean;
}

/** What is drawn of a map inside a reservation. */
export interface LayoutMap extends DrawnMap {
  readonly offset: number;
}

/**
 * A reservation, with its maps and its gaps in address order. What is in neither can no
 * longer be used, and is drawn as lost.
 */
export interface Layout {
  readonly address: bigint;
  readonly size: number;
  readonly pageSize: number;
  readonly maps: Iterable<LayoutMap>;
  readonly gaps: Iterable<{ readonly offset: number; readonly size: number }>;
}

/** What is drawn of a map on its own. */
export interface MapDetails extends DrawnMap {
  readonly address: bigint;
}

/** How to draw. */
export interface DrawOptions {
  /**
   * The width of the lines: at least 32. Lines get wider only if something other than a
   * path is longer.
   */
  readonly columns: number;
  readonly colors: boolean;
}

/** How to draw a reservation. */
export interface DrawReservationOptions extends DrawOptions {
  /** The largest number of lines for maps and gaps. */
  readonly rows: number;
}

interface Range {
  readonly map: LayoutMap | null;
  readonly kind: Granularity | "free" | "lost";
  readonly offset: number;
  /** The size in whole pages; a map may end inside a page. */
  readonly extent: number;
}

interface Run {
  readonly glyph: string;
  readonly cells: number;
}

const MIN_COLUMNS = 32;
/** The least width of a path. With less room, it gets a line of its own. */
const MIN_PATH = 10;
const MAX_BAR = 200;
const FREE = "·";
const LOST = "×";
const MAPPED = ["█", "▒"] as const;
const SHADES = ["░", "▒", "▓"] as const;

/** Draws a reservation: a header, a bar to scale, and a line for each map and gap. */
export function drawReservation(
  layout: Layout,
  { columns, colors, rows }: DrawReservationOptions,
): string {
  columns = wholeColumns(columns);
  const paint = painter(colors);
  const ranges = rangesOf(layout);
  const cells = Math.min(columns, MAX_BAR);
  const crowded = ranges.length > cells;
  const glyphs = glyphsOf(ranges, crowded);
  const bar = crowded
    ? shade(ranges, layout.size, cells)
    : allot(ranges.map((range) => range.extent), cells)
      .map((cells, index) => ({ glyph: glyphs[index]!, cells }));
  const count = ranges.filter((range) => range.map !== null).length;

  const title = `Pmem2VmReservation ${formatSize(layout.size)}`;
  const place = `at ${hex(layout.address)}`;
  const maps = `${formatCount(count)} ${count === 1 ? "map" : "maps"}`;
  const lines = title.length + 1 + place.length + 1 <= columns
    ? wrap([`${title} ${place}`, maps], columns)
    : [title, ...wrap([`  ${place}`, maps], columns)];
  lines.push(
    bar.map(({ glyph, cells }) => paint(glyph, glyph.repeat(cells))).join(""),
  );
  if (crowded) {
    lines.push(`${SHADES.join("")}█ tell how much of a cell is mapped`);
  }
  const shown = ranges.slice(0, Math.max(rows, 0));
  const drawn = table(shown, layout.size, columns).map((line, index) => {
    const glyph = glyphs[index]!;
    return shown[index]!.map === null
      ? paint(glyph, `${glyph} ${line}`)
      : `${paint(glyph, glyph)} ${line}`;
  });
  const more = ranges.length - shown.length;
  return [
    ...lines,
    ...drawn,
    ...(more > 0 ? [`… ${formatCount(more)} more`] : []),
  ]
    .join("\n");
}

/** Draws a map on one line, or on more if the columns do not suffice. */
export function drawMap(
  map: MapDetails,
  { columns, colors }: DrawOptions,
): string {
  columns = wholeColumns(columns);
  const start = "Pmem2Map ";
  const end = `${formatSize(map.size)} at ${hex(map.address)}`;
  const traits: string[] = [map.granularity, map.sharing];
  const access = accessOf(map, ["", "read-only", "write-only", "no access"]);
  if (access !== "") traits.push(access);
  if (map.sourceOffset > 0) traits.push(from(map));
  if (map.path === null) {
    return wrap([start + end, ...traits], columns).join("\n");
  }
  const rest = `${start} ${[end, ...traits].join(", ")}`.length;
  const wide = start.length + MIN_PATH + 1 + end.length + 1 <= columns;
  const name = formatPath(
    map.path,
    wide ? Math.max(columns - rest, MIN_PATH) : columns - start.length,
  );
  const lines = wide
    ? wrap([`${start}${name} ${end}`, ...traits], columns)
    : [start + name, ...wrap([`  ${end}`, ...traits], columns)];
  const drawn = lines.join("\n").slice(start.length + name.length);
  return start + painter(colors)(MAPPED[0], name) + drawn;
}

/** What is shown of a source. */
export interface SourceDetails {
  /** Null if it is not known. */
  readonly size: number | null;
  readonly path: string | null;
  /** Null for anonymous memory, or if it is not known. */
  readonly fd: number | null;
  readonly anonymous: boolean;
}

/** Draws a source on one line, or on more if the columns do not suffice. */
export function drawSource(
  { size, path, fd, anonymous }: SourceDetails,
  { columns, colors }: DrawOptions,
): string {
  columns = wholeColumns(columns);
  const start = "Pmem2Source ";
  const end = [size === null ? "of unknown size" : formatSize(size)];
  if (anonymous) end.push("anonymous");
  else if (fd !== null) end.push(`descriptor ${fd}`);
  if (path === null) return start + end.join(", ");
  const rest = ` ${end.join(", ")}`;
  const name = formatPath(
    path,
    Math.max(columns - start.length - rest.length, MIN_PATH),
  );
  return start + painter(colors)(MAPPED[0], name) + rest;
}

/**
 * Formats a number of bytes in the largest unit that shows it exactly. If that takes too
 * many digits, it is rounded and marked: "~9.31 GiB".
 */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let rounded = "";
  for (let power = units.length - 1; power >= 0; power--) {
    const value = bytes / 1024 ** power;
    if (value < 1 && power > 0) {
      // 1023.999 MiB would round to "1,024 MiB".
      if (value >= 0.999995) rounded = `~1 ${units[power]}`;
      continue;
    }
    const text = `${formatCount(value)} ${units[power]}`;
    const short = value < (power === 0 ? 1e7 : 1e5);
    if (short && Number.isInteger(value * 100)) return text;
    rounded ||= `~${text}`;
  }
  return rounded;
}

/** Formats the offset in the source, which tells maps of one source apart. */
function from({ sourceOffset }: DrawnMap): string {
  return `from ${hex(sourceOffset)}`;
}

/** Returns one of four words: readable and writable, readable, writable, or neither. */
function accessOf(
  { readable, writable }: DrawnMap,
  [both, read, write, none]: [string, string, string, string],
): string {
  if (readable) return writable ? both : read;
  return writable ? write : none;
}

/** Returns the unusual traits of a map. */
function marksOf(map: LayoutMap): string {
  const access = accessOf(map, ["", "ro", "wo", "no access"]);
  if (map.sharing === "shared") return access;
  return access === "" ? "private" : `private ${access}`;
}

function wholeColumns(columns: number): number {
  return columns >= MIN_COLUMNS ? Math.floor(columns) : MIN_COLUMNS;
}

/** Lists maps, gaps and what is neither, in address order. */
function rangesOf({ size, pageSize, maps, gaps }: Layout): Range[] {
  const known: Range[] = [
    ...Array.from(maps, (map) => ({
      map,
      kind: map.granularity,
      offset: map.offset,
      extent: Math.ceil(map.size / pageSize) * pageSize,
    })),
    ...Array.from(gaps, ({ offset, size }) => ({
      map: null,
      kind: "free" as const,
      offset,
      extent: size,
    })),
  ].sort((a, b) => a.offset - b.offset);
  const ranges: Range[] = [];
  let end = 0;
  const skipTo = (offset: number) => {
    if (offset <= end) return;
    ranges.push({ map: null, kind: "lost", offset: end, extent: offset - end });
  };
  for (const range of known) {
    skipTo(range.offset);
    ranges.push(range);
    end = range.offset + range.extent;
  }
  skipTo(size);
  return ranges;
}

/** Returns the glyph of each range. Those of maps alternate, so that neighbors differ. */
function glyphsOf(ranges: Range[], crowded: boolean): string[] {
  let maps = 0;
  return ranges.map(({ kind }) => {
    if (kind === "free") return FREE;
    return kind === "lost" ? LOST : MAPPED[crowded ? 0 : maps++ % 2]!;
  });
}

/** Distributes cells in proportion to sizes, at least one for each. */
function allot(sizes: number[], cells: number): number[] {
  const shares = new Array<number>(sizes.length).fill(0);
  let total = sizes.reduce((sum, size) => sum + size, 0);
  for (let settled = false; !settled;) {
    settled = true;
    const [ofCells, ofTotal] = [cells, total];
    for (const [index, size] of sizes.entries()) {
      if (shares[index] === 0 && size * ofCells <= ofTotal) {
        shares[index] = 1;
        cells--;
        total -= size;
        settled = false;
      }
    }
  }
  // Rounding borders, not widths, keeps the sum right.
  let [border, position] = [0, 0];
  return shares.map((share, index) => {
    if (share !== 0) return share;
    position += sizes[index]!;
    const previous = border;
    border = Math.round(position * cells / total);
    return border - previous;
  });
}

/** Shades each cell by how much of it is mapped. */
function shade(ranges: Range[], size: number, cells: number): Run[] {
  const cell = size / cells;
  const mapped = new Float64Array(cells);
  for (const { map, offset, extent } of ranges) {
    if (map === null) continue;
    const end = offset + extent;
    for (let at = Math.floor(offset / cell); at < cells; at++) {
      const overlap = Math.min(end, (at + 1) * cell) -
        Math.max(offset, at * cell);
      if (overlap <= 0 && at * cell >= end) break;
      mapped[at]! += Math.max(overlap, 0);
    }
  }
  const glyphs = Array.from(mapped, (bytes) => {
    // Half a byte absorbs rounding errors of the division.
    if (bytes < 0.5) return FREE;
    if (cell - bytes < 0.5) return MAPPED[0];
    return SHADES[Math.min(Math.floor(bytes / cell * 3), 2)]!;
  });
  return (glyphs.join("").match(/(.)\1*/gu) ?? [])
    .map((run) => ({ glyph: run[0]!, cells: run.length }));
}

/** Formats a line for each range, in columns. Paths come last, since their width varies. */
function table(ranges: Range[], size: number, columns: number): string[] {
  const digits = (size - 1).toString(16).length;
  const rows = ranges.map(({ map, kind, offset, extent }) => {
    const [amount, unit] = formatSize(map?.size ?? extent).split(" ");
    return {
      offset: hex(offset, digits),
      amount: amount!,
      unit: unit!,
      kind,
      marks: map === null ? "" : marksOf(map),
      map,
    };
  });
  const widest = (key: "amount" | "unit" | "kind" | "marks") =>
    rows.reduce((width, row) => Math.max(width, row[key].length), 0);
  const [amount, unit, kind, marks] = [
    widest("amount"),
    widest("unit"),
    widest("kind"),
    widest("marks"),
  ];
  return rows.map((row) => {
    let line = `${row.offset}  ${row.amount.padStart(amount)} ` +
      `${row.unit.padEnd(unit)}  ${row.kind.padEnd(kind)}  `;
    if (marks > 0) line += `${row.marks.padEnd(marks)}  `;
    if (row.map === null) return line.trimEnd();
    const { path, sourceOffset } = row.map;
    const end = sourceOffset > 0 ? ` ${from(row.map)}` : "";
    // The glyph and a space go before the line.
    const room = columns - line.length - 2 - end.length;
    if (path === null) return `${line}no path${end}`;
    return room < MIN_PATH
      ? `${line.trimEnd()}\n    ${
        formatPath(path, columns - 4 - end.length)
      }${end}`
      : line + formatPath(path, room) + end;
  });
}

/** Joins parts with commas, and breaks and indents lines that get too wide. */
function wrap(parts: string[], columns: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const line = lines.at(-1);
    if (line === undefined) {
      lines.push(part);
    } else if (line.length + 2 + part.length <= columns) {
      lines[lines.length - 1] = `${line}, ${part}`;
    } else {
      lines[lines.length - 1] = `${line},`;
      lines.push(`  ${part}`);
    }
  }
  return lines;
}

function hex(value: number | bigint, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function formatCount(value: number): string {
  // PERF: toLocaleString() takes 10 ms the first time, and 10 µs after that (Deno 2.9.6).
  return String(Math.round(value * 100) / 100)
    .replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Returns a function that colors what is mapped and dims what is not. */
function painter(colors: boolean): (glyph: string, text: string) => string {
  if (!colors) return (_, text) => text;
  return (glyph, text) =>
    glyph === FREE || glyph === LOST
      ? `\x1b[2m${text}\x1b[22m`
      : `\x1b[36m${text}\x1b[39m`;
}
