// Tells what libpmem2 knows about files and devices: size, alignment, the store
// granularity that they give, and what their device says about itself. Several are
// also drawn, as they lie in memory when they are mapped side by side.
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. examples/inspect.ts [--json] FILE…
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. --allow-write=. examples/inspect.ts --svg OUT FILE…
//
// Nothing is changed but OUT, which gets the drawing. A device DAX needs
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

/** Codes that say that there is nothing to be told. */
const ABSENT = [
  "PMEM2_E_NOSUPP",
  "PMEM2_E_DAX_REGION_NOT_FOUND",
  "PMEM2_E_SOURCE_EMPTY",
];

/** A property; null where the source has none, a code where asking failed. */
function orNull<T>(get: () => T): T | string | null {
  try {
    return get();
  } catch (error) {
    if (!(error instanceof Pmem2Error)) throw error;
    return ABSENT.includes(error.code) ? null : error.code;
  }
}

/** The finest granularity is the one that any map of the source has. */
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
    // JSON has no integers beyond 2^53.
    unsafeShutdowns: orNull(() => `${source.unsafeShutdownCount()}`),
    badBlocks: orNull(() =>
      [...source.badBlocks()].map(({ offset, length }) => ({ offset, length }))
    ),
  };
}

/** A line for each source, with its path last, as that may have any length. */
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
