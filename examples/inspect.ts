// Prints what libpmem2 knows about files and devices: size, alignment, store
// granularity, and what their devices say about themselves. For several files, it also
// draws how they lie in memory when they are mapped side by side.
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. examples/inspect.ts [--json] FILE…
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. --allow-write=. examples/inspect.ts --svg OUT FILE…
//
// It changes nothing but OUT, to which it writes the drawing. A device DAX requires
// --allow-all.

import { parseArgs } from "node:util";
import { Pmem2Error, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { layoutSvg } from "./layout_svg.ts";
import {
  inspectOptions,
  printable,
  runProgram,
  UsageError,
} from "./program.ts";
import { checkOutput, mapSideBySide } from "./side_by_side.ts";

/** The codes for properties that a source does not have. */
const ABSENT = [
  "PMEM2_E_NOSUPP",
  "PMEM2_E_DAX_REGION_NOT_FOUND",
  "PMEM2_E_SOURCE_EMPTY",
];

/** Returns a property, null if the source does not have it, or the code of an error. */
function orNull<T>(get: () => T): T | string | null {
  try {
    return get();
  } catch (error) {
    if (!(error instanceof Pmem2Error)) throw error;
    return ABSENT.includes(error.code) ? null : error.code;
  }
}

/** Returns the store granularity that maps of the source have. */
function granularityOf(source: Pmem2Source): string {
  const { size, alignment } = source;
  const length = size < alignment ? undefined : alignment;
  using map = Pmem2Map.from(source, { length, write: false });
  return map.granularity;
}

function inspect(source: Pmem2Source) {
  return {
    path: source.path!,
    size: source.size,
    alignment: source.alignment,
    granularity: orNull(() => granularityOf(source)),
    deviceId: orNull(() => source.deviceId()),
    numaNode: orNull(() => source.numaNode()),
    // JSON has no exact integers beyond 2^53.
    unsafeShutdowns: orNull(() => `${source.unsafeShutdownCount()}`),
    badBlocks: orNull(() =>
      [...source.badBlocks()].map(({ offset, length }) => ({ offset, length }))
    ),
  };
}

/** Formats a line for each source. Paths come last, since they may have any length. */
function formatTable(sources: ReturnType<typeof inspect>[]): string {
  const rows = [
    "size alignment granularity device node shutdowns bad path".split(" "),
    ...sources.map((source) => [
      source.size.toLocaleString("en-US"),
      source.alignment.toLocaleString("en-US"),
      source.granularity ?? "-",
      source.deviceId ?? "-",
      String(source.numaNode ?? "-"),
      source.unsafeShutdowns ?? "-",
      String(source.badBlocks?.length ?? "-"),
      printable(source.path),
    ]),
  ];
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length))
  );
  return rows.map((row) =>
    row.map((cell, column) => {
      if (column === row.length - 1) return cell;
      const width = widths[column]!;
      return column < 2 ? cell.padStart(width) : cell.padEnd(width);
    }).join("  ")
  ).join("\n");
}

function main(args: string[]): void {
  const { values: { json = false, svg }, positionals: files } = parseArgs({
    args,
    options: { json: { type: "boolean" }, svg: { type: "string" } },
    allowPositionals: true,
  });
  if (files.length === 0) throw new UsageError();
  if (svg !== undefined) checkOutput(svg, files);

  using resources = new DisposableStack();
  const sources = files.map((file) =>
    resources.use(Pmem2Source.open(file, { write: false }))
  );
  const rows = sources.map(inspect);
  console.log(json ? JSON.stringify(rows, null, 2) : formatTable(rows));

  const full = sources.filter(({ size }) => size > 0);
  if (full.length === 0 || (json || full.length === 1) && svg === undefined) {
    return;
  }
  using reservation = mapSideBySide(full);
  if (!json) console.log("\n" + Deno.inspect(reservation, inspectOptions()));
  if (svg !== undefined) Deno.writeTextFileSync(svg, layoutSvg(reservation));
}

if (import.meta.main) {
  await runProgram("inspect.ts [--json] [--svg OUT] FILE…", main);
}
