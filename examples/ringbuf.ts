// A pipe between two processes that survives both: a ring buffer in a file, into
// which one process puts lines, and out of which another takes them.
//
//   deno run --allow-ffi --allow-read=. --allow-write=. \
//     examples/ringbuf.ts [--size=BYTES] FILE ENTRY_SIZE produce <LINES
//   deno run --allow-ffi --allow-read=. --allow-write=. \
//     examples/ringbuf.ts [--size=BYTES] FILE ENTRY_SIZE consume [COUNT]
//
// They may start, end and crash in any order. No line is lost; a line that a consumer
// had just taken when it crashed may be taken again. With --size, the file is created if
// it does not exist. There may be one producer and one consumer at a time. The ring
// buffer itself is in ring_buffer.ts.

import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { runProgram, UsageError } from "./program.ts";
import { RingBuffer } from "./ring_buffer.ts";

export { RingBuffer };

/** Atomics.wait() works only on shared memory of this process. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

async function produce(ring: RingBuffer): Promise<void> {
  const encoder = new TextEncoder();
  for await (const line of createInterface({ input: process.stdin })) {
    const entry = encoder.encode(line);
    while (!ring.push(entry)) await pause();
  }
}

async function consume(ring: RingBuffer, count: number): Promise<void> {
  const decoder = new TextDecoder();
  for (let taken = 0; taken < count; taken++) {
    let entry: Uint8Array | null;
    while ((entry = ring.peek()) === null) await pause();
    console.log(decoder.decode(entry).replace(/\0+$/, ""));
    ring.drop();
  }
}

function parseCount(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`${name} is not a number from 1 on: ${text}`);
}

async function main(args: string[]): Promise<void> {
  const {
    values: { size },
    positionals: [path, entrySize, role, count, more],
  } = parseArgs({
    args,
    options: { size: { type: "string" } },
    allowPositionals: true,
  });
  if (
    path === undefined || entrySize === undefined || more !== undefined ||
    !(role === "consume" || role === "produce" && count === undefined)
  ) throw new UsageError();
  const options = size === undefined
    ? {}
    : { create: true, size: parseCount("BYTES", size) };
  const limit = count === undefined ? Infinity : parseCount("COUNT", count);
  using ring = new RingBuffer(
    path,
    parseCount("ENTRY_SIZE", entrySize),
    options,
  );
  await (role === "produce" ? produce(ring) : consume(ring, limit));
}

if (import.meta.main) {
  await runProgram(
    "ringbuf.ts [--size=BYTES] FILE ENTRY_SIZE (produce | consume [COUNT])",
    main,
  );
}
