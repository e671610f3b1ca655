// Maps only a window of a file, and dumps it in hexadecimal. The file may be of any
// size. With TEXT, it first writes the text to both ends of the window: each copy is
// flushed separately, and one drain waits for both.
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. --allow-write=. \
//     examples/advanced.ts FILE OFFSET LENGTH [TEXT]
//
// Without TEXT it needs no --allow-write.

import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { runProgram, UsageError } from "./program.ts";

const LINE = 16;

function parseNumber(name: string, text: string): number {
  const number = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new UsageError(`${name} is not a number of bytes: ${text}`);
}

/** Writes the text to both ends, and waits for both at once. */
function writeToBothEnds(
  map: Pmem2Map,
  text: Uint8Array,
  start: number,
  end: number,
): void {
  if (text.length > end - start) {
    throw new RangeError(
      `Cannot write ${text.length} bytes as the window has ${end - start}`,
    );
  }
  for (const offset of [start, end - text.length]) {
    map.write(text, offset, { flush: false });
    // Starts to flush the CPU caches, without waiting.
    map.flush(offset, text.length);
  }
  map.drain();
}

function dump(map: Pmem2Map, start: number, end: number, first: number): void {
  const line = new Uint8Array(LINE);
  for (let at = start; at < end; at += LINE) {
    const part = line.subarray(0, Math.min(LINE, end - at));
    map.read(part, at);
    const bytes = Array.from(
      part,
      (byte) => byte.toString(16).padStart(2, "0"),
    );
    const address = (first + at - start).toString(16).padStart(8, "0");
    console.log(`${address}  ${bytes.join(" ")}`);
  }
}

function main(args: string[]): void {
  if (args.length !== 3 && args.length !== 4) throw new UsageError();
  const [path, offsetText, lengthText, text] = args as [
    string,
    string,
    string,
    string?,
  ];
  const offset = parseNumber("OFFSET", offsetText);
  const length = parseNumber("LENGTH", lengthText);

  const write = text !== undefined;
  using source = Pmem2Source.open(path, { write });
  const { size, alignment } = source;
  const end = offset + length;
  if (length === 0 || end > size) {
    throw new RangeError(
      `Cannot map ${length} bytes at ${offset} as the file has ${size}`,
    );
  }

  // A map starts at a page, and ends at one or at the end of the file.
  const first = Math.floor(offset / alignment) * alignment;
  const last = Math.ceil(end / alignment) * alignment;
  using map = Pmem2Map.from(source, {
    offset: first,
    length: last < size ? last - first : undefined,
    write,
  });
  const [from, to] = [offset - first, end - first];
  if (write) writeToBothEnds(map, new TextEncoder().encode(text), from, to);
  dump(map, from, to, offset);
}

if (import.meta.main) {
  await runProgram("advanced.ts FILE OFFSET LENGTH [TEXT]", main);
}
