/**
 * The costs that grow with the number of maps, as a picture: SVG, both axes
 * logarithmic.
 *
 * @module
 */

import type { Result } from "./comparison.ts";
import { duration, growths } from "./table.ts";

const [WIDTH, HEIGHT] = [720, 380];
const PLOT = { left: 64, top: 16, right: 230, bottom: 44 };
/** Readable on white and on black. */
const COLORS = ["#0969da", "#bf5f00", "#2da44e", "#a040a0", "#c03050"];
const TEXT = "#808080";

export function drawGrowth(results: readonly Result[]): string {
  const all = growths(results);
  const points = all.flatMap(({ points }) => points);
  const costs = points.flatMap(({ theirs, ours }) =>
    theirs === null ? [ours] : [theirs, ours]
  );
  // A logarithm has no place for 0 maps: they stand where 1 would.
  const x = scale(
    [0, ...points.map(({ maps }) => place(maps))],
    PLOT.left,
    WIDTH - PLOT.right,
  );
  const y = scale(costs.map(Math.log10), HEIGHT - PLOT.bottom, PLOT.top);
  const out: string[] = [];
  const text = (left: number, top: number, anchor: string, text: string) =>
    out.push(
      `<text x="${left}" y="${top}" text-anchor="${anchor}" fill="${TEXT}">${text}</text>`,
    );
  for (const cost of powers(costs)) {
    const top = y(Math.log10(cost));
    out.push(
      `<line x1="${PLOT.left}" x2="${
        WIDTH - PLOT.right
      }" y1="${top}" y2="${top}" stroke="${TEXT}" stroke-opacity="0.3"/>`,
    );
    text(PLOT.left - 6, top + 4, "end", duration(cost));
  }
  for (const maps of [0, 10, 100, 1000, 10_000, 60_000]) {
    text(x(place(maps)), HEIGHT - 24, "middle", maps.toLocaleString("en"));
  }
  text((PLOT.left + WIDTH - PLOT.right) / 2, HEIGHT - 6, "middle", "maps");
  for (const [i, { label, points }] of all.entries()) {
    const sorted = points.toSorted((a, b) => a.maps - b.maps);
    for (const whose of ["ours", "theirs"] as const) {
      const path = sorted.flatMap(({ maps, [whose]: cost }) =>
        cost === null ? [] : [`${x(place(maps))},${y(Math.log10(cost))}`]
      ).join(" ");
      out.push(
        `<polyline points="${path}" fill="none" stroke="${
          COLORS[i]
        }" stroke-width="2"${
          whose === "theirs" ? ' stroke-dasharray="4 4"' : ""
        }/>`,
      );
    }
    const top = PLOT.top + 16 + i * 20;
    const left = WIDTH - PLOT.right + 16;
    out.push(
      `<line x1="${left}" x2="${left + 20}" y1="${top - 4}" y2="${
        top - 4
      }" stroke="${COLORS[i]}" stroke-width="2"/>`,
    );
    text(left + 28, top, "start", label);
  }
  text(
    WIDTH - PLOT.right + 16,
    PLOT.top + 28 + all.length * 20,
    "start",
    "dashed: C, on the same maps",
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<title>Cost of a call as the number of maps grows</title>
${out.join("\n")}
</svg>
`;
}

const place = (maps: number) => Math.log10(Math.max(maps, 1));

function scale(values: number[], from: number, to: number) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return (value: number) =>
    Math.round(from + (value - low) / (high - low || 1) * (to - from));
}

function powers(costs: number[]): number[] {
  const first = Math.ceil(Math.log10(Math.min(...costs)));
  const last = Math.floor(Math.log10(Math.max(...costs)));
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}
