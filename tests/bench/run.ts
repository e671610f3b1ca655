/**
 * Measures the module beside what else does the same, on this machine: a C
 * program over libpmem2, Deno's own means, Bun.
 *
 *     deno task bench [--only NAME] [--json] [--svg FILE]
 *
 * `NAME` is a group or a part of a line's name; FILE gets a picture of how the
 * cost grows with the number of maps.
 *
 * @module
 */

import { type Comparison, measure, type Result } from "./comparison.ts";
import { around, under } from "./around.ts";
import { drawGrowth } from "./chart.ts";
import { append, open, view } from "./file.ts";
import { type Peers, startPeers } from "./peers.ts";
import { heap, startup } from "./process.ts";
import { reservation } from "./reservation.ts";
import { persist, write } from "./store.ts";
import { growth, heading, line } from "./table.ts";
import { place, walk } from "./walk.ts";

const groups: Record<string, (peers: Peers) => AsyncGenerator<Comparison>> = {
  walk,
  place,
  persist,
  write,
  reservation,
  open,
  view,
  append,
  startup,
  heap,
  around,
  under,
};

const json = Deno.args.includes("--json");
const only = Deno.args.includes("--only")
  ? Deno.args[Deno.args.indexOf("--only") + 1] ?? ""
  : "";
const isGroup = Object.hasOwn(groups, only);

const results: Result[] = [];
if (!json) console.log(heading());
{
  await using peers = await startPeers();
  for (const [group, comparisons] of Object.entries(groups)) {
    if (isGroup && group !== only) continue;
    for await (const comparison of comparisons(peers)) {
      if (!isGroup && !comparison.name.includes(only)) continue;
      const result = await measure(group, comparison);
      results.push(result);
      if (!json) console.log(line(result));
    }
  }
}
console.log(json ? JSON.stringify(results, null, 2) : growth(results));
const svg = Deno.args.indexOf("--svg");
if (svg !== -1) {
  Deno.writeTextFileSync(Deno.args[svg + 1]!, drawGrowth(results));
}
