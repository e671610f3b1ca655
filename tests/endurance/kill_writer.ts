/**
 * Appends to a log until it's killed, and tells on stdout of how many records it
 * knows that they are there.
 *
 * Usage: kill_writer.ts PATH NAME
 */

import { Log } from "../../examples/log.ts";

/** So large may the log get. */
export const LARGEST = 64 * 2 ** 20;

/** No two writers and no two places have the same record. */
export function makeRecord(name: string, index: number): Uint8Array {
  const text = `${name} ${index} `;
  const record = new Uint8Array(text.length + index * 379 % 15_000);
  new TextEncoder().encodeInto(text, record);
  for (let i = text.length; i < record.length; i++) record[i] = index + i * 7;
  return record;
}

if (import.meta.main) {
  const [path, name] = Deno.args;
  using log = Log.open(path!, { create: true, limit: LARGEST });
  const encoder = new TextEncoder();
  for (let index = 0;;) {
    const records = [makeRecord(name!, index++)];
    while (index % 4 !== 0) records.push(makeRecord(name!, index++));
    try {
      if (index % 8 === 0) log.appendv(records);
      else for (const record of records) log.append(record);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // The log is full: wait for the end, but not for ever.
      setTimeout(() => {}, 60_000);
      break;
    }
    Deno.stdout.writeSync(encoder.encode(`${index}\n`));
  }
}
