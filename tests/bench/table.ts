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

/** How the cost of a step and of a search grows with the number of maps. */
export function growth(results: readonly Result[]): string {
  const columns = results.filter(({ name }) => name.startsWith("walk "));
  if (columns.length < 2) return "";
  const search = (walk: Result) =>
    results.find(({ name }) =>
      name === walk.name.replace("walk ", "find among ").replace(
        ", a step",
        "",
      )
    );
  const cells = (label: string, value: (walk: Result) => number | undefined) =>
    [
      label.padEnd(24),
      ...columns.map((walk) => {
        const time = value(walk);
        return (time === undefined ? "" : duration(time)).padStart(12);
      }),
    ].join("");
  const counts = columns.map(({ name }) => /[\d,]+/.exec(name)![0]);
  return [
    "",
    "How the cost grows with the number of maps:",
    "",
    ["".padEnd(24), ...counts.map((count) => count.padStart(12))].join(""),
    cells("a step of a walk, C", (walk) => walk.theirs!),
    cells("a step of a walk, ours", (walk) => walk.ours),
    cells("find, C", (walk) => search(walk)?.theirs ?? undefined),
    cells("find, ours", (walk) => search(walk)?.ours),
  ].join("\n");
}

function row(...[what, against, ...rest]: string[]): string {
  return [
    what!.padEnd(50),
    against!.padEnd(26),
    ...rest.map((cell) => cell.padStart(10)),
  ].join(" ").trimEnd();
}

function duration(nanoseconds: number): string {
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
  return `≤ ${goal.bytes}`;
}
