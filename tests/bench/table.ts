/**
 * The results, for people.
 *
 * @module
 */

import type { Goal, Result } from "./comparison.ts";

export function heading(): string {
  return [
    "Medians of rounds that take turns; the ratio is ours to theirs.",
    "",
    row("", "against", "theirs", "ours", "ratio", "goal", ""),
  ].join("\n");
}

export function line(
  { name, against, theirs, ours, ratio, goal, met }: Result,
): string {
  const isMemory = goal !== null && "bytes" in goal;
  return row(
    name,
    against ?? "",
    theirs === null ? "" : duration(theirs),
    isMemory ? `${ours.toFixed(0)} bytes` : duration(ours),
    ratio === null ? "" : ratio.toFixed(ratio < 0.1 ? 3 : 2),
    goalText(goal),
    met === null ? "" : met ? "met" : "missed",
  );
}

/** How something's cost grows with the number of maps. */
export interface Growth {
  readonly label: string;
  readonly points: readonly {
    readonly maps: number;
    /** Null where nobody else does it. */
    readonly theirs: number | null;
    readonly ours: number;
  }[];
}

const growing = [
  ["a step of a walk", /^walk ([\d,]+) windows/],
  ["find", /^find among ([\d,]+) windows/],
  ["a new view of them all", /^new view of ([\d,]+) maps/],
  ["persist 64 bytes, page", /^persist with ([\d,]+) maps/],
  ["open and close", /^open and close with ([\d,]+) maps/],
] as const;

/** The costs that grow, as far as they were measured at two places or more. */
export function growths(results: readonly Result[]): Growth[] {
  return growing.map(([label, pattern]) => ({
    label,
    points: results.flatMap(({ name, theirs, ours }) => {
      const count = pattern.exec(name)?.[1];
      return count === undefined
        ? []
        : [{ maps: Number(count.replace(/,/g, "")), theirs, ours }];
    }),
  })).filter(({ points }) => points.length > 1);
}

/** The same, for people. */
export function growth(results: readonly Result[]): string {
  const all = growths(results);
  if (all.length === 0) return "";
  const counts = [
    ...new Set(all.flatMap(({ points }) => points.map(({ maps }) => maps))),
  ]
    .sort((a, b) => a - b);
  const cells = (
    label: string,
    value: (maps: number) => number | null | undefined,
  ) =>
    [
      label.padEnd(30),
      ...counts.map((maps) => {
        const time = value(maps);
        return (time == null ? "" : duration(time)).padStart(11);
      }),
    ].join("").trimEnd();
  return [
    "",
    "How the cost grows with the number of maps:",
    "",
    "".padEnd(30) +
    counts.map((count) => count.toLocaleString("en").padStart(11)).join(""),
    ...all.flatMap(({ label, points }) => {
      const at = (maps: number) => points.find((point) => point.maps === maps);
      const ours = cells(`${label}, ours`, (maps) => at(maps)?.ours);
      return points.some(({ theirs }) => theirs !== null)
        ? [cells(`${label}, C`, (maps) => at(maps)?.theirs), ours]
        : [ours];
    }),
  ].join("\n");
}

function row(...[what, against, ...rest]: string[]): string {
  return [
    what!.padEnd(50),
    against!.padEnd(26),
    ...rest.map((cell) => cell.padStart(10)),
  ].join(" ").trimEnd();
}

export function duration(nanoseconds: number): string {
  for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]] as const) {
    if (nanoseconds < size) continue;
    return `${(nanoseconds / size).toFixed(1)} ${unit}`;
  }
  return `${nanoseconds.toFixed(nanoseconds < 100 ? 1 : 0)} ns`;
}

function goalText(goal: Goal): string {
  if (goal === null) return "";
  if ("times" in goal) return `≤ ${goal.times} ×`;
  if ("plus" in goal) {
    return `≤ + ${
      goal.plus < 1e6 ? `${goal.plus} ns` : `${goal.plus / 1e6} ms`
    }`;
  }
  return "at" in goal ? `≤ ${goal.at} ns` : `≤ ${goal.bytes}`;
}
