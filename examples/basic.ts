// Writes a greeting to a file through a map, with plain JavaScript, and makes it
// durable. It overwrites the start of the file. The file must exist:
// `truncate -s 4096 FILE` makes one.
//
//   deno run --allow-ffi --allow-read=. --allow-write=. examples/basic.ts FILE
//
// --allow-ffi must have no path, since the program uses the bytes of the map.

import { Pmem2Map } from "@pmem2/pmem2";
import { printable, runProgram, UsageError } from "./program.ts";

const GREETING = "hello, persistent memory\0";

function main(args: string[]): void {
  const [path, ...rest] = args;
  if (path === undefined || rest.length > 0) throw new UsageError();

  // Any medium will do. With granularity: "cache-line", only persistent memory
  // would do.
  using map = Pmem2Map.open(path, { granularity: "page" });
  if (map.size < GREETING.length) {
    throw new RangeError(
      `Cannot write to ${path} as it has only ${map.size} bytes`,
    );
  }

  // The store goes directly to the memory of the file. All programs that have mapped
  // the file see it at once.
  const greeting = map.bytes.subarray(0, GREETING.length);
  new TextEncoder().encodeInto(GREETING, greeting);
  // From here on, it survives a power loss as well.
  map.persist(greeting);

  console.log(
    `Wrote ${greeting.length} bytes to ${
      printable(path)
    }, durable at ${map.granularity} granularity`,
  );
}

if (import.meta.main) await runProgram("basic.ts FILE", main);
