import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";
import { PAGE } from "./support/page.ts";

/** How many descriptors this process has open. */
function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("Pmem2Source.open() opens what is there", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  using source = Pmem2Source.open(path);
  assertEquals(source.size, 5000);
  assertEquals(source.path, path);
  const bytes = new Uint8Array(2);
  source.read(bytes, 300);
  assertEquals(bytes, new Uint8Array([49, 50]));
});

Deno.test("Pmem2Source.open() takes a file URL", () => {
  using scratch = new Scratch();
  for (const name of ["a b", "ä?#&", "100%", "%41", "a%2Fb", "日本"]) {
    const path = scratch.file(name, PAGE);
    const url = new URL("file:///");
    url.pathname = path.split("/").map(encodeURIComponent).join("/");
    using source = Pmem2Source.open(url);
    assertEquals(source.path, path);
    assertEquals(source.size, PAGE);
  }
});

Deno.test("Pmem2Source.open() reads a URL the way Deno does", () => {
  using scratch = new Scratch();
  scratch.file("100%", PAGE);
  const url = new URL(`file://${scratch.directory}/100%`);
  Deno.openSync(url).close();
  Pmem2Source.open(url).close();
  using reservation = new Pmem2VmReservation(PAGE);
  assertEquals(reservation.map(url).size, PAGE);
  assertEquals(Pmem2Map.open(url).close(), undefined);
});

Deno.test("Pmem2Source.open() opens a relative path in the working directory", async () => {
  using scratch = new Scratch();
  scratch.file("a", PAGE);
  const ended = await run(
    `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { assertEquals } from "@std/assert";
    Deno.chdir(Deno.args[0]!);
    using map = Pmem2Map.open("a");
    assertEquals(map.path, "a");
    using created = Pmem2Map.open("./b", { create: true, size: 4096 });
    assertEquals(created.size, 4096);
    assertEquals(Deno.cwd(), Deno.realPathSync(Deno.args[0]!));
    `,
    { args: [scratch.directory] },
  );
  assertEquals(ended, { code: 0, signal: null, stdout: "", stderr: "" });
  assertEquals(Deno.statSync(scratch.path("b")).size, PAGE);
});

Deno.test("Pmem2Source.open() throws Deno's errors", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", PAGE);
  assertThrows(
    () => Pmem2Source.open(scratch.path("none")),
    Deno.errors.NotFound,
  );
  assertThrows(
    () => Pmem2Source.open(scratch.path("none/a"), { create: true }),
    Deno.errors.NotFound,
  );
  assertThrows(
    () => Pmem2Source.open(path, { createNew: true }),
    Deno.errors.AlreadyExists,
  );
  const notDirectory = assertThrows(() => Deno.openSync(`${path}/b`), Error);
  assertThrows(
    () => Pmem2Source.open(`${path}/b`),
    notDirectory.constructor as new () => Error,
  );
  assertThrows(() => Pmem2Source.open(""), Deno.errors.NotFound);
  assertThrows(() => Pmem2Source.open(`${path}\0`), Error);
  assertEquals(Deno.statSync(path).size, PAGE);
});

Deno.test("Pmem2Source.open() refuses what is no file: URL", () => {
  for (
    const url of ["https://example.org/a", "data:,a", "file://host/a"]
  ) {
    assertThrows(
      () => Pmem2Source.open(new URL(url)),
      TypeError,
      "Cannot open the source as path must be a path or a file: URL: received",
    );
  }
});

Deno.test("Pmem2Source.open() creates a file where asked", () => {
  using scratch = new Scratch();
  for (const options of [{ create: true }, { createNew: true }]) {
    const path = scratch.path(Object.keys(options)[0]!);
    using source = Pmem2Source.open(path, { ...options, write: false });
    assertEquals(source.size, 0);
    assert(Deno.statSync(path).isFile);
    // Opened for writing all the same.
    using sized = Pmem2Source.open(path, { size: PAGE, write: false });
    sized.write(new Uint8Array([1]));
    using again = Pmem2Source.open(path, { create: true });
    assertEquals(again.size, PAGE);
  }
});

Deno.test("Pmem2Source.open() gives a new file its mode less the umask", async () => {
  using scratch = new Scratch();
  const ended = await run(
    `
    import { Pmem2Source } from "@pmem2/pmem2";
    Deno.umask(0o027);
    const mode = (name: string, mode?: number) => {
      const path = \`\${Deno.args[0]}/\${name}\`;
      Pmem2Source.open(path, { create: true, size: 4096, mode }).close();
      return (Deno.statSync(path).mode! & 0o7777).toString(8);
    };
    console.log(mode("a"), mode("b", 0o600), mode("c", 0o777));
    console.log(mode("a", 0o600));
    `,
    { args: [scratch.directory] },
  );
  assertEquals(ended.stderr, "");
  assertEquals(ended.stdout, "640 600 750\n640\n");
});

Deno.test("Pmem2Source.open() opens a source for reading alone", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", PAGE);
  using source = Pmem2Source.open(path, { write: false });
  assertRefused(() => Pmem2Map.from(source), "PMEM2_E_NO_ACCESS");
  assertRefused(() => source.write(new Uint8Array(1)), "EBADF");
  using map = Pmem2Map.from(source, { write: false });
  assertEquals(map.writable, false);
});

Deno.test("Pmem2Source.open() grows a file and allocates its blocks", () => {
  using scratch = new Scratch();
  const path = scratch.path("a");
  {
    using source = Pmem2Source.open(path, { createNew: true, size: 2 ** 20 });
    assertEquals(source.size, 2 ** 20);
  }
  assert(Deno.statSync(path).blocks! * 512 >= 2 ** 20);
  const file = scratch.file("b", 300);
  {
    using source = Pmem2Source.open(file, { size: 2 ** 20 });
    assertEquals(source.size, 2 ** 20);
  }
  assert(Deno.statSync(file).blocks! * 512 >= 2 ** 20);
  const bytes = Deno.readFileSync(file);
  assertEquals(bytes[250], 250);
  assert(bytes.subarray(300).every((byte) => byte === 0));
});

/** Why no blocks can be allocated where the tests put their files, or null. */
function allocationObstacle(): string | null {
  using scratch = new Scratch();
  const { success } = new Deno.Command("fallocate", {
    args: ["-l", "4096", scratch.path("file")],
    stderr: "null",
  }).outputSync();
  return success ? null : "this file system can't allocate";
}

testUnless(
  allocationObstacle(),
  "Pmem2Source.open() allocates what is a hole",
  () => {
    using scratch = new Scratch();
    const path = scratch.path("sparse");
    Deno.writeFileSync(path, new Uint8Array());
    Deno.truncateSync(path, 2 ** 20);
    Pmem2Source.open(path, { size: 2 ** 20 }).close();
    assert(Deno.statSync(path).blocks! * 512 >= 2 ** 20);
  },
);

Deno.test("Pmem2Source.open() never shrinks a file", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  for (const size of [0, 1, PAGE, 5000]) {
    using source = Pmem2Source.open(path, { size });
    assertEquals(source.size, 5000);
  }
  assertEquals(Deno.readFileSync(path)[4999], 4999 % 251);
});

Deno.test("Pmem2Source.open() leaves a file as it was if it can't grow", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  const before = descriptors();
  const size = Number.MAX_SAFE_INTEGER;
  for (const open of [Pmem2Source.open, Pmem2Map.open]) {
    const { code, call } = assertThrows(() => open(path, { size })) as never;
    assert(["EFBIG", "ENOSPC"].includes(code), code);
    assertEquals(call, "fallocate");
    assertEquals(Deno.statSync(path).size, 5000);
    assertThrows(() => open(scratch.path("new"), { create: true, size }));
    assertEquals(Deno.statSync(scratch.path("new")).size, 0);
  }
  assertEquals(descriptors(), before);
});

Deno.test("Pmem2Source.open() follows symbolic links", () => {
  using scratch = new Scratch();
  scratch.file("a", PAGE);
  Deno.symlinkSync("a", scratch.path("link"));
  Deno.symlinkSync("created", scratch.path("dangling"));
  Deno.symlinkSync("loop", scratch.path("loop"));
  using source = Pmem2Source.open(scratch.path("link"));
  assertEquals(source.path, scratch.path("link"));
  assertEquals(source.size, PAGE);
  assertThrows(
    () => Pmem2Source.open(scratch.path("link"), { createNew: true }),
    Deno.errors.AlreadyExists,
  );
  assertThrows(
    () => Pmem2Source.open(scratch.path("dangling")),
    Deno.errors.NotFound,
  );
  assertThrows(
    () => Pmem2Source.open(scratch.path("dangling"), { createNew: true }),
    Deno.errors.AlreadyExists,
  );
  Pmem2Source.open(scratch.path("dangling"), { create: true, size: PAGE })
    .close();
  assertEquals(Deno.statSync(scratch.path("created")).size, PAGE);
  assertThrows(
    () => Pmem2Source.open(scratch.path("loop"), { create: true }),
    Error,
    "loop",
  );
});

Deno.test("Pmem2Source.open() refuses what is no file, and never waits", async () => {
  using scratch = new Scratch();
  const fifo = scratch.path("fifo");
  const { success } = await new Deno.Command("mkfifo", { args: [fifo] })
    .output();
  assert(success);
  const before = descriptors();
  for (
    const [path, type] of [
      [scratch.directory, "a directory"],
      [fifo, "a FIFO"],
    ] as const
  ) {
    for (const options of [{}, { write: false }, { create: true }]) {
      const { message } = assertRefused(
        () => Pmem2Source.open(path, options),
        "PMEM2_E_INVALID_FILE_TYPE",
        "pmem2_source_from_fd",
      );
      assertStringIncludes(message, `received ${type}`);
    }
  }
  const listener = Deno.listen({ transport: "unix", path: scratch.path("s") });
  assertStringIncludes(
    assertRefused(
      () => Pmem2Map.open(scratch.path("s")),
      "PMEM2_E_INVALID_FILE_TYPE",
    ).message,
    "received a socket",
  );
  listener.close();
  assertRefused(
    () => Pmem2Source.open("/dev/null"),
    "PMEM2_E_INVALID_FILE_TYPE",
  );
  assertEquals(descriptors(), before);
});

Deno.test("Pmem2Map.open() maps the file that Deno has opened, whatever becomes of its name", async () => {
  using scratch = new Scratch();
  const ended = await run(
    `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { assertEquals, assertThrows } from "@std/assert";
    Deno.chdir(Deno.args[0]!);
    const { openSync } = Deno;
    const opened = (then: () => void) => {
      Deno.writeFileSync("a", new Uint8Array(4096).fill(1));
      Deno.writeFileSync("other", new Uint8Array(4096).fill(2));
      Deno.openSync = (path, options) => {
        const file = openSync(path, options);
        then();
        return file;
      };
      using map = Pmem2Map.open("a", { size: 4096 });
      Deno.openSync = openSync;
      const bytes = new Uint8Array(4096);
      map.read(bytes);
      assertEquals(bytes, new Uint8Array(4096).fill(1));
      map.fill(3);
      map.persist();
      const path = "other";
      try {
        assertEquals(Deno.readFileSync(path), new Uint8Array(4096).fill(2));
      } catch {
        assertEquals(Deno.readFileSync("a"), new Uint8Array(4096).fill(2));
      }
    };
    opened(() => Deno.renameSync("other", "a"));
    opened(() => Deno.removeSync("a"));
    opened(() => {
      Deno.removeSync("a");
      Deno.symlinkSync("other", "a");
    });
    `,
    { args: [scratch.directory] },
  );
  assertEquals(ended, { code: 0, signal: null, stdout: "", stderr: "" });
});

Deno.test("opening and closing leaves no descriptor behind", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  Pmem2Map.open(path).close();
  const before = descriptors();
  for (let round = 0; round < 20; round++) {
    Pmem2Source.open(path).close();
    using map = Pmem2Map.open(path);
    assertEquals(descriptors(), before, "a map needs no descriptor");
    using reservation = new Pmem2VmReservation(3 * PAGE);
    reservation.map(path);
    assertThrows(() => reservation.map(path, { at: PAGE }), Error);
    assertThrows(() => reservation.map(path), RangeError);
    assertThrows(() => Pmem2Map.open(path, { offset: 9000 }), RangeError);
    assertRefused(
      () => Pmem2Map.open(path, { offset: 100 }),
      "PMEM2_E_OFFSET_UNALIGNED",
    );
    assertEquals(map.size, 5000);
  }
  assertEquals(descriptors(), before);
});

Deno.test("a path that is too long leaves no memory behind", async () => {
  const { code, stderr } = await run(
    `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { assert, assertThrows } from "@std/assert";
    const { gc } = globalThis as unknown as { gc(): void };
    const before = Deno.memoryUsage().rss;
    assertThrows(() => Pmem2Map.open("/" + "x".repeat(2 ** 27)), Error, "too long");
    for (let i = 0; i < 3; i++) gc();
    // What Deno itself keeps of it is less.
    const grown = Deno.memoryUsage().rss - before;
    assert(grown < 1.5 * 2 ** 27, \`\${grown / 2 ** 20} MiB\`);
  `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals(code, 0, stderr);
});
