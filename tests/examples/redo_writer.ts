/**
 * Adds three pairs at a time to a list until it's killed, and tells on stdout of
 * how many it knows that they are there.
 *
 * Usage: redo_writer.ts PATH
 */

import { RedoList } from "../../examples/redo.ts";

using list = RedoList.open(Deno.args[0]!);
const encoder = new TextEncoder();
for (let count = BigInt([...list].length);;) {
  const pairs = [2n, 0n, 1n].map((i) => [count + i, -count] as const);
  list.add(pairs.map(([key, value]) => [key * 7919n % 100_003n, value]));
  count += 3n;
  Deno.stdout.writeSync(encoder.encode(`${count}\n`));
}
