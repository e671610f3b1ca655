import { libraryInfo, Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { older } from "../ffi/c/library.ts";
import { attempt, loadError, UnfitLibrary } from "../ffi/c/library_error.ts";
import { candidates } from "../ffi/c/library_path.ts";
import { copyWithout } from "./support/elf.ts";
import { libraryFile } from "./support/library_file.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { exists } from "./support/exists.ts";

/** What a first use throws, as lines: the error's name, then its message. */
async function firstUse(
  options: Parameters<typeof run>[1],
  preamble = "",
): Promise<{ name: string; message: string }> {
  const { code, stdout, stderr } = await run(
    `
    ${preamble}
    const { libraryInfo } = await import("@pmem2/pmem2");
    try {
      console.log(JSON.stringify({ name: "none", message: libraryInfo().path }));
    } catch (error) {
      const { name, message } = error as Error;
      console.log(JSON.stringify({ name, message }));
    }
    `,
    options,
  );
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  return JSON.parse(stdout);
}

Deno.test("libraryInfo() tells the path and the version of the symbols", () => {
  const { path, symbolVersion } = libraryInfo();
  assert(
    candidates("libpmem2.so.1").includes(path) || Deno.env.has("PMEM2_LIBRARY"),
  );
  assertMatch(symbolVersion, /^LIBPMEM2_[12]\.0$/);
  assertEquals(libraryInfo(), { path, symbolVersion });
});

Deno.test("libraryInfo() keeps to the library that was opened first", () => {
  const { path } = libraryInfo();
  const before = Deno.env.get("PMEM2_LIBRARY");
  Deno.env.set("PMEM2_LIBRARY", "/nowhere/libpmem2.so.1");
  try {
    assertEquals(libraryInfo().path, path);
    using source = Pmem2Source.anonymous(4096);
    using map = Pmem2Map.from(source);
    assertEquals(map.size, 4096);
  } finally {
    if (before === undefined) Deno.env.delete("PMEM2_LIBRARY");
    else Deno.env.set("PMEM2_LIBRARY", before);
  }
});

Deno.test("the module is imported without any permission", async () => {
  const ended = await run(
    `
    import * as pmem2 from "@pmem2/pmem2";
    import * as testing from "@pmem2/pmem2/testing";
    console.log(Object.keys(pmem2).join(), Object.keys(testing).join());
    `,
    { flags: [] },
  );
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout:
      "Pmem2Error,Pmem2Map,Pmem2Source,Pmem2VmReservation,libraryInfo CrashError,emulatePmem,preload,testCrashes\n",
    stderr: "",
  });
});

Deno.test("the library is opened at first use and not at import", async () => {
  const ended = await run(`
    import { Pmem2Source } from "@pmem2/pmem2";
    import "@pmem2/pmem2/testing";
    const loaded = () =>
      Deno.readTextFileSync("/proc/self/maps").includes("libpmem2");
    console.log(loaded());
    Pmem2Source.anonymous(4096).close();
    console.log(loaded());
  `);
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout: "false\ntrue\n",
    stderr: "",
  });
});

Deno.test("every class opens the library at its first use", async () => {
  for (
    const use of [
      "Pmem2Source.anonymous(4096)",
      "new Pmem2VmReservation(4096)",
      "Pmem2Map.open(Deno.execPath(), { write: false })",
      "libraryInfo()",
    ]
  ) {
    const { code, signal, stderr } = await run(`
      import * as pmem2 from "@pmem2/pmem2";
      const { Pmem2Source, Pmem2Map, Pmem2VmReservation, libraryInfo } = pmem2;
      ${use};
    `);
    assertEquals({ code, signal, stderr }, {
      code: 0,
      signal: null,
      stderr: "",
    });
  }
});

Deno.test("libraryInfo() takes the path in PMEM2_LIBRARY", async () => {
  const absolute = candidates("libpmem2.so.1").slice(1).find(exists) ??
    libraryInfo().path;
  assertEquals(await firstUse({ env: { PMEM2_LIBRARY: absolute } }), {
    name: "none",
    message: absolute,
  });
});

Deno.test("libraryInfo() tries nothing but PMEM2_LIBRARY", async () => {
  const path = "/nowhere/libpmem2.so.1";
  const { name, message } = await firstUse({ env: { PMEM2_LIBRARY: path } });
  assertEquals(name, "Error");
  assertStringIncludes(message, "Cannot load libpmem2 from PMEM2_LIBRARY");
  assertStringIncludes(message, path);
});

Deno.test("libraryInfo() refuses another library in PMEM2_LIBRARY", async () => {
  const { name, message } = await firstUse({
    env: { PMEM2_LIBRARY: "libm.so.6" },
  });
  assertEquals(name, "Error");
  assertStringIncludes(message, "Cannot load libpmem2 from PMEM2_LIBRARY");
  assertStringIncludes(message, "pmem2_errormsg");
});

Deno.test("libraryInfo() takes an empty PMEM2_LIBRARY for none", async () => {
  const { name } = await firstUse({ env: { PMEM2_LIBRARY: "" } });
  assertEquals(name, "none");
});

Deno.test("libraryInfo() reads no variable that it may not read", async () => {
  const { name } = await firstUse({
    flags: ["--allow-ffi"],
    env: { PMEM2_LIBRARY: "/nowhere/libpmem2.so.1" },
  });
  assertEquals(name, "none");
});

Deno.test("libraryInfo() says how to install a library that is missing", async () => {
  const missing = candidates("libpmem2.so.1").slice(1)
    .filter((path) => !exists(path));
  assert(missing.length > 0);
  const { name, message } = await firstUse({
    flags: [`--allow-ffi=${missing.join()}`],
  });
  assertEquals(name, "Error");
  assertStringIncludes(
    message,
    "Cannot load libpmem2 as it is not installed, or not at a path that --allow-ffi grants\n",
  );
  assertStringIncludes(message, "/sbin/ldconfig -p | grep libpmem2");
  assertMatch(message, /Debian, Ubuntu: +sudo apt-get install libpmem2/);
  assertMatch(message, /Fedora: +sudo dnf install libpmem2/);
  assertMatch(message, /Arch Linux: +\S/);
  assertStringIncludes(message, "PMEM2_LIBRARY");
  for (const path of missing) assertStringIncludes(message, path);
});

Deno.test("libraryInfo() names the path that is there and not granted", async () => {
  const usual = candidates("libpmem2.so.1").slice(1);
  const [there, missing] = [
    usual.find(exists),
    usual.find((it) => !exists(it)),
  ];
  if (there === undefined || missing === undefined) return;
  const { name, message } = await firstUse({
    flags: [`--allow-ffi=${missing}`, `--allow-read=${usual.join()}`],
  });
  assertEquals(name, "NotCapable");
  assertStringIncludes(message, `--allow-ffi=${there} `);
});

/** As if nothing had its name: Deno looks for another, and the answer names it. */
const WITHOUT_IT = `
  const { dlopen } = Deno;
  const hide = (path: string, symbols: Deno.ForeignLibraryInterface) => {
    try {
      return dlopen(path.replace("libpmem2", "libpmem2_none"), symbols);
    } catch (error) {
      throw new Error((error as Error).message.replace("_none", ""));
    }
  };
  Object.assign(Deno, { dlopen: hide });
`;

Deno.test("libraryInfo() says that it is not installed", async () => {
  const { name, message } = await firstUse({
    env: { PMEM2_LIBRARY: "" },
  }, WITHOUT_IT);
  assertEquals(name, "Error");
  assertMatch(
    message,
    /^Cannot load libpmem2 as it is not installed\n\nInstall/,
  );
  assertStringIncludes(message, "sudo apt-get install libpmem2");
  for (const path of candidates("libpmem2.so.1")) {
    assertStringIncludes(message, `\n  ${path}: `);
  }
});

Deno.test("libraryInfo() looks in no working directory", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const decoy = scratch.path("libpmem2.so.1");
  Deno.copyFileSync(libraryFile(), decoy);
  Deno.copyFileSync(libraryFile(), scratch.path("libffi.so.8"));
  for (const granted of [scratch.directory, decoy]) {
    const { name, message } = await firstUse({
      flags: [`--allow-ffi=${granted}`, `--allow-read=${scratch.directory}`],
    }, `Deno.chdir(${JSON.stringify(scratch.directory)});`);
    assertEquals(name, "NotCapable", message);
    assertStringIncludes(message, "--allow-ffi=/");
    assert(!message.includes(scratch.directory), message);
  }
});

Deno.test("libraryInfo() opens nothing that is denied", async () => {
  const denied = candidates("libpmem2.so.1").slice(1);
  const { name, message } = await firstUse({
    flags: ["--allow-ffi", `--deny-ffi=${denied.join()}`],
  });
  assertEquals(name, "NotCapable", message);
});

Deno.test("libraryInfo() says that a library is too old", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const path = scratch.path("libpmem2.so.1");
  copyWithout(["pmem2_source_pread_mcsafe"], libraryFile(), path);
  const { name, message } = await firstUse({ env: { PMEM2_LIBRARY: path } });
  assertEquals(name, "Error");
  assertStringIncludes(
    message,
    `Cannot load libpmem2 from PMEM2_LIBRARY as ${path} is older than libpmem2 1.12;`,
  );
});

Deno.test("libraryInfo() names what libpmem2 needs and can't find", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const path = scratch.path("libpmem2.so.1");
  const bytes = Deno.readFileSync(libraryFile());
  // As Latin-1 each byte is a character.
  const text = new TextDecoder("latin1").decode(bytes);
  const at = text.indexOf("\0libc.so.6\0");
  assert(at > 0);
  bytes[at + "\0libc.so.".length] = "X".charCodeAt(0);
  Deno.writeFileSync(path, bytes);
  const { name, message } = await firstUse({ env: { PMEM2_LIBRARY: path } });
  assertEquals(name, "Error");
  assertStringIncludes(
    message,
    "PMEM2_LIBRARY as libc.so.X, which it needs, is missing or may not be read;",
  );
  assert(!message.includes("not installed"), message);
});

Deno.test("libraryInfo() says that a file is no library", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  const path = scratch.path("libpmem2.so.1");
  for (
    const content of [
      "",
      "no library, but a text that is long enough\n".repeat(9),
    ]
  ) {
    Deno.writeTextFileSync(path, content);
    const { message } = await firstUse({ env: { PMEM2_LIBRARY: path } });
    assertStringIncludes(message, `as the system refuses ${path};`);
    assertMatch(message, /: (file too short|invalid ELF header)$/);
  }
});

Deno.test("loadError() names the cause, whichever place had it", () => {
  const path = "/usr/lib/libpmem2.so.1";
  const said = (message: string) =>
    attempt(path, new Error(`Could not open library: ${message}`));
  const missing = attempt(
    "libpmem2.so.1",
    new Error(
      "Could not open library: Could not open library: libpmem2.so.1: cannot open shared object file: No such file or directory",
    ),
  );
  for (
    const [attempts, headline] of [
      [[missing], "it is not installed"],
      [
        [said(`${path}: cannot open shared object file: Not a directory`)],
        "it is not installed",
      ],
      [
        [said(`${path}: cannot open shared object file: Permission denied`)],
        `this user may not read ${path}`,
      ],
      [
        [said(
          "libndctl.so.6: cannot open shared object file: No such file or directory",
        )],
        "libndctl.so.6, which it needs, is missing or may not be read",
      ],
      [
        [said(
          `Error loading shared library libndctl.so.6: No such file or directory (needed by ${path})`,
        )],
        "libndctl.so.6, which it needs, is missing or may not be read",
      ],
      [
        [said(
          `Error loading shared library ${path}: No such file or directory`,
        )],
        "it is not installed",
      ],
      [
        [said(`${path}: wrong ELF class: ELFCLASS32`)],
        `the system refuses ${path}`,
      ],
      [
        [said(
          `/lib/libc.so.6: version \`GLIBC_2.99' not found (required by ${path})`,
        )],
        `the system refuses ${path}`,
      ],
      [
        [attempt(path, UnfitLibrary.older(path))],
        `${path} is older than libpmem2 1.12`,
      ],
      [
        [attempt(path, UnfitLibrary.other(path))],
        `${path} is another library: it has no function pmem2_errormsg`,
      ],
    ] as const
  ) {
    for (const tried of [attempts, [missing, ...attempts, missing]]) {
      const { message } = loadError(tried, false, true);
      assertEquals(
        message.split("\n")[0],
        `Cannot load libpmem2 as ${headline}`,
      );
      for (const { message: said } of tried) {
        assertStringIncludes(message, `\n  ${said}`);
      }
    }
  }
});

Deno.test("libraryInfo() names the permission that is missing", async () => {
  for (const flags of [[], ["--deny-ffi"], ["--allow-ffi=/nowhere"]]) {
    const { name, message } = await firstUse({ flags });
    assertEquals(name, "NotCapable");
    assertStringIncludes(message, "run again with --allow-ffi");
    assertStringIncludes(
      message,
      `--allow-ffi=${candidates("libpmem2.so.1")[1]}`,
    );
  }
});

Deno.test("libraryInfo() says that it needs Linux", async () => {
  for (
    const [build, name] of [
      [{ os: "darwin", arch: "aarch64" }, "darwin on aarch64"],
      [{ os: "windows", arch: "x86_64" }, "windows on x86_64"],
      [{ os: "linux", arch: "riscv64" }, "linux on riscv64"],
    ] as const
  ) {
    const error = await firstUse(
      {},
      `Object.defineProperty(Deno, "build", { value: ${
        JSON.stringify(build)
      } });`,
    );
    assertEquals(error, {
      name: "Error",
      message:
        `Cannot load libpmem2 as this module needs Linux on x86-64 or arm64: this is ${name}`,
    });
  }
});

Deno.test("libraryInfo() says that Deno is too old", async () => {
  const { name, message } = await firstUse(
    {},
    `Object.defineProperty(Deno, "version", { value: { deno: "1.46.3" } });`,
  );
  assertEquals(name, "Error");
  assertMatch(
    message,
    /^Cannot load libpmem2 as this module needs Deno \d+\.\d+\.\d+ or newer: this is 1\.46\.3; run "deno upgrade"$/,
  );
});

Deno.test("libraryInfo() says that it needs Deno", async () => {
  const ended = await run(`
    const { log } = console;
    const { libraryInfo } = await import("@pmem2/pmem2");
    // deno-lint-ignore no-explicit-any
    delete (globalThis as any).Deno;
    try {
      libraryInfo();
    } catch (error) {
      log((error as Error).message);
    }
  `);
  assertEquals(ended, {
    code: 0,
    signal: null,
    stdout: "Cannot load libpmem2 as this module needs Deno's FFI\n",
    stderr: "",
  });
});

Deno.test("older() compares versions number by number", () => {
  for (
    const [version, minimum] of [
      ["1.46.3", "2.0.0"],
      ["2.9.6", "2.10.0"],
      ["2.9.5", "2.9.6"],
      ["2.9.6", "3.0.0"],
      ["2.9", "2.9.1"],
    ] as const
  ) {
    assert(older(version, minimum), `${version} ${minimum}`);
    assert(!older(minimum, version), `${minimum} ${version}`);
    assert(!older(version, version), version);
  }
  assert(!older("2.9.6+0123abc", "2.9.6"));
  assert(older("2.9.5-rc.1", "2.9.6"));
});

Deno.test("workers open the library for themselves", async () => {
  const ended = await run(`
    import { libraryInfo } from "@pmem2/pmem2";
    const script = 'import { libraryInfo } from "@pmem2/pmem2";' +
      "postMessage(libraryInfo().path); close();";
    const worker = new Worker(
      \`data:text/javascript,\${encodeURIComponent(script)}\`,
      { type: "module" },
    );
    worker.onmessage = ({ data }) => console.log(data === libraryInfo().path);
  `);
  assertEquals(ended, { code: 0, signal: null, stdout: "true\n", stderr: "" });
});
