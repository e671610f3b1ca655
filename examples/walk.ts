// Maps files side by side into one reservation, walks it in address order, forwards and
// backwards, makes a change durable, and draws the reservation.
//
//   deno task demo [--svg OUT] [FILE…]
//
// Without files, it uses those of this module. All files are mapped read-only. On Debian
// on x86-64, with the files and OUT in this folder, it needs at least:
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=.,/tmp --allow-write=.,/tmp examples/walk.ts FILE…

import { parseArgs } from "node:util";
import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { layoutSvg } from "./layout_svg.ts";
import { inspectOptions, printable, runProgram } from "./program.ts";
import { checkOutput, mapSideBySide } from "./side_by_side.ts";

/** Lists the files of this module. */
function ownFiles(): string[] {
  const root = import.meta.dirname!.replace(/[^/]*$/, "");
  return [`${root}mod.ts`, ...filesIn(`${root}ffi`)];
}

function filesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder)).flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(`${folder}/${name}`) : [`${folder}/${name}`]
  ).sort();
}

function describe({ address, size, path }: Pmem2Map): string {
  const bytes = size.toLocaleString("en-US").padStart(13);
  return `  0x${address.toString(16)} ${bytes} bytes  ${printable(path!)}`;
}

/** Changes a scratch file through a map, and reads the file. */
function persistChange(): void {
  const path = Deno.makeTempFileSync({ prefix: "walk_" });
  try {
    using map = Pmem2Map.open(path, { size: 4096 });
    // It is durable when write() returns, whatever the medium requires for that.
    map.write(new TextEncoder().encode("walked"));
    const text = Deno.readTextFileSync(path).slice(0, 6);
    console.log(`Persisted "${text}" in ${path} (${map.granularity})`);
  } finally {
    Deno.removeSync(path);
  }
}

function walk(args: string[]): void {
  const { values: { svg }, positionals } = parseArgs({
    args,
    options: { svg: { type: "string" } },
    allowPositionals: true,
  });
  const files = positionals.length > 0 ? positionals : ownFiles();
  if (svg !== undefined) checkOutput(svg, files);

  using opened = new DisposableStack();
  const sources = files.map((file) =>
    opened.use(Pmem2Source.open(file, { write: false }))
  ).filter(({ path, size }) => {
    if (size > 0) return true;
    console.log(`Skipped ${printable(path!)} as it is empty`);
    return false;
  });
  if (sources.length === 0) throw new Error("Cannot walk without any bytes");

  const options = inspectOptions();
  // One free page, so that there is a gap to see.
  using reservation = mapSideBySide(sources, 1);
  console.log("Forwards");
  for (const map of reservation) console.log(describe(map));
  console.log("\nBackwards");
  for (const map of reservation.maps({ reverse: true })) {
    console.log(describe(map));
  }
  console.log();
  persistChange();
  console.log();
  console.log(Deno.inspect(reservation, options));
  if (svg !== undefined) {
    Deno.writeTextFileSync(svg, layoutSvg(reservation));
    console.log(`\nWrote ${svg}`);
  }
}

if (import.meta.main) await runProgram("walk.ts [--svg OUT] [FILE…]", walk);
