/**
 * Takes out of the examples each persist, flush and drain, one at a time, weakens
 * each write, and swaps each of these with what comes before and behind: then the
 * example's crash test has to fail.
 *
 *   deno run -A tests/endurance/mutations.ts [EXAMPLE…]
 *
 * Those that no crash test can find are listed below, with the reason.
 *
 * @module
 */

const root = new URL("../..", import.meta.url);

/** The examples, by the file that makes things durable, and their crash tests. */
const examples: Record<string, string> = {
  "durable_log.ts": "log_crash_test.ts",
  "redo_list.ts": "redo_crash_test.ts",
  "ring_buffer.ts": "ringbuf_crash_test.ts",
  "unsafe_shutdown.ts": "unsafe_shutdown_crash_test.ts",
  "records.ts": "records_crash_test.ts",
};

const DEEP =
  "the same was made durable just before, or is just behind; a deep " +
  "flush is for the device's own buffers, and each emulated power cut spares those";

/** What no power cut can tell from the original, by the reason. */
const harmless: Record<string, Record<string, readonly string[]>> = {
  "ring_buffer.ts": {
    "it is what happens where the file is refused": [
      "resources.move(); before this.#claim(path);",
    ],
    "the first is a note in the program's own memory": [
      "this.#durable.set(place, position); before this.#map.persist(this.#words.subarray(place, place + 1));",
    ],
  },
  "unsafe_shutdown.ts": {
    [DEEP]: [
      "without this.#map.deepFlush();",
      "this.#setInUse(false); before this.#map.deepFlush();",
      "flush: false in this.#map.write(header);",
      "drain: false in this.#map.write(header);",
      "this.#map.deepFlush(0, TEXT); before this.#map.write(header);",
      "without this.#map.deepFlush(0, TEXT);",
      "this.#setInUse(true); before this.#map.deepFlush(0, TEXT);",
      "flush: false in this.#map.write(Uint8Array.of(inUse ? 1 : 0), IN_USE);",
      "drain: false in this.#map.write(Uint8Array.of(inUse ? 1 : 0), IN_USE);",
      "this.#map.deepFlush(IN_USE, 1); before this.#map.write(Uint8Array.of(inUse ? 1 : 0), IN_USE);",
      "without this.#map.deepFlush(IN_USE, 1);",
    ],
  },
};

function reasonOf(name: string, what: string): string | undefined {
  return Object.entries(harmless[name] ?? {})
    .find(([, list]) => list.includes(what))?.[0];
}

/** A change to a text. */
interface Mutation {
  readonly what: string;
  readonly text: string;
}

interface Statement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const calls =
  /(?:#map|#memory|\bmap)\.(persist|flush|drain|deepFlush|write|fill|move)\(/;
const direct = new RegExp(String.raw`^\s*(?:this\.)?${calls.source}`);
const declared =
  /^\s*(?:(?:public|private|static|async)\s+)*([#\w]+)(?:<[^>]*>)?\(/;

/** All statements that lie in blocks, in lines that `deno fmt` has made. */
function* blocksOf(source: string): Generator<Statement[]> {
  const lines = source.split("\n");
  const starts = [0];
  for (const line of lines) starts.push(starts.at(-1)! + line.length + 1);
  const indent = (line: string) => line.length - line.trimStart().length;
  const isCode = (line: string) => !/^\s*(?:\/\/|\/?\*|$)/.test(line);
  for (const [i, line] of lines.entries()) {
    if (!/\{$/.test(line) || !isCode(line)) continue;
    if (/^(?:export )?(?:class|interface)\b/.test(line)) continue;
    const statements: Statement[] = [];
    const inner = indent(lines[i + 1] ?? "");
    let first = -1;
    for (let j = i + 1; j < lines.length; j++) {
      const at = lines[j]!;
      if (at.trim() !== "" && indent(at) < inner) break;
      if (first === -1) {
        if (!isCode(at) || indent(at) !== inner) continue;
        first = j;
      }
      const next = lines[j + 1] ?? "";
      const ended = /[;}](?:\s*\/\/.*)?$/.test(at) &&
        (next.trim() === "" || indent(next) <= inner) &&
        !/^\s*(?:\} (?:else|catch|finally|while)|\)|\])/.test(next);
      const text = lines.slice(first, j + 1).join("\n");
      if (!ended || !isBalanced(text)) continue;
      statements.push({ start: starts[first]!, end: starts[j + 1]! - 1, text });
      first = -1;
    }
    yield statements;
  }
}

/** The methods that make something durable, by themselves or by others. */
function durableMethods(source: string): Set<string> {
  const names = new Set<string>();
  const bodies: [name: string, body: string][] = [];
  const parts = source.split(/\n(?= {2}\S.*\{$|(?:export )?function )/m);
  for (const part of parts) {
    const name = declared.exec(part)?.[1] ?? /function (\w+)/.exec(part)?.[1];
    if (name !== undefined) bodies.push([name, part]);
  }
  for (let size = -1; size !== names.size;) {
    size = names.size;
    for (const [name, body] of bodies) {
      const inside = body.slice(body.indexOf("{"));
      const durable = calls.test(inside) ||
        [...names].some((other) => inside.includes(`this.${other}(`));
      if (durable && name.startsWith("#")) names.add(name);
    }
  }
  return names;
}

function* mutationsOf(source: string): Generator<Mutation> {
  const methods = [...durableMethods(source)];
  const isDurable = ({ text }: Statement) =>
    /^\s*[\w#.]+\(/.test(text) &&
    (calls.test(text) ||
      methods.some((name) => text.includes(`this.${name}(`)));
  const replace = (start: number, end: number, by: string) =>
    source.slice(0, start) + by + source.slice(end);
  const short = (text: string) => text.trim().replace(/\s+/g, " ");
  const seen = new Set<number>();
  for (const statements of blocksOf(source)) {
    for (const [i, statement] of statements.entries()) {
      const { start, end, text } = statement;
      if (!isDurable(statement) || seen.has(start)) continue;
      seen.add(start);
      const call = direct.exec(text)?.[1];
      if (/^(?:persist|flush|drain|deepFlush)$/.test(call ?? "")) {
        yield { what: `without ${short(text)}`, text: replace(start, end, "") };
      } else if (call !== undefined) {
        for (const flag of ["flush", "drain"]) {
          const inside = text.slice(
            text.indexOf("(") + 1,
            text.lastIndexOf(")"),
          )
            .replace(/,\s*$/, "");
          const several = topLevelCommas(inside) > 0;
          const weak = `${text.slice(0, text.indexOf("(") + 1)}${inside}${
            several ? "" : ", 0"
          }, { ${flag}: false });`;
          yield {
            what: `${flag}: false in ${short(text)}`,
            text: replace(start, end, weak),
          };
        }
      }
      for (
        const [one, other] of [
          [statements[i - 1], statement],
          [statement, statements[i + 1]],
        ]
      ) {
        if (one === undefined || other === undefined) continue;
        // Two durable ones in a row are swapped once.
        if (one !== statement && isDurable(one)) continue;
        if (
          /^\s*(?:return|throw|if|for|while|using|const|let)\b/.test(one.text)
        ) {
          continue;
        }
        if (
          /^\s*(?:return|throw|if|for|while|using|const|let)\b/.test(other.text)
        ) {
          continue;
        }
        const between = source.slice(one.end, other.start);
        yield {
          what: `${short(other.text)} before ${short(one.text)}`,
          text: replace(one.start, other.end, other.text + between + one.text),
        };
      }
    }
  }
}

function isBalanced(text: string): boolean {
  const opening = text.match(/[([{]/g)?.length ?? 0;
  return opening === (text.match(/[)\]}]/g)?.length ?? 0);
}

function topLevelCommas(text: string): number {
  let [depth, count] = [0, 0];
  for (const letter of text) {
    if ("([{".includes(letter)) depth++;
    if (")]}".includes(letter)) depth--;
    if (letter === "," && depth === 0) count++;
  }
  return count;
}

/** A copy of what the tests need, in which a file may be changed. */
class Copy implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pmem2_mutations_" });

  constructor() {
    for (
      const name of [
        "mod.ts",
        "deno.json",
        "deno.lock",
        "ffi",
        "examples",
        "tests",
      ]
    ) this.#copy(new URL(name, root), `${this.directory}/${name}`);
  }

  #copy(from: URL, to: string): void {
    if (Deno.statSync(from).isFile) return Deno.copyFileSync(from, to);
    Deno.mkdirSync(to);
    for (const { name, isSymlink } of Deno.readDirSync(from)) {
      if (!isSymlink) this.#copy(new URL(`${from}/${name}`), `${to}/${name}`);
    }
  }

  /** At which granularities the test finds it; null: it fails otherwise. */
  async run(test: string): Promise<string[] | null> {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", `tests/examples/${test}`],
      cwd: this.directory,
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "null",
    }).output();
    const output = new TextDecoder().decode(stdout);
    if (code !== 0 && !output.includes("CrashError")) return null;
    const failed = output.matchAll(/^.* at (\S+) granularity \.\.\. FAILED/gm);
    return [...new Set([...failed].map(([, granularity]) => granularity!))];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

using copy = new Copy();
const wanted = Deno.args.length === 0 ? Object.keys(examples) : Deno.args;
let [found, wrong] = [0, 0];
for (const name of wanted) {
  const path = `${copy.directory}/examples/${name}`;
  const source = Deno.readTextFileSync(path);
  const test = examples[name]!;
  console.log(`${name}, as it is: ${JSON.stringify(await copy.run(test))}`);
  for (const { what, text } of mutationsOf(source)) {
    Deno.writeTextFileSync(path, text);
    const granularities = await copy.run(test);
    const reason = reasonOf(name, what);
    if (granularities === null) {
      console.log(`  no program: ${what}`);
    } else if (granularities.length > 0) {
      found++;
      console.log(`  found (${granularities.join(", ")}): ${what}`);
      if (reason !== undefined) wrong++;
    } else if (reason !== undefined) {
      console.log(`  harmless, as ${reason}: ${what}`);
    } else {
      wrong++;
      console.log(`  NOT FOUND: ${what}`);
    }
  }
  Deno.writeTextFileSync(path, source);
}
console.log(`${found} found, ${wrong} wrong`);
if (wrong > 0) Deno.exit(1);
