// A durable log on the command line: what was appended stays, whatever happens to the
// process or the machine after that. The log itself is in durable_log.ts.
//
//   deno run --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=. --allow-write=. \
//     examples/log.ts [--size=BYTES] [--limit=BYTES] FILE COMMAND…
//
// COMMAND is one or more of: append DATA, appendv N DATA1 … DATAN (all of them or
// none), rewind (empties the log), dump. With --size, the file is created if it does
// not exist, and grows to that size. It also grows as it fills, up to the limit. A
// device DAX requires --allow-all.

import { Log } from "./durable_log.ts";
import { runProgram, UsageError } from "./program.ts";

export { Log };

type Command = (log: Log) => void;

/** Reads all commands before one runs, so that none runs if one is wrong. */
function parseCommands(words: string[]): Command[] {
  const rest = words.values();
  const take = (what: string): string => {
    const { value } = rest.next();
    if (value === undefined) throw new UsageError(`${what} is missing`);
    return value;
  };
  const takeData = () => new TextEncoder().encode(take("DATA"));
  const commands: Command[] = [];
  for (const word of rest) {
    if (word === "append") {
      const record = takeData();
      commands.push((log) => log.append(record));
    } else if (word === "appendv") {
      const length = Math.min(parseCount(take("N")), words.length);
      const records = Array.from({ length }, takeData);
      commands.push((log) => log.appendv(records));
    } else if (word === "rewind") {
      commands.push((log) => log.rewind());
    } else if (word === "dump") {
      commands.push(dump);
    } else {
      throw new UsageError(`${word} is not a command`);
    }
  }
  return commands;
}

function dump(log: Log): void {
  const decoder = new TextDecoder();
  for (const record of log) console.log(decoder.decode(record));
}

function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`${text} is not a number`);
  return Number(text);
}

function main(args: string[]): void {
  const words = args.values();
  let sizes: { create?: true; size?: number; limit?: number } = {};
  let path: string | undefined;
  for (path of words) {
    const [, name, value] = /^--(size|limit)=(.*)$/.exec(path) ?? [];
    if (value === undefined) break;
    const bytes = parseCount(value);
    sizes = name === "size"
      ? { ...sizes, create: true, size: bytes }
      : { ...sizes, limit: bytes };
  }
  const commands = parseCommands([...words]);
  if (path === undefined || commands.length === 0) throw new UsageError();
  const write = commands.some((command) => command !== dump);
  using log = Log.open(path, { write, ...sizes });
  for (const command of commands) command(log);
}

if (import.meta.main) {
  await runProgram(
    "log.ts [--size=BYTES] [--limit=BYTES] FILE (append DATA | appendv N DATA… | rewind | dump)…",
    main,
  );
}
