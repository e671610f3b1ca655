// Draws a reservation as SVG: its maps and gaps, to scale. The examples inspect.ts and
// walk.ts use it for their --svg option, which writes it to a file.

/** What is drawn of a map. Every Pmem2Map has it. */
export interface DrawnMap {
  readonly offset: number;
  readonly size: number;
  readonly granularity: string;
  readonly path: string | null;
  readonly sourceOffset: number;
  readonly sharing: string;
  readonly readable: boolean;
  readonly writable: boolean;
}

/** What is drawn of a reservation. Every Pmem2VmReservation has it. */
export interface DrawnReservation extends Iterable<DrawnMap> {
  readonly address: bigint;
  readonly size: number;
  gaps(): Iterable<{ readonly offset: number; readonly size: number }>;
}

interface Range {
  readonly offset: number;
  /** The size in whole pages; a map may end inside a page. */
  readonly end: number;
  readonly kind: string;
  readonly name: string;
  /** Follows the name: the unusual traits of the map. */
  readonly marks: string;
  readonly size: string;
  /** Neighboring maps alternate between two shades. */
  readonly shade: number;
}

/** A column of labels beside a bar that shows the ranges they belong to. */
interface Panel {
  readonly from: number;
  readonly to: number;
  readonly labels: Range[];
}

interface Style {
  readonly width: number;
  readonly bar: number;
  readonly row: number;
  readonly font: number;
}

// Up to this number, all ranges have a label, gaps included, in a single panel.
const FEW = 48;
const MARGIN = 32;
const SINGLE: Style = { width: 896, bar: 96, row: 26, font: 13 };
const ONE_OF_MANY: Style = { width: 372, bar: 36, row: 16, font: 11 };
const COLORS = ["byte", "cache-line", "page", "free"];

/** Draws the maps and gaps of a reservation as an SVG document. */
export function layoutSvg(reservation: DrawnReservation): string {
  const { address, size } = reservation;
  const ranges = rangesOf(reservation);
  const maps = ranges.filter(({ kind }) => kind !== "free");
  const free = ranges.filter(({ kind }) => kind === "free")
    .reduce((sum, { offset, end }) => sum + end - offset, 0);
  const panels = ranges.length <= FEW
    ? [{ from: 0, to: size, labels: ranges }]
    : split(maps);
  const style = panels.length === 1 ? SINGLE : ONE_OF_MANY;

  const longest = Math.max(...panels.map(({ labels }) => labels.length));
  const height = Math.max(longest * style.row, Math.min(longest * 64, 384));
  const width = panels.length * (style.width + MARGIN) + MARGIN;
  const overview = panels.length === 1 ? "" : drawOverview(
    ranges,
    panels,
    size,
    width - 2 * MARGIN,
  );
  const top = overview === "" ? 124 : 216;

  const title = `Reservation of ${formatSize(size)} at ${hex(address)}`;
  const summary = `${maps.length.toLocaleString("en-US")} ` +
    `${maps.length === 1 ? "map" : "maps"}, ${formatSize(free)} free`;
  const list = ranges.length <= FEW
    ? `: ${ranges.map(describe).join("; ")}.`
    : ".";
  const total = top + height + MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${total}" viewBox="0 0 ${width} ${total}" role="img" aria-labelledby="layout-title layout-desc">
<title id="layout-title">${escapeXml(title)}</title>
<desc id="layout-desc">${escapeXml(summary + list)}</desc>
<style>${STYLESHEET}</style>
<defs><pattern id="layout-free" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="free" width="6" height="6"/><path class="hatch" d="M0 0V6"/></pattern></defs>
<rect class="background" width="100%" height="100%"/>
<text class="title" x="${MARGIN}" y="48">${escapeXml(title)}</text>
<text class="summary" x="${MARGIN}" y="70">${escapeXml(summary)}</text>
${drawLegend(new Set(ranges.map(({ kind }) => kind)))}
${overview}${
    panels.map((panel, index) =>
      `<g transform="translate(${
        MARGIN + index * (style.width + MARGIN)
      } ${top})">\n${
        drawPanel(panel, ranges, style, height, hexDigits(size))
      }\n</g>\n`
    ).join("")
  }</svg>
`;
}

function rangesOf(reservation: DrawnReservation): Range[] {
  const maps = Array.from(reservation, (map, index) => ({
    offset: map.offset,
    size: map.size,
    kind: map.granularity,
    name: printable(map.path ?? "no path"),
    marks: marksOf(map),
    shade: index % 2,
  }));
  const gaps = Array.from(reservation.gaps(), ({ offset, size }) => ({
    offset,
    size,
    kind: "free",
    name: "free",
    marks: "",
    shade: 0,
  }));
  const all = [...maps, ...gaps].sort((a, b) => a.offset - b.offset);
  return all.map((range, index) => ({
    ...range,
    end: range.kind === "free"
      ? range.offset + range.size
      : all[index + 1]?.offset ?? reservation.size,
    size: formatSize(range.size),
  }));
}

/** Returns the unusual traits of a map: offset in its file, sharing and protection. */
function marksOf(map: DrawnMap): string {
  const marks: string[] = [];
  if (map.sourceOffset > 0) marks.push(`from ${hex(map.sourceOffset)}`);
  if (map.sharing === "private") marks.push("private");
  if (!map.writable) marks.push(map.readable ? "read-only" : "no access");
  else if (!map.readable) marks.push("write-only");
  return marks.map((mark) => `, ${mark}`).join("");
}

/** Splits many maps into panels that together are about as wide as high. */
function split(maps: Range[]): Panel[] {
  const count = Math.max(2, Math.round(Math.sqrt(maps.length / 20)));
  const length = Math.ceil(maps.length / count);
  const panels: Panel[] = [];
  for (let first = 0; first < maps.length; first += length) {
    const labels = maps.slice(first, first + length);
    panels.push({ from: labels[0]!.offset, to: labels.at(-1)!.end, labels });
  }
  return panels;
}

/** Draws the whole reservation, and which part of it each panel shows. */
function drawOverview(
  ranges: Range[],
  panels: Panel[],
  size: number,
  width: number,
): string {
  const scale = width / size;
  const blocks = ranges.filter(({ kind }) => kind !== "free").map((range) =>
    `<rect class="${range.kind} shade-${range.shade}" x="${
      round(range.offset * scale)
    }" width="${
      round(Math.max((range.end - range.offset) * scale, 0.5))
    }" height="28"/>`
  );
  const numbers = spread(
    panels.map(({ from, to }) => (from + to) / 2 * scale),
    20,
    width,
  );
  const marks = panels.map(({ from, to }, index) => {
    const start = from * scale;
    const end = Math.max(to * scale, start + 2);
    return `<path class="mark" d="M${round(start + 0.5)} 34V38H${
      round(end - 0.5)
    }V34"/><text class="number" x="${round(numbers[index]!)}" y="52">${
      index + 1
    }</text>`;
  });
  return `<g transform="translate(${MARGIN} 116)"><rect fill="url(#layout-free)" width="${width}" height="28"/>
${blocks.join("\n")}
${marks.join("\n")}</g>
${
    panels.map(({ from, to }, index) =>
      `<text class="heading" x="${
        MARGIN + index * (ONE_OF_MANY.width + MARGIN)
      }" y="202"><tspan class="number-inline">${index + 1}</tspan> ${
        hex(from)
      } to ${hex(to)}</text>`
    ).join("\n")
  }
`;
}

function drawPanel(
  { from, to, labels }: Panel,
  ranges: Range[],
  style: Style,
  height: number,
  digits: number,
): string {
  const scale = height / (to - from);
  const y = (offset: number) => (offset - from) * scale;
  const rows = spread(
    labels.map(({ offset, end }) => (y(offset) + y(end)) / 2),
    style.row,
    height,
  );

  const character = style.font * 0.61;
  const text = style.bar + 44;
  const longest = (key: "size" | "kind") =>
    Math.max(...ranges.map((range) => range[key].length));
  const sizeEnd = text + (2 + digits + 3 + longest("size")) * character;
  const kind = sizeEnd + 2 * character;
  const name = style === SINGLE
    ? kind + (longest("kind") + 2) * character
    : kind;
  const nameLength = Math.floor((style.width - name) / character);

  const blocks = ranges
    .filter(({ offset, end }) => offset < to && end > from)
    .map((range) => {
      const [start, end] = [y(range.offset), y(range.end)];
      const drawn = end - start > 4 ? end - start - 1 : end - start;
      const look = range.kind === "free"
        ? 'fill="none" pointer-events="all"'
        : `class="${range.kind} shade-${range.shade}"`;
      return `<rect ${look} y="${round(start)}" width="${style.bar}" height="${
        round(Math.max(drawn, style === SINGLE ? 2 : 1))
      }"><title>${escapeXml(describe(range))}</title></rect>`;
    });
  const lines = labels.map((range, index) => {
    const row = rows[index]!;
    const center = (y(range.offset) + y(range.end)) / 2;
    const base = round(row + style.font * 0.35);
    const cell = (name: string, x: number, text: string) =>
      `<text class="${name}" x="${round(x)}" y="${base}">${
        escapeXml(text)
      }</text>`;
    const cells = [
      cell("offset", text, hex(range.offset, digits)),
      cell("size", sizeEnd, range.size),
    ];
    if (style === SINGLE) cells.push(cell("kind", kind, range.kind));
    if (range.kind !== "free") {
      // In a narrow panel, only the tooltip has room for them.
      const marks = style === SINGLE ? range.marks : "";
      const room = nameLength - marks.length;
      cells.push(cell("name", name, shorten(range.name, room) + marks));
    }
    const [near, far] = [style.bar + 4, text - 8];
    const middle = (near + far) / 2;
    return `<g>` +
      `<path class="leader" d="M${near} ${round(center)}C${middle} ${
        round(center)
      } ${middle} ${round(row)} ${far} ${round(row)}"/>${cells.join("")}</g>`;
  });
  return `<rect fill="url(#layout-free)" width="${style.bar}" height="${
    round(height)
  }"/>
${blocks.join("\n")}
<g font-size="${style.font}">
${lines.join("\n")}
</g>`;
}

/**
 * Places labels as near to their ranges as possible without overlapping. Labels that
 * are in each other's way form a group, which is centered.
 */
function spread(wanted: number[], row: number, height: number): number[] {
  const groups: { sum: number; count: number }[] = [];
  for (const [index, position] of wanted.entries()) {
    let group = { sum: position - index * row, count: 1 };
    for (
      let last = groups.at(-1);
      last !== undefined && last.sum / last.count > group.sum / group.count;
      last = groups.at(-1)
    ) {
      group = { sum: last.sum + group.sum, count: last.count + group.count };
      groups.pop();
    }
    groups.push(group);
  }
  const last = height - row / 2 - (wanted.length - 1) * row;
  return groups.flatMap(({ sum, count }) =>
    Array<number>(count).fill(sum / count)
  )
    .map((start, index) =>
      Math.min(Math.max(start, row / 2), last) + index * row
    );
}

function drawLegend(kinds: Set<string>): string {
  let x = MARGIN;
  return COLORS.filter((kind) => kinds.has(kind)).map((kind) => {
    const look = kind === "free"
      ? 'fill="url(#layout-free)"'
      : `class="${kind} shade-0"`;
    const drawn = `<rect ${look} x="${
      round(x)
    }" y="86" width="12" height="12" rx="2"/><text class="legend" x="${
      round(x + 18)
    }" y="96">${kind}</text>`;
    x += 18 + kind.length * 7.3 + 24;
    return drawn;
  }).join("\n");
}

function describe({ offset, kind, name, marks, size }: Range): string {
  return kind === "free"
    ? `${hex(offset)} free, ${size}`
    : `${hex(offset)} ${name}, ${size}, ${kind}${marks}`;
}

/** Escapes control characters, which XML does not allow, and what reorders text. */
function printable(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Leaves out the middle of a path, and keeps the name of the file if there is room. */
function shorten(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  const name = text.slice(text.lastIndexOf("/") + 1);
  const directories = columns - width(name) - 2;
  if (directories >= 0) return `${fit(text, directories)}…/${name}`;
  const start = fit(name, Math.ceil((columns - 1) / 2));
  const reversed = [...name].reverse().join("");
  const end = fit(reversed, columns - 1 - width(start));
  return `${start}…${[...end].reverse().join("")}`;
}

/** Counts columns: characters beyond the alphabets take two. */
function width(text: string): number {
  return [...text].reduce((sum, char) => sum + (char >= "\u1100" ? 2 : 1), 0);
}

function fit(text: string, columns: number): string {
  const chars = [...text];
  while (width(chars.join("")) > columns) chars.pop();
  return chars.join("");
}

function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const format = (value: number, unit = "B", sign = "") =>
    `${sign}${
      value.toLocaleString("en-US", { maximumFractionDigits: 2 })
    } ${unit}`;
  let power = 0;
  // 1023.999 KiB would round to "~1,024 KiB".
  while (power < 4 && bytes / 1024 ** power >= 1023.995) power++;
  const value = bytes / 1024 ** power;
  if (Number.isInteger(value * 100)) return format(value, units[power]);
  return bytes < 1e6 ? format(bytes) : format(value, units[power], "~");
}

function hex(value: number | bigint, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function hexDigits(size: number): number {
  return (size - 1).toString(16).length;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

// Rules rather than custom properties, which some viewers do not support.
const STYLESHEET = `
text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1b2129; }
.title, .summary, .number, .number-inline { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
.title { font-size: 20px; font-weight: 600; }
.summary { font-size: 14px; }
.legend, .heading, .number { font-size: 12px; }
.number, .number-inline { font-weight: 600; }
.number { text-anchor: middle; }
.size { text-anchor: end; }
.summary, .legend, .offset, .size, .kind, .heading { fill: #5d6875; }
.background { fill: #ffffff; }
.free { fill: #f3f5f7; }
.hatch { stroke: #c6ced8; fill: none; }
.leader, .mark { stroke: #b3bcc7; fill: none; }
.byte { fill: #14866d; }
.cache-line { fill: #2f6bd8; }
.page { fill: #c9761d; }
.byte.shade-1 { fill: #62b3a0; }
.cache-line.shade-1 { fill: #7ba3e8; }
.page.shade-1 { fill: #e0a766; }
@media (prefers-color-scheme: dark) {
text { fill: #e7ebf0; }
.summary, .legend, .offset, .size, .kind, .heading { fill: #96a1af; }
.background { fill: #13171c; }
.free { fill: #1a2027; }
.hatch { stroke: #3b4653; }
.leader, .mark { stroke: #4b5563; }
.byte { fill: #3fb798; }
.cache-line { fill: #6c9ffa; }
.page { fill: #e6a04e; }
.byte.shade-1 { fill: #2b7d68; }
.cache-line.shade-1 { fill: #4a6eb0; }
.page.shade-1 { fill: #a06f37; }
}
`;
