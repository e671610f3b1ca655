import { assert, assertEquals } from "@std/assert";
import * as libc from "../ffi/c/libc_symbols.ts";
import { libffiSymbols } from "../ffi/c/libffi_symbols.ts";
import * as libpmem2 from "../ffi/c/libpmem2_symbols.ts";
import type { SymbolTable } from "../ffi/c/symbol_table.ts";
import { exportedFunctions } from "./support/elf.ts";
import { libraryFile } from "./support/library_file.ts";
import { testUnless } from "./support/test_unless.ts";

/** All that is found through libpmem2's handle. */
const tables = { ...libpmem2, ...libc };

/** Dropped in 2.x; the module calls but the first, where it is. */
const only1x = [
  "pmem2_config_set_vdm",
  "pmem2_memcpy_async",
  "pmem2_memmove_async",
  "pmem2_memset_async",
];

interface Declared {
  readonly table: string;
  readonly key: string;
  readonly name: string;
  readonly parameters: readonly string[];
  readonly result: string;
  readonly optional: boolean;
}

/** What the tables declare of libpmem2 and libc, but no aliases and twins. */
const declared: Declared[] = Object.entries(tables).flatMap((
  [table, symbols],
) =>
  Object.entries(symbols as SymbolTable).map(([key, symbol]) => ({
    table,
    key,
    name: symbol.name ?? key,
    parameters: symbol.parameters,
    result: symbol.result,
    optional: symbol.optional ?? false,
  }))
);
const ofLibpmem2 = declared.filter(({ name }) => name.startsWith("pmem2_"));

Deno.test("the 49 functions that every libpmem2 exports are declared, and no others", () => {
  const exported = exportedFunctions(libraryFile())
    .filter((name) => name.startsWith("pmem2_"));
  const common = exported.filter((name) => !only1x.includes(name));
  assertEquals(common.length, 49);
  const names = new Set(
    ofLibpmem2.filter(({ optional }) => !optional).map(({ name }) => name),
  );
  assertEquals([...names].sort(), common);
  const optional = ofLibpmem2.filter(({ optional }) => optional);
  for (const { name } of optional) assert(only1x.includes(name), name);
});

for (const [name, table] of Object.entries(tables)) {
  Deno.test(`the library has every function of ${name}`, () => {
    const library = Deno.dlopen(
      libraryFile(),
      table as unknown as Deno.ForeignLibraryInterface,
    );
    const optional = new Set(
      declared.filter(({ optional }) => optional).map(({ key }) => key),
    );
    assertEquals(
      Object.keys(library.symbols).sort(),
      Object.keys(table).sort(),
    );
    for (const [key, symbol] of Object.entries(library.symbols)) {
      assert(typeof symbol === "function" || optional.has(key), key);
    }
    library.close();
  });
}

Deno.test("no nonblocking function is optional", () => {
  // Where it is missing Deno would give a function that fails, not null.
  for (const [table, symbols] of Object.entries(tables)) {
    for (const [key, symbol] of Object.entries(symbols as SymbolTable)) {
      assert(!(symbol.nonblocking && symbol.optional), `${table}.${key}`);
    }
  }
});

const libffi = ["libffi.so.8", "libffi.so.7"].find((name) => {
  try {
    Deno.dlopen(name, {}).close();
    return true;
  } catch {
    return false;
  }
});

testUnless(
  libffi === undefined ? "there is no libffi" : null,
  "libffi has every function of libffiSymbols",
  () => {
    const library = Deno.dlopen(
      libffi!,
      libffiSymbols as unknown as Deno.ForeignLibraryInterface,
    );
    for (const symbol of Object.values(library.symbols)) {
      assertEquals(typeof symbol, "function");
    }
    library.close();
  },
);

/** The prototypes in C's source text, by name, with single spaces. */
function prototypes(text: string): Map<string, string> {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/__attribute__.*/g, ";").replace(/\s+/g, " ").replace(/ ;/g, ";");
  const found = code.matchAll(
    /((?:const )?(?:(?:struct|enum) )?\w+ \*?)(pmem2_\w+)\(([^()]*)\);/g,
  );
  return new Map(
    [...found].map(([, type, name, parameters]) => [
      name!,
      `${type}${name}(${parameters!.trim()});`,
    ]),
  );
}

const header = ["/usr/include", "/usr/local/include"]
  .map((folder) => `${folder}/libpmem2`)
  .find((folder) => {
    try {
      return Deno.statSync(`${folder}.h`).isFile;
    } catch {
      return false;
    }
  });
const noHeader = header === undefined ? "libpmem2.h is not installed" : null;

function headerPrototypes(): Map<string, string> {
  const files = [
    `${header}.h`,
    ...[...Deno.readDirSync(header!)].map(({ name }) => `${header}/${name}`),
  ];
  return prototypes(files.map((file) => Deno.readTextFileSync(file)).join());
}

testUnless(
  noHeader,
  "the C signatures in libpmem2_symbols.ts are those of libpmem2.h",
  () => {
    const source = Deno.readTextFileSync(
      new URL("../ffi/c/libpmem2_symbols.ts", import.meta.url),
    );
    const comments = [...source.matchAll(/^ *\/\/ (.*)$/gm)]
      .map(([, text]) => text).join("\n");
    const quoted = prototypes(comments);
    const truth = headerPrototypes();
    const names = new Set(ofLibpmem2.map(({ name }) => name));
    assertEquals([...quoted.keys()].sort(), [...names].sort());
    for (const [name, text] of quoted) assertEquals(text, truth.get(name));
  },
);

/** What Deno may call a C parameter or result of this type. */
function denoTypes(c: string): string[] {
  if (c.includes("*")) return ["u64", "buffer"];
  const type = c.replace(/ \w+$/, "");
  if (/^pmem2_\w+_fn$/.test(c.trim()) || type.endsWith("_fn")) return ["u64"];
  if (/^(size_t|uint64_t)\b/.test(c)) return ["u64"];
  if (/^int\b/.test(c)) return ["i32"];
  if (/^(unsigned|enum)\b/.test(c)) return ["u32"];
  if (/^void\b/.test(c)) return ["void"];
  throw new Error(`Unknown type: ${c}`);
}

testUnless(
  noHeader,
  "the Deno signatures in libpmem2_symbols.ts are those of libpmem2.h",
  () => {
    const truth = headerPrototypes();
    for (const { name, parameters, result } of ofLibpmem2) {
      const [, type, list] = /^(.*?)pmem2_\w+\((.*)\);$/.exec(
        truth.get(name)!,
      )!;
      const expected = list === "void"
        ? []
        : list!.split(", ").filter((text) => text !== "...");
      assertEquals(parameters.length, expected.length, name);
      for (const [i, parameter] of parameters.entries()) {
        assert(
          denoTypes(expected[i]!).includes(parameter),
          `${name}: ${parameter} for ${expected[i]}`,
        );
      }
      // C's type ends where the name begins; a pointer's star is its own.
      const returned = denoTypes(type!.trimEnd());
      assert(returned.includes(result), `${name}: ${result} for ${type}`);
      assert(result !== "buffer", name);
    }
  },
);
