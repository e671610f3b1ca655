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
    "A reservation belongs to the worker, or the main thread, that made it: libpmem2 takes no lock when it searches.",
  ],
  [
    "H4",
    ["Pmem2VmReservation", "unsafeHandle"],
    "must not use it on another thread, since libpmem2 takes no lock when it searches. Either ends the process or corrupts memory.",
  ],
  [
    "H27",
    ["OpenOptions"],
    "It does not hold on file systems that copy blocks on each write",
  ],
  [
    "H28",
    ["Pmem2Map"],
    "all maps of the source go on throwing the error. Close them, open the source again, and store again.",
  ],
  [
    "H12",
    ["Pmem2VmReservation"],
    "While libpmem2 maps a file on a file system without DAX, it leaves the place of the map free for a moment",
  ],
  [
    "H3",
    ["Pmem2Map"],
    "While libpmem2 maps a file, it changes the working directory of the whole process for a moment.",
  ],
  [
    "H17",
    ["Pmem2Source", "fromFd"],
    "If the descriptor is closed before that and its number is given to another file, the other file is mapped.",
  ],
  [
    "H22",
    ["Pmem2Map", "buffer"],
    "Do not close the map while an asynchronous operation still uses a view on it",
  ],
  [
    "H22",
    ["Pmem2Map", "bytes"],
    "Everything that is said about the buffer applies to it.",
  ],
  [
    "H22",
    ["Pmem2Map", "close"],
    "No asynchronous operation may still use a view on the map when it is unmapped",
  ],
];

for (const [hazard, name, sentence] of sentences) {
  Deno.test(`${hazard} is documented at ${name.join(".")}`, async () => {
    const text = await documentation(...name);
    assert(text.includes(sentence), text);
  });
}
