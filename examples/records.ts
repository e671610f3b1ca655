// Keeps measurements in a file, as records of 16 bytes that a DataView reads and
// writes in place. Adds the values, and prints all of them with their times.
//
//   deno run --allow-ffi --allow-read=. --allow-write=. \
//     examples/records.ts FILE [VALUE…]

import { Pmem2Map } from "@pmem2/pmem2";
import { runProgram, UsageError } from "./program.ts";

const SIZE = 16;

/** Adds a value with its time. It is durable when this returns. */
export function add(map: Pmem2Map, value: number): void {
  const view = new DataView(map.buffer);
  const count = view.getUint32(0, true);
  const end = (count + 2) * SIZE;
  if (end > map.size) throw new RangeError(`Cannot add ${value}: it is full`);
  view.setFloat64(end - SIZE, Date.now(), true);
  view.setFloat64(end - 8, value, true);
  map.persist(end - SIZE, SIZE); // first the record,
  view.setUint32(0, count + 1, true);
  map.persist(0, 4); // and then that it is there
}

/** Lists the times and values in the order in which they were added. */
export function* list(map: Pmem2Map): Generator<[time: Date, value: number]> {
  const view = new DataView(map.buffer);
  for (let i = 1; i <= view.getUint32(0, true); i++) {
    const time = new Date(view.getFloat64(i * SIZE, true));
    yield [time, view.getFloat64(i * SIZE + 8, true)];
  }
}

function main([path, ...values]: string[]): void {
  if (!path) throw new UsageError();
  using map = Pmem2Map.open(path, { create: true, size: 65_536 });
  for (const value of values) add(map, Number(value));
  for (const [time, value] of list(map)) {
    console.log(time.toISOString(), value);
  }
}

if (import.meta.main) await runProgram("records.ts FILE [VALUE…]", main);
