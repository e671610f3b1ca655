// A sorted list of keys and values on the command line. All pairs of one call are added
// at once, or none of them, whatever happens to the process or the machine. The list
// itself is in redo_list.ts.
//
//   deno run --allow-ffi --allow-read=. --allow-write=. \
//     examples/redo.ts add POOL KEY VALUE [KEY VALUE]…
//   deno run --allow-ffi --allow-read=. examples/redo.ts print|check|dump POOL
//
// KEY and VALUE are unsigned integers of 64 bits. `add` creates the file if it does not
// exist; the other commands change nothing.

import { runProgram, UsageError } from "./program.ts";
import { RedoList } from "./redo_list.ts";

export { RedoList };

const NEW_SIZE = 2 ** 20;

function parsePairs(words: string[]): [bigint, bigint][] {
  const numbers = words.map((word) => {
    const number = /^\d{1,20}$/.test(word) ? BigInt(word) : -1n;
    if (number === BigInt.asUintN(64, number)) return number;
    throw new UsageError(`KEY or VALUE is not an integer of 64 bits: ${word}`);
  });
  if (numbers.length % 2 !== 0) throw new UsageError("VALUE is missing");
  return numbers.map((number, i) =>
    [number, numbers[i + 1]!] as [bigint, bigint]
  )
    .filter((_, i) => i % 2 === 0);
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path) !== undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function main(args: string[]): void {
  const [command, path, ...words] = args;
  if (path === undefined) throw new UsageError();
  if (command === "add" && words.length > 0) {
    const pairs = parsePairs(words);
    const size = exists(path) ? undefined : NEW_SIZE;
    using list = RedoList.open(path, { size });
    list.add(pairs);
    return;
  }
  if (words.length > 0 || !["print", "check", "dump"].includes(command!)) {
    throw new UsageError();
  }
  using list = RedoList.open(path, { write: false });
  if (command === "check") {
    console.log(`Sorted and whole: ${list.check()} nodes`);
  } else if (command === "print") {
    for (const [key, value] of list) console.log(`${key} ${value}`);
  } else {
    for (const line of list.dump()) console.log(line);
  }
}

if (import.meta.main) {
  await runProgram(
    "redo.ts add POOL KEY VALUE [KEY VALUE]… | print POOL | check POOL | dump POOL",
    main,
  );
}
