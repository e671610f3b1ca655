// Finds a text in a file, which may be larger than the memory, and prints the offsets.
// A private map has a view although the file is only read, and nothing is copied.
//
//   deno run --allow-ffi --allow-read=. examples/search.ts FILE TEXT

import { Pmem2Map } from "@pmem2/pmem2";
import { runProgram, UsageError } from "./program.ts";

function main([path, text]: string[]): void {
  if (!path || !text) throw new UsageError();
  using map = Pmem2Map.open(path, { sharing: "private" });
  const [first, ...rest] = new TextEncoder().encode(text);
  const { bytes } = map;
  for (let at = -1; (at = bytes.indexOf(first!, at + 1)) !== -1;) {
    if (rest.every((byte, i) => bytes[at + 1 + i] === byte)) console.log(at);
  }
}

if (import.meta.main) await runProgram("search.ts FILE TEXT", main);
