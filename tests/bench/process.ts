/**
 * What the module takes before the first map, and of the JavaScript heap.
 *
 * @module
 */

import { Pmem2Map } from "@pmem2/pmem2";
import { type Comparison, timed } from "./comparison.ts";
import { benchDirectory, type Peers } from "./peers.ts";

const root = new URL("../../", import.meta.url).pathname;

export async function* startup(_peers: Peers): AsyncGenerator<Comparison> {
  const empty = `${benchDirectory}/empty.ts`;
  const small = `${benchDirectory}/small`;
  Deno.writeTextFileSync(empty, "");
  Pmem2Map.open(small, { create: true, size: 4096 }).close();
  const firstMap = new URL("first_map.ts", import.meta.url).pathname;
  yield {
    name: "a process that imports the module and maps a file",
    against: "deno run of an empty file",
    goal: { plus: 14e6 },
    rounds: 21,
    theirs: timed(1, () => denoRun(empty)),
    ours: timed(1, () => denoRun(firstMap, small)),
  };
}

export async function* heap(_peers: Peers): AsyncGenerator<Comparison> {
  const script = new URL("heap.ts", import.meta.url).pathname;
  yield {
    name: "JavaScript heap of an open map, without views",
    against: null,
    goal: { bytes: 512 },
    rounds: 1,
    theirs: null,
    ours: () => Number(denoRun("--v8-flags=--expose-gc", script)),
  };
}

function denoRun(...args: string[]): string {
  const { success, stdout } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", `--config=${root}deno.json`, ...args],
  }).outputSync();
  if (!success) throw new Error(`deno run ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout);
}
