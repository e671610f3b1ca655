// Maps files side by side into one reservation, walks it in address order,
// forwards and backwards, makes a change durable, and draws what is where.
//
//   deno task demo [--svg OUT] [FILE…]
//
// Without files it takes the module's own. They are mapped read-only. What it
// needs at least, on Debian on x86-64 and with the files and OUT in this folder:
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=.,/tmp --allow-write=.,/tmp examples/walk.ts FILE…

import { parseArgs } from "node:util";
import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { layoutSvg } from "./layout_svg.ts";
import { inspectOptions, printable, runProgram } from "./program.ts";

/** The module's own files. */
function ownFiles(): string[] {
  const root = new URL("../", import.meta.url).pathname;
  const names = Array.from(Deno.readDirSync(`${root}ffi`), ({ name }) => name);
  return [`${root}mod.ts`, ...names.sort().map((name) => `${root}ffi/${name}`)];
}

/** Maps all sources, with a gap of one page behind the first. */
function mapAll(sources: Pmem2Source[]): Pmem2VmReservation {
  const places: number[] = [];
  let end = 0;
  for (const { size, alignment } of sources) {
    // A map takes whole pages, of which the last may be full only in part.
    const at = Math.ceil(end / alignment) * alignment;
    places.push(at);
    end = at + Math.ceil(size / alignment) * alignment;
    if (places.length === 1) end += alignment;
  }
  const reservation = new Pmem2VmReservation(end);
  for (const [index, source] of sources.entries()) {
    reservation.map(source, { at: places[index], write: false });
  }
  return reservation;
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
    // Durable once write() returns, whatever the medium takes for that.
    map.write(new TextEncoder().encode("walked"));
    const text = Deno.readTextFileSync(path).slice(0, 6);
    console.log(`Persisted "${text}" in ${path} (${map.granularity})`);
  } finally {
    Deno.removeSync(path);
  }
}

/** To write to a file that is mapped would take its pages away. */
function checkOutput(output: string, files: string[]): void {
  const identify = (path: string) => {
    const { dev, ino } = Deno.statSync(path);
    return `${dev} ${ino}`;
  };
  let existing: string;
  try {
    existing = identify(output);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const mapped = files.find((file) => identify(file) === existing);
  if (mapped !== undefined) {
    throw new Error(`Cannot write to ${output} as it is to be mapped`);
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
  const sources: Pmem2Source[] = [];
  for (const file of files) {
    const source = opened.use(Pmem2Source.open(file, { write: false }));
    if (source.size > 0) sources.push(source);
    else console.log(`Skipped ${printable(file)} as it is empty`);
  }
  if (sources.length === 0) throw new Error("Cannot walk without any bytes");

  const options = inspectOptions();
  using reservation = mapAll(sources);
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
