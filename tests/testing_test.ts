import {
  type Granularity,
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { libraryFile } from "./support/library_file.ts";
import { Scratch } from "./support/scratch.ts";
import { granularities } from "./support/store_checks.ts";
import { run } from "./support/subprocess.ts";
import { exists } from "./support/exists.ts";

/** Sets a variable of the environment, or takes it away, for as long as a test runs. */
class Environment implements Disposable {
  readonly #before: string | undefined;
  readonly #name: string;

  constructor(name: string, value: string | undefined) {
    this.#name = name;
    this.#before = Deno.env.get(name);
    this.#set(value);
  }

  #set(value: string | undefined): void {
    if (value === undefined) Deno.env.delete(this.#name);
    else Deno.env.set(this.#name, value);
  }

  [Symbol.dispose](): void {
    this.#set(this.#before);
  }
}

/** What a new map of a file gets. */
function granularityOf(path: string): Granularity {
  using map = Pmem2Map.open(path, { create: true, size: 4096 });
  return map.granularity;
}

const entries = (directory: string) =>
  [...Deno.readDirSync(directory)].map(({ name }) => name);

for (const granularity of granularities) {
  Deno.test(`emulatePmem() gives every new shared map of a file ${granularity} granularity`, () => {
    using scratch = new Scratch();
    const elsewhere = scratch.path("file");
    const natural = granularityOf(elsewhere);
    const environment = Deno.env.toObject();
    {
      using pmem = emulatePmem(granularity);
      assertEquals(granularityOf(pmem.path("file")), granularity);
      assertEquals(granularityOf(elsewhere), granularity);

      // What the code under test asks for is met, or refused, as it would be.
      for (const path of [pmem.path("file"), elsewhere]) {
        using source = Pmem2Source.open(path);
        using descriptor = Pmem2Source.fromFd(source.fd!);
        using reservation = new Pmem2VmReservation(2 ** 20);
        for (const [i, wanted] of granularities.entries()) {
          const options = { granularity: wanted };
          const ways = [
            () => Pmem2Map.from(source, options),
            () => Pmem2Map.from(descriptor, options),
            () => Pmem2Map.open(path, options),
            () => Pmem2Map.open(path, { ...options, write: false }),
            () => reservation.map(path, options),
            () => reservation.map(source, { ...options, at: 4 * 65_536 }),
          ];
          for (const open of ways) {
            if (i < granularities.indexOf(granularity)) {
              const error = assertThrows(open, Pmem2Error);
              assertEquals(error.code, "PMEM2_E_GRANULARITY_NOT_SUPPORTED");
              assertEquals(error.call, "pmem2_map_new");
              assertEquals([...reservation], []);
            } else {
              using map = open();
              assertEquals(map.granularity, granularity);
            }
          }
        }
        // Nothing of these is to last.
        using copy = Pmem2Map.from(source, { sharing: "private" });
        using anonymous = Pmem2Source.anonymous(4096);
        using memory = Pmem2Map.from(anonymous, { granularity: "byte" });
        assertEquals([copy.granularity, memory.granularity], ["byte", "byte"]);
      }
    }
    assertEquals(granularityOf(elsewhere), natural);
    assertEquals(Deno.env.toObject(), environment);
  });
}

Deno.test("emulatePmem() refuses a granularity after all else that libpmem2 refuses", () => {
  using pmem = emulatePmem("page");
  Deno.writeFileSync(pmem.path("empty"), new Uint8Array(0));
  const error = assertThrows(
    () => Pmem2Map.open(pmem.path("empty"), { granularity: "byte" }),
    Pmem2Error,
  );
  assertEquals(error.code, "PMEM2_E_SOURCE_EMPTY");
});

Deno.test("emulatePmem() is seen neither by workers nor by child processes", async () => {
  using scratch = new Scratch();
  const path = scratch.path("file");
  const natural = granularityOf(path);
  const script = `
    import { Pmem2Map } from "@pmem2/pmem2";
    using map = Pmem2Map.open(Deno.args[0] ?? self.name);
    console.log(map.granularity);
    globalThis.postMessage?.(map.granularity);
  `;
  for (const granularity of granularities) {
    using _pmem = emulatePmem(granularity);
    const child = await run(script, { args: [path] });
    assertEquals(child.stdout, `${natural}\n`);

    const file = new URL(
      `../.worker_${crypto.randomUUID()}.js`,
      import.meta.url,
    );
    Deno.writeTextFileSync(
      file,
      script.replace("console.log(map.granularity);", ""),
    );
    const worker = new Worker(file, { type: "module", name: path });
    try {
      const { promise, resolve } = Promise.withResolvers<string>();
      worker.onmessage = ({ data }) => resolve(data);
      assertEquals(await promise, natural);
    } finally {
      worker.terminate();
      Deno.removeSync(file);
    }
  }
});

Deno.test("emulatePmem() is each test file's own with deno test --parallel", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const config = new URL("../deno.json", import.meta.url).pathname;
  for (const granularity of granularities) {
    Deno.writeTextFileSync(
      scratch.path(`${granularity}_test.ts`),
      `
import { Pmem2Map } from "@pmem2/pmem2";
import { emulatePmem, preload, testCrashes } from "@pmem2/pmem2/testing";
import { assertEquals } from "@std/assert";

preload();
const open = (pmem) => Pmem2Map.open(pmem.path("file"), { create: true, size: 65_536 });
const forced = () => Deno.env.get("PMEM2_FORCE_GRANULARITY");
const before = forced();
for (let i = 0; i < 50; i++) {
  Deno.test("round " + i, async () => {
    const pmem = emulatePmem("${granularity}");
    const map = open(pmem);
    assertEquals(map.granularity, "${granularity}");
    assertEquals(forced(), before);
    await new Promise((resolve) => setTimeout(resolve, i % 3));
    map.write(Uint8Array.of(1));
    map.flush(64, 1);
    map.bytes[128] = 1;
    pmem.crash();
    const { 0: kept, 128: lost } = Deno.readFileSync(pmem.path("file"));
    assertEquals([kept, lost], [1, ${granularity === "byte" ? 1 : 0}]);
    pmem[Symbol.dispose]();
    const { moments } = await testCrashes({
      granularity: "${granularity}",
      states: 2,
      async write(pmem) {
        using map = open(pmem);
        map.fill(1, 0, 100);
        await new Promise((resolve) => setTimeout(resolve));
        map.fill(2, 0, 100);
      },
      check(pmem) {
        using map = open(pmem);
        assertEquals(map.granularity, "${granularity}");
      },
    });
    assertEquals(moments, 3);
  });
}
`,
    );
  }
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "-A",
      "--no-check",
      "--parallel",
      `--config=${config}`,
      scratch.directory,
    ],
    env: { NO_COLOR: "1", DENO_JOBS: "3" },
    stdout: "piped",
    stderr: "null",
  }).output();
  const output = new TextDecoder().decode(stdout);
  assertEquals(code, 0, output);
  assert(output.includes("150 passed"), output);
});

Deno.test("emulatePmem() makes its directory in the one that PMEM2_TEST_DIR names", async () => {
  using scratch = new Scratch();
  // Not under /dev, which needs all permissions.
  using other = new Scratch(Deno.makeTempDirSync());
  using _environment = new Environment("PMEM2_TEST_DIR", scratch.directory);
  {
    using pmem = emulatePmem("byte");
    assert(pmem.directory.startsWith(`${scratch.directory}/`));
    using told = emulatePmem("byte", { directory: other.directory });
    assert(told.directory.startsWith(`${other.directory}/`));
  }
  assertEquals(entries(scratch.directory), []);
  // Only if it may be read: nothing is asked.
  const { stdout, stderr } = await run(
    `import { emulatePmem } from "@pmem2/pmem2/testing";
     using pmem = emulatePmem("byte");
     console.log(pmem.directory.startsWith(Deno.args[0]));`,
    {
      flags: ["--allow-read", "--allow-write"],
      args: [scratch.directory],
      env: { TMPDIR: other.directory },
    },
  );
  assertEquals([stdout, stderr], ["false\n", ""]);
});

Deno.test("emulatePmem() leaves the maps alone that there are", () => {
  using scratch = new Scratch();
  using outer = emulatePmem("page", { directory: scratch.directory });
  using before = Pmem2Map.open(outer.path("before"), {
    create: true,
    size: 4096,
  });
  const inner = emulatePmem("byte", { directory: scratch.directory });
  assertEquals(before.granularity, "page");
  using during = Pmem2Map.open(outer.path("during"), {
    create: true,
    size: 4096,
  });
  inner[Symbol.dispose]();
  assertEquals([before.granularity, during.granularity], ["page", "byte"]);
  during.fill(1);
  during.persist();
});

Deno.test("emulatePmem() has a directory of its own, removed with all that is in it", () => {
  using first = emulatePmem("byte");
  const second = emulatePmem("byte");
  assert(first.directory !== second.directory);
  assert(Deno.statSync(second.directory).isDirectory);
  assertEquals(entries(second.directory), []);
  assertEquals(second.path("log"), `${second.directory}/log`);
  assertEquals(entries(second.directory), []);
  Pmem2Map.open(second.path("log"), { createNew: true, size: 4096 }).close();
  Deno.mkdirSync(second.path("folder"));
  Deno.writeTextFileSync(second.path("folder/file"), "text");
  assertEquals(entries(second.directory).sort(), ["folder", "log"]);
  second[Symbol.dispose]();
  assertEquals(exists(second.directory), false);
  assert(exists(first.directory));
});

Deno.test("emulatePmem() makes its directory where it's told, and removes nothing else", () => {
  using scratch = new Scratch();
  Deno.writeTextFileSync(scratch.path("mine"), "text");
  const pmem = emulatePmem("byte", { directory: scratch.directory });
  assert(pmem.directory.startsWith(`${scratch.directory}/`));
  assertEquals(entries(scratch.directory).length, 2);
  pmem[Symbol.dispose]();
  assertEquals(entries(scratch.directory), ["mine"]);
});

Deno.test("emulatePmem() takes null and undefined for no options", () => {
  for (const options of [null, undefined, {}, { directory: undefined }]) {
    using pmem = emulatePmem("byte", options as { directory?: string });
    assert(exists(pmem.directory));
  }
});

Deno.test("emulatePmem() nests: the last one counts", () => {
  using scratch = new Scratch();
  const elsewhere = scratch.path("file");
  const natural = granularityOf(elsewhere);
  {
    using _outer = emulatePmem("byte");
    assertEquals(granularityOf(elsewhere), "byte");
    {
      using _inner = emulatePmem("cache-line");
      assertEquals(granularityOf(elsewhere), "cache-line");
      {
        using _innermost = emulatePmem("page");
        assertEquals(granularityOf(elsewhere), "page");
      }
      assertEquals(granularityOf(elsewhere), "cache-line");
    }
    assertEquals(granularityOf(elsewhere), "byte");
  }
  assertEquals(granularityOf(elsewhere), natural);
});

Deno.test("emulatePmem() may be disposed of out of order", () => {
  using scratch = new Scratch();
  const elsewhere = scratch.path("file");
  const natural = granularityOf(elsewhere);
  const orders = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  for (const order of orders) {
    const emulations = granularities.map((granularity) =>
      emulatePmem(granularity)
    );
    const alive = [0, 1, 2];
    for (const i of order) {
      emulations[i]![Symbol.dispose]();
      alive.splice(alive.indexOf(i), 1);
      // The youngest that is left counts.
      const last = alive.at(-1);
      assertEquals(
        granularityOf(elsewhere),
        last === undefined ? natural : granularities[last],
      );
      for (const [i, { directory }] of emulations.entries()) {
        assertEquals(exists(directory), alive.includes(i));
      }
    }
  }
});

Deno.test("an emulation that is disposed of twice ends no other", () => {
  using scratch = new Scratch();
  const elsewhere = scratch.path("file");
  const natural = granularityOf(elsewhere);
  const first = emulatePmem("byte");
  const second = emulatePmem("page");
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals(granularityOf(elsewhere), "page");
  assert(exists(second.directory));
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  assertEquals(granularityOf(elsewhere), natural);
});

Deno.test("a map of emulated memory outlives the emulation", () => {
  const pmem = emulatePmem("cache-line");
  using map = Pmem2Map.open(pmem.path("file"), { create: true, size: 4096 });
  pmem[Symbol.dispose]();
  assertEquals(map.granularity, "cache-line");
  map.write(Uint8Array.of(1, 2, 3));
  map.persist();
  map.flush();
  map.drain();
  map.deepFlush();
  map.move(10, 0, 3);
  map.fill(4, 20, 1, { flush: false });
  assertEquals(map.bytes[2], 3);
  assertEquals([map.bytes[12], map.bytes[20]], [3, 4]);
});

Deno.test("an emulation whose directory is gone has ended all the same", () => {
  using scratch = new Scratch();
  const natural = granularityOf(scratch.path("file"));
  const pmem = emulatePmem("byte");
  Deno.removeSync(pmem.directory);
  pmem[Symbol.dispose]();
  assertEquals(granularityOf(scratch.path("file")), natural);
  pmem[Symbol.dispose]();
});

Deno.test("emulatePmem() refuses bad arguments, and changes nothing", () => {
  using scratch = new Scratch();
  const environment = Deno.env.toObject();
  // deno-lint-ignore no-explicit-any
  const any = emulatePmem as any;
  const { directory } = scratch;
  const cases: [unknown[], string][] = [
    [[undefined, { directory }], "granularity must be"],
    [["BYTE", { directory }], "granularity must be"],
    [["cache_line", { directory }], "granularity must be"],
    [[0, { directory }], "granularity must be"],
    [["__proto__", { directory }], "granularity must be"],
    [[["byte"], { directory }], "granularity must be"],
    [["byte", directory], "options must be"],
    [["byte", 1], "options must be"],
    [["byte", { directory: 1 }], "directory must be"],
    [["byte", { directory: null }], "directory must be"],
    [["byte", { directory: new URL("file:///") }], "directory must be"],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => any(...args), TypeError, message);
  }
  assertThrows(
    () => emulatePmem("byte", { directory: scratch.path("none") }),
    Deno.errors.NotFound,
  );
  scratch.file("file", 1);
  assertThrows(
    () => emulatePmem("byte", { directory: scratch.path("file") }),
    Deno.errors.NotADirectory,
  );
  assertEquals(Deno.env.toObject(), environment);
  assertEquals(entries(directory), ["file"]);
});

Deno.test("an emulation refuses a wrong name and a wrong this", () => {
  using pmem = emulatePmem("byte");
  // deno-lint-ignore no-explicit-any
  const any = pmem as any;
  for (const name of [undefined, null, 1, {}]) {
    assertThrows(() => any.path(name), TypeError, "name must be a string");
  }
  const { path, [Symbol.dispose]: dispose } = any;
  for (const self of [undefined, null, {}, Object.create(pmem)]) {
    assertThrows(() => path.call(self, "a"), TypeError, "`this` is not");
    assertThrows(() => dispose.call(self), TypeError, "`this` is not");
  }
  assert(exists(pmem.directory));
});

Deno.test("what a caller writes to an emulation's directory does not remove another", () => {
  using scratch = new Scratch();
  const pmem = emulatePmem("byte");
  const { directory } = pmem;
  try {
    // deno-lint-ignore no-explicit-any
    (pmem as any).directory = scratch.directory;
  } catch (error) {
    assert(error instanceof TypeError);
  }
  pmem[Symbol.dispose]();
  assertEquals([exists(directory), exists(scratch.directory)], [false, true]);
});

Deno.test("emulatePmem() needs permission for its directory alone, and leaves nothing behind without", async () => {
  // Not under /dev, which needs all permissions.
  const directory = Deno.makeTempDirSync();
  const library = libraryFile();
  const script = `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { emulatePmem } from "@pmem2/pmem2/testing";
    try {
      using pmem = emulatePmem("cache-line", { directory: Deno.args[0] });
      console.log(pmem.directory.startsWith(Deno.args[0] + "/"));
      const path = pmem.path("file");
      const map = Pmem2Map.open(path, { createNew: true, size: 4096 });
      map.write(Uint8Array.of(1));
      map.write(Uint8Array.of(2), 64, { drain: false });
      pmem.crash();
      using again = Pmem2Map.open(path);
      const bytes = new Uint8Array(65);
      again.read(bytes);
      console.log(bytes[0], bytes[64]);
    } catch (error) {
      console.log(error.constructor.name, error.message);
    }
  `;
  const read = `--allow-read=${directory}`;
  const write = `--allow-write=${directory}`;
  const ffi = `--allow-ffi=${library}`;
  const attempt = async (...flags: string[]) => {
    const ended = await run(script, {
      flags,
      args: [directory],
      env: { PMEM2_LIBRARY: library },
    });
    assertEquals([ended.code, ended.stderr], [0, ""]);
    assertEquals(entries(directory), []);
    return ended.stdout;
  };
  const named = "--allow-env=PMEM2_LIBRARY";
  try {
    assertEquals(await attempt(read, write, ffi, named), "true\n1 0\n");
    assert(
      (await attempt(ffi, named)).startsWith(
        `NotCapable Requires write access to`,
      ),
    );
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("preload() opens all that a test could be blamed for", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const config = new URL("../deno.json", import.meta.url).pathname;
  const file = scratch.path("leak_test.ts");
  const attempt = async (line: string) => {
    Deno.writeTextFileSync(
      file,
      `
import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { emulatePmem, preload } from "@pmem2/pmem2/testing";
${line}
Deno.test({ name: "all of it", sanitizeResources: true, sanitizeOps: true, async fn() {
  {
    using pmem = emulatePmem("cache-line");
    const path = pmem.path("file");
    using source = Pmem2Source.open(path, { createNew: true, size: 65_536 });
    using map = Pmem2Map.from(source, { offset: 0, length: 65_536 });
    map.fill(1);
    map.persist();
    await map.persistAsync();
    pmem.crash();
  }
  using anonymous = Pmem2Source.anonymous(65_536);
  using memory = Pmem2Map.from(anonymous);
  memory.write(new Uint8Array(1000), 0, { temporal: false });
  await memory.persistAsync();
  using reservation = new Pmem2VmReservation(2 ** 20);
  reservation.map(anonymous);
  reservation.findFirst();
  try { anonymous.deviceId(); } catch { /* It has none. */ }
} });
`,
    );
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", "--quiet", `--config=${config}`, file],
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    }).output();
    return code;
  };
  assertEquals(await attempt("preload();"), 0);
  assert(await attempt("") !== 0);
});
