import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { candidates } from "../ffi/c/library_path.ts";
import { Scratch } from "./support/scratch.ts";
import { noTerminal, runOnTerminal } from "./support/terminal.ts";
import { testUnless } from "./support/test_unless.ts";

const root = new URL("..", import.meta.url).pathname;
const usual = candidates("libpmem2.so.1").slice(1);
const first = usual.find(exists);

const obstacle = noTerminal ??
  (first === undefined ? "needs libpmem2 where distributions put it" : null);

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

const COUNTER = `
import { libraryInfo, Pmem2Map } from "@pmem2/pmem2";
using map = Pmem2Map.open("counter.bin", { create: true, size: 4096 });
const counter = new BigUint64Array(map.buffer, 0, 1);
counter[0] += 1n;
map.persist(counter);
console.log(\`run \${counter[0]} with \${libraryInfo().path}\`);
`;

/**
 * Runs the counter on a terminal, in a folder where a file lies that Deno would
 * take for the library.
 */
async function count(
  flags: string[],
  answer: (question: string) => string,
  preamble = "",
): Promise<{ code: number; stdout: string; questions: string[] }> {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const { directory } = scratch;
  Deno.writeTextFileSync(`${directory}/libpmem2.so.1`, "a decoy");
  Deno.writeTextFileSync(`${directory}/counter.js`, preamble + COUNTER);
  Deno.writeTextFileSync(
    `${directory}/deno.json`,
    JSON.stringify({ imports: { "@pmem2/pmem2": `${root}mod.ts` } }),
  );
  const questions: string[] = [];
  const ended = await runOnTerminal(
    [Deno.execPath(), "run", "--no-lock", "--no-check", ...flags, "counter.js"],
    {
      cwd: directory,
      answer(shown) {
        const question = /Deno requests .*\.$/m.exec(shown)![0];
        questions.push(question);
        return answer(question);
      },
    },
  );
  return { ...ended, questions };
}

const FILES = ["--allow-read", "--allow-write"];

testUnless(
  obstacle,
  "on a terminal Deno asks for the library that is there",
  async () => {
    const { code, stdout, questions } = await count(FILES, () => "y");
    assertEquals(code, 0, stdout);
    assertEquals(questions, [
      `Deno requests ffi access to "${first}".`,
      // For the view.
      "Deno requests ffi access.",
    ]);
    assertStringIncludes(stdout, `run 1 with ${first}`);
  },
);

testUnless(
  obstacle,
  "on a terminal one answer may be enough for all of it",
  async () => {
    const { code, stdout, questions } = await count(FILES, () => "A");
    assertEquals(code, 0, stdout);
    assertEquals(questions, [`Deno requests ffi access to "${first}".`]);
    assertStringIncludes(stdout, "run 1 with ");
  },
);

testUnless(
  obstacle,
  "on a terminal the counter runs without a flag",
  async () => {
    const { code, stdout, questions } = await count([], () => "y");
    assertEquals(code, 0, stdout);
    assertStringIncludes(stdout, "run 1 with ");
    assert(questions.every((one) => !one.includes('"libpmem2')), stdout);
    assertEquals(questions.filter((one) => one.includes("ffi")).length, 2);
  },
);

testUnless(
  obstacle,
  "on a terminal a no is an error that says what to do",
  async () => {
    const { code, stdout } = await count(FILES, () => "n");
    assertEquals(code, 1, stdout);
    assertStringIncludes(
      stdout,
      `NotCapable: Cannot load libpmem2 without permission: run again with --allow-ffi, or with --allow-ffi=${first} `,
    );
  },
);

testUnless(
  obstacle,
  "on a terminal, where nothing is at the path, Deno is made to ask for all",
  async () => {
    // As on a distribution with another folder, for each path.
    const elsewhere = `
      const { dlopen } = Deno;
      Deno.dlopen = (path, symbols) =>
        dlopen(path.replace("/libpmem2", "/elsewhere"), symbols);
    `;
    const { code, stdout, questions } = await count(
      FILES,
      () => "y",
      elsewhere,
    );
    assertEquals(code, 0, stdout);
    assertEquals(questions.length, 2);
    assertEquals(questions[1], "Deno requests ffi access.");
    assertStringIncludes(stdout, "run 1 with libpmem2.so.1");
  },
);
