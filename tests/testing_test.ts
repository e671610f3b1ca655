import { type Granularity, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { granularities } from "./support/store_checks.ts";
import { run } from "./support/subprocess.ts";
import { exists } from "./support/exists.ts";

const variable = "PMEM2_FORCE_GRANULARITY";
const values = { "byte": "BYTE", "cache-line": "CACHE_LINE", "page": "PAGE" };

/** Sets the variable, or takes it away, for as long as a test runs. */
class Environment implements Disposable {
  readonly #before = Deno.env.get(variable);

  constructor(value: string | undefined) {
    Environment.#set(value);
  }

  static #set(value: string | undefined): void {
    if (value === undefined) Deno.env.delete(variable);
    else Deno.env.set(variable, value);
  }

  [Symbol.dispose](): void {
    Environment.#set(this.#before);
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
  Deno.test(`emulatePmem() gives every new map ${granularity} granularity`, () => {
    using scratch = new Scratch();
    using _environment = new Environment(undefined);
    const elsewhere = scratch.path("file");
    const natural = granularityOf(elsewhere);
    {
      using pmem = emulatePmem(granularity);
      assertEquals(granularityOf(pmem.path("file")), granularity);
      assertEquals(granularityOf(elsewhere), granularity);
      assertEquals(Deno.env.get(variable), values[granularity]);

      // What the code under test asks for is met, or refused, as it would be.
      using source = Pmem2Source.open(elsewhere);
      for (const [i, wanted] of granularities.entries()) {
        if (i < granularities.indexOf(granularity)) {
          assertThrows(
            () => Pmem2Map.from(source, { granularity: wanted }),
            Error,
            "PMEM2_E_GRANULARITY_NOT_SUPPORTED",
          );
        } else {
          Pmem2Map.from(source, { granularity: wanted }).close();
        }
      }
    }
    assertEquals(granularityOf(elsewhere), natural);
    assertEquals(Deno.env.has(variable), false);
  });
}

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

for (const before of [undefined, "PAGE", "CACHE_LINE", ""]) {
  const name = before === undefined ? "unset" : JSON.stringify(before);
  Deno.test(`emulatePmem() nests and restores what was set: ${name}`, () => {
    using _environment = new Environment(before);
    const get = () => Deno.env.get(variable);
    {
      using _outer = emulatePmem("byte");
      assertEquals(get(), "BYTE");
      {
        using _inner = emulatePmem("cache-line");
        assertEquals(get(), "CACHE_LINE");
        {
          using _innermost = emulatePmem("page");
          assertEquals(get(), "PAGE");
        }
        assertEquals(get(), "CACHE_LINE");
      }
      assertEquals(get(), "BYTE");
    }
    assertEquals(get(), before);
  });

  Deno.test(`emulatePmem() may be disposed of out of order, and restores what was set: ${name}`, () => {
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ];
    using _environment = new Environment(before);
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
          Deno.env.get(variable),
          last === undefined ? before : values[granularities[last]!],
        );
        for (const [i, { directory }] of emulations.entries()) {
          assertEquals(exists(directory), alive.includes(i));
        }
      }
    }
  });
}

Deno.test("an emulation that is disposed of twice ends no other", () => {
  using _environment = new Environment(undefined);
  const first = emulatePmem("byte");
  const second = emulatePmem("page");
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals(Deno.env.get(variable), "PAGE");
  assert(exists(second.directory));
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  assertEquals(Deno.env.get(variable), undefined);
});

Deno.test("a map of emulated memory outlives the emulation", () => {
  const pmem = emulatePmem("cache-line");
  using map = Pmem2Map.open(pmem.path("file"), { create: true, size: 4096 });
  pmem[Symbol.dispose]();
  assertEquals(map.granularity, "cache-line");
  map.write(Uint8Array.of(1, 2, 3));
  map.persist();
  assertEquals(map.bytes[2], 3);
});

Deno.test("an emulation whose directory is gone has ended all the same", () => {
  using _environment = new Environment(undefined);
  const pmem = emulatePmem("byte");
  Deno.removeSync(pmem.directory);
  pmem[Symbol.dispose]();
  assertEquals(Deno.env.has(variable), false);
  pmem[Symbol.dispose]();
});

Deno.test("emulatePmem() refuses bad arguments, and changes nothing", () => {
  using scratch = new Scratch();
  using _environment = new Environment("PAGE");
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
  assertEquals(Deno.env.get(variable), "PAGE");
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

Deno.test("emulatePmem() needs permission for its variable and its directory, and leaves nothing behind without", async () => {
  // Not under /dev, which needs all permissions.
  const directory = Deno.makeTempDirSync();
  const script = `
    import { emulatePmem } from "@pmem2/pmem2/testing";
    try {
      using pmem = emulatePmem("byte", { directory: Deno.args[0] });
      console.log(pmem.directory.startsWith(Deno.args[0] + "/"));
    } catch (error) {
      console.log(error.constructor.name, error.message);
    }
  `;
  const environment = `--allow-env=${variable}`;
  const read = `--allow-read=${directory}`;
  const write = `--allow-write=${directory}`;
  const attempt = async (...flags: string[]) => {
    const ended = await run(script, { flags, args: [directory] });
    assertEquals([ended.code, ended.stderr], [0, ""]);
    assertEquals(entries(directory), []);
    return ended.stdout;
  };
  try {
    assertEquals(await attempt(environment, read, write), "true\n");
    assertEquals(
      await attempt(read, write),
      `NotCapable Requires env access to "${variable}", run again with the --allow-env flag\n`,
    );
    assert(
      (await attempt(environment)).startsWith(
        `NotCapable Requires write access to`,
      ),
    );
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
