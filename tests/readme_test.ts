import { assert, assertEquals } from "@std/assert";
import { Scratch } from "./support/scratch.ts";

const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

interface Block {
  readonly language: string;
  readonly text: string;
}

/** The blocks of code of the README, in order. */
function blocks(): Block[] {
  const text = Deno.readTextFileSync(`${root}/README.md`);
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .map(([, language, text]) => ({ language: language!, text: text! }));
}

/** The name that a program's first line gives it. */
function nameOf({ language, text }: Block): string | undefined {
  return language === "ts" ? /^\/\/ (\w+\.ts)$/m.exec(text)?.[1] : undefined;
}

/** The commands of a block that run one of the programs. */
function commandsOf({ language, text }: Block, programs: string[]): string[] {
  if (language !== "sh") return [];
  return text.replaceAll("\\\n", "").split("\n")
    .filter((line) => line.startsWith("deno "))
    .filter((line) => programs.some((name) => line.split(" ").includes(name)));
}

/** A project beside a clone, as the README says: its programs, its deno.json. */
function project(scratch: Scratch, all: Block[]): string {
  Deno.symlinkSync(root, scratch.path("pmem2"));
  const directory = scratch.path("project");
  Deno.mkdirSync(directory);
  const config = all.find(({ language }) => language === "json")!;
  const { imports } = JSON.parse(config.text);
  const own = JSON.parse(Deno.readTextFileSync(`${root}/deno.json`)).imports;
  Deno.writeTextFileSync(
    `${directory}/deno.json`,
    JSON.stringify({
      imports: { ...imports, "@std/assert": own["@std/assert"] },
      lock: false,
    }),
  );
  for (const block of all) {
    const name = nameOf(block);
    if (name !== undefined) {
      Deno.writeTextFileSync(`${directory}/${name}`, block.text);
    }
  }
  return directory;
}

const name =
  "the README's programs run as it says, with the flags that it gives";
const ignore = Boolean(Deno.env.get("PMEM2_LIBRARY"));

// Those flags don't let the variable be read.
Deno.test({ name, ignore }, async (t) => {
  const all = blocks();
  const programs = all.map(nameOf).filter((name) => name !== undefined);
  assertEquals(new Set(programs).size, programs.length);
  const commands = all.flatMap((block) => commandsOf(block, programs));
  for (const name of programs) {
    assert(
      commands.some((command) => command.split(" ").includes(name)),
      `The README doesn't say how to run ${name}`,
    );
  }
  using scratch = new Scratch(Deno.makeTempDirSync());
  const cwd = project(scratch, all);
  const path = `${new URL(".", `file://${Deno.execPath()}`).pathname}:${
    Deno.env.get("PATH")
  }`;
  for (const command of commands) {
    await t.step(command, async () => {
      // Programs may behave in another way the second time.
      const runs = command.startsWith("deno test") ? 1 : 2;
      for (let run = 0; run < runs; run++) {
        const { code, stdout, stderr } = await new Deno.Command("sh", {
          args: ["-c", command],
          cwd,
          env: { NO_COLOR: "1", PATH: path },
          stdin: "null",
        }).output();
        const decoder = new TextDecoder();
        assertEquals(code, 0, decoder.decode(stderr));
        assert(stdout.length > 0);
      }
    });
  }
});

Deno.test("the README's links lead to something", () => {
  const text = Deno.readTextFileSync(`${root}/README.md`);
  const links = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link!);
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-")
  );
  assert(links.length > 3);
  for (const link of links) {
    if (/^https?:/.test(link)) continue;
    if (link.startsWith("#")) assert(headings.includes(link.slice(1)), link);
    else Deno.statSync(`${root}/${link}`);
  }
  for (const [, name] of text.matchAll(/`(examples\/\w+\.ts)`/g)) {
    Deno.statSync(`${root}/${name}`);
  }
});
