import { assert, assertEquals } from "@std/assert";

/** What `deno doc` shows of the module, as one line of words each. */
async function documentation(...name: string[]): Promise<string> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--filter", name.join("."), "mod.ts"],
    cwd: new URL("../..", import.meta.url),
    env: { NO_COLOR: "1" },
    stderr: "null",
  }).output();
  assertEquals(code, 0, name.join("."));
  return new TextDecoder().decode(stdout).replaceAll(/\s+/g, " ");
}

/** What no binding can prevent, and where a user reads it. */
const sentences: [hazard: string, name: string[], sentence: string][] = [
  [
    "H4",
    ["Pmem2VmReservation"],
    "A reservation belongs to one worker, or to the main one: libpmem2 takes no lock when it searches.",
  ],
  [
    "H4",
    ["Pmem2VmReservation", "unsafeHandle"],
    "to use it on another thread would end the process or corrupt memory",
  ],
  [
    "H28",
    ["Pmem2Map"],
    "So the error stays, for all maps of the source: close them, open the source again, and store again.",
  ],
  [
    "H12",
    ["Pmem2Map"],
    "on a file system without DAX it unmaps the place where the map is to go",
  ],
  [
    "H3",
    ["Pmem2Map"],
    "It changes the working directory: while one worker maps, the others had better name their files by absolute paths.",
  ],
  [
    "H17",
    ["Pmem2Source", "fromFd"],
    "it must not be closed before the source's last use. If it is, and the number is given to another file, then that file is what gets mapped.",
  ],
  [
    "H22",
    ["Pmem2Map", "buffer"],
    "don't close the map while something else is still at work on the memory",
  ],
  [
    "H22",
    ["Pmem2Map", "bytes"],
    "and all that is said there holds",
  ],
  [
    "H22",
    ["Pmem2Map", "close"],
    "Nothing else may still be at work on the memory, such as an asynchronous operation that was handed a view",
  ],
];

for (const [hazard, name, sentence] of sentences) {
  Deno.test(`${hazard} is documented at ${name.join(".")}`, async () => {
    const text = await documentation(...name);
    assert(text.includes(sentence), text);
  });
}
