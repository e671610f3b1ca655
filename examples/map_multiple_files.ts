// Maps several files into one reservation, each at the end of the one before it, and
// uses them as one array of bytes: prints the CRC-32 of all files, as if they were
// joined. With --fill, it first sets every byte of every file to a character.
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. --allow-write=. \
//     examples/map_multiple_files.ts [--fill=CHARACTER] FILE…
//
// Without --fill, it needs no --allow-write. The size of each file must be a multiple
// of the page size: otherwise there would be bytes between it and the next file that
// are in no file.

import { crc32 } from "node:zlib";
import { parseArgs } from "node:util";
import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { inspectOptions, runProgram, UsageError } from "./program.ts";

const CHUNK = 2 ** 16;

/** Maps files side by side into a reservation that they fill. */
function mapContiguously(paths: string[], write: boolean): Pmem2VmReservation {
  using sources = new DisposableStack();
  const opened = paths.map((path) => {
    const source = sources.use(Pmem2Source.open(path, { write }));
    const { size, alignment } = source;
    if (size > 0 && size % alignment === 0) return source;
    throw new RangeError(
      `Cannot map ${path} as its size must be a multiple of ${alignment}: it is ${size}`,
    );
  });
  const size = opened.reduce((sum, source) => sum + source.size, 0);

  using unfinished = new DisposableStack();
  const reservation = unfinished.use(new Pmem2VmReservation(size));
  // Each one goes to the first gap, which starts where the one before it ends.
  for (const source of opened) reservation.map(source, { write });
  unfinished.move();
  return reservation;
}

function checksum(reservation: Pmem2VmReservation): number {
  const buffer = new Uint8Array(CHUNK);
  let value = 0;
  for (let at = 0; at < reservation.size; at += CHUNK) {
    const chunk = buffer.subarray(0, Math.min(CHUNK, reservation.size - at));
    // The chunks may cross the borders between the files.
    reservation.read(chunk, at);
    value = crc32(chunk, value);
  }
  return value;
}

function main(args: string[]): void {
  const { values: { fill }, positionals: paths } = parseArgs({
    args,
    options: { fill: { type: "string" } },
    allowPositionals: true,
  });
  if (paths.length === 0) throw new UsageError();
  if (fill !== undefined && !/^[ -~]$/.test(fill)) {
    throw new UsageError(`CHARACTER is not one of ASCII's: ${fill}`);
  }

  using reservation = mapContiguously(paths, fill !== undefined);
  if (fill !== undefined) reservation.fill(fill.charCodeAt(0));
  console.log(Deno.inspect(reservation, inspectOptions()));
  console.log(
    `CRC-32 ${checksum(reservation).toString(16).padStart(8, "0")}`,
  );
}

if (import.meta.main) {
  await runProgram("map_multiple_files.ts [--fill=CHARACTER] FILE…", main);
}
