/**
 * Prints how many bytes of the JavaScript heap each open map takes.
 *
 * @module
 */

import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";

const count = 20_000;
using source = Pmem2Source.anonymous(4096);
Pmem2Map.from(source).close();
const maps = new Array<Pmem2Map>(count);
const before = heapUsed();
for (let i = 0; i < count; i++) maps[i] = Pmem2Map.from(source);
console.log((heapUsed() - before) / count);
for (const map of maps) map.close();

function heapUsed(): number {
  (globalThis as unknown as { gc(): void }).gc();
  return Deno.memoryUsage().heapUsed;
}
