import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { descriptorsIn } from "./support/native_process.ts";
import { ForeignCode } from "./support/foreign_code.ts";
import { recorderObstacle } from "./support/recorder.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";
import { exists } from "./support/exists.ts";
import { PAGE } from "./support/page.ts";

const SMALL_DISK = 2 ** 20;

/** A file system of 1 MiB. */
class SmallDisk implements Disposable {
  readonly #scratch = new Scratch();

  constructor() {
    const { directory } = this.#scratch;
    const args = ["-t", "tmpfs", "-o", `size=${SMALL_DISK}`, "none", directory];
    const { success, stderr } = new Deno.Command("mount", { args })
      .outputSync();
    if (success) return;
    this.#scratch[Symbol.dispose]();
    throw new Error(new TextDecoder().decode(stderr));
  }

  path(name: string): string {
    return this.#scratch.path(name);
  }

  [Symbol.dispose](): void {
    const { directory } = this.#scratch;
    const { success } = new Deno.Command("umount", { args: [directory] })
      .outputSync();
    assert(success, "something on the small disk is still open");
    this.#scratch[Symbol.dispose]();
  }
}

function diskObstacle(): string | null {
  try {
    new SmallDisk()[Symbol.dispose]();
    return null;
  } catch {
    return "mounting takes privileges";
  }
}

testUnless(
  diskObstacle(),
  "a full disk is an error, and files are as long as before",
  () => {
    using disk = new SmallDisk();
    const [old, made] = [disk.path("old"), disk.path("new")];
    const content = new Uint8Array(5000).fill(7);
    Deno.writeFileSync(old, content);
    using reservation = new Pmem2VmReservation(4 * SMALL_DISK);
    const openers: ((path: string, size: number) => unknown)[] = [
      (path, size) => Pmem2Source.open(path, { create: true, size }),
      (path, size) => Pmem2Map.open(path, { create: true, size }),
      (path, size) => reservation.map(path, { create: true, size }),
    ];
    const refused = (path: string, size: number) => {
      for (const open of openers) {
        assertRefused(() => open(path, size), "ENOSPC", "fallocate");
      }
    };
    const { blocks } = Deno.statSync(old);
    const untouched = () => {
      assertEquals(Deno.statSync(made).size, 0);
      assertEquals(Deno.readFileSync(old), content);
      assertEquals(Deno.statSync(old).blocks, blocks);
      assertEquals([...reservation.gaps()], [
        { offset: 0, size: 4 * SMALL_DISK },
      ]);
      assertEquals(descriptorsIn(disk.path("").slice(0, -1)), []);
    };
    refused(made, 2 * SMALL_DISK);
    refused(old, 2 * SMALL_DISK);
    untouched();

    // All but what there is, and then no block more.
    const rest = SMALL_DISK - 2 * PAGE;
    using map = Pmem2Map.open(disk.path("big"), { create: true, size: rest });
    map.fill(1);
    map.persist();
    refused(made, PAGE);
    refused(old, 4 * PAGE);
    untouched();
    const bytes = new Uint8Array(rest);
    map.read(bytes);
    assertEquals(bytes, new Uint8Array(rest).fill(1));
    map.close();
    Deno.removeSync(disk.path("big"));
    Pmem2Source.open(made, { create: true, size: PAGE }).close();
  },
);

Deno.test("a file that may not grow is an error, and as it was", async () => {
  const { code, stderr } = await run(`
    import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
    import { assertEquals, assertThrows } from "@std/assert";
    import { limitFileSize } from "./tests/support/native_process.ts";
    import { assertRefused } from "./tests/support/refusal.ts";
    import { Scratch } from "./tests/support/scratch.ts";
    using scratch = new Scratch();
    const old = scratch.file("old", 5000);
    const content = Deno.readFileSync(old);
    limitFileSize(16384);
    for (const open of [Pmem2Source.open, Pmem2Map.open]) {
      for (const path of [old, scratch.path("new")]) {
        const options = { create: true, size: 20_000 };
        assertRefused(() => open(path, options), "EFBIG", "fallocate");
      }
      assertEquals(Deno.readFileSync(old), content);
      assertEquals(Deno.statSync(scratch.path("new")).size, 0);
    }
    Pmem2Map.open(scratch.path("new"), { create: true, size: 16384 }).close();
  `);
  assertEquals(code, 0, stderr);
});

Deno.test("a file that is shorter than what is asked for is out of range", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 5000);
  const empty = scratch.file("empty", 0);
  using source = Pmem2Source.open(path);
  using reservation = new Pmem2VmReservation(8 * PAGE);
  for (
    const options of [
      { offset: 2 * PAGE },
      { offset: PAGE, length: PAGE },
      { length: 2 * PAGE },
      { offset: 5000 },
    ]
  ) {
    assertThrows(() => Pmem2Map.open(path, options), RangeError);
    assertThrows(() => Pmem2Map.from(source, options), RangeError);
    assertThrows(() => reservation.map(path, options), RangeError);
  }
  for (const map of [Pmem2Map.open, reservation.map.bind(reservation)]) {
    assertRefused(() => map(empty), "PMEM2_E_SOURCE_EMPTY");
    assertThrows(() => map(empty, { offset: PAGE }), RangeError);
    assertThrows(() => map(empty, { length: PAGE }), RangeError);
  }
  // It has become shorter since it was opened.
  Deno.truncateSync(path, 100);
  assertThrows(() => Pmem2Map.from(source, { offset: PAGE }), RangeError);
  using rest = Pmem2Map.from(source);
  assertEquals(rest.size, 100);
});

Deno.test("what is no file is refused, and nothing waits for it", () => {
  using scratch = new Scratch();
  using _listener = Deno.listen({
    transport: "unix",
    path: scratch.path("socket"),
  });
  using reservation = new Pmem2VmReservation(PAGE);
  const open = [
    Pmem2Source.open,
    Pmem2Map.open,
    (path: string) => reservation.map(path),
    (path: string) => Pmem2Source.open(path, { write: false }),
  ];
  for (
    const path of [
      scratch.directory,
      scratch.path("socket"),
      "/dev/null",
      "/dev/zero",
    ]
  ) {
    for (const how of open) {
      assertRefused(() => how(path), "PMEM2_E_INVALID_FILE_TYPE");
    }
  }
});

Deno.test("files of the kernel's own are refused without a crash", () => {
  using reservation = new Pmem2VmReservation(PAGE);
  for (
    const path of [
      "/proc/self/maps",
      "/proc/self/mem",
      "/proc/self/environ",
      "/sys/kernel/vmcoreinfo",
      "/sys/power/state",
      "/proc/kmsg",
      "/proc/kcore",
    ]
  ) {
    for (
      const how of [
        () => Pmem2Map.open(path, { write: false, length: PAGE }),
        () => Pmem2Map.open(path, { write: false }),
        () => reservation.map(path, { write: false }),
        () => reservation.map(path, { write: false, length: PAGE }),
      ]
    ) {
      const error = assertThrows(how, Error);
      // Not all of them are there, or may be opened, or have a size.
      const refused = error instanceof Pmem2Error ||
        error instanceof RangeError || error.name in Deno.errors;
      assert(refused, `${path}: ${error}`);
    }
  }
  assertEquals([...reservation.gaps()], [{ offset: 0, size: PAGE }]);
});

/** Not even the superuser may read this one. */
const unreadable = Deno.uid() === 0 ? "/proc/sys/vm/compact_memory" : null;

testUnless(
  unreadable !== null && !exists(unreadable)
    ? `there is no ${unreadable}`
    : null,
  "a file without permission throws Deno's error",
  () => {
    using scratch = new Scratch();
    const path = unreadable ?? scratch.file("file", PAGE);
    if (unreadable === null) Deno.chmodSync(path, 0o000);
    for (const open of [Pmem2Source.open, Pmem2Map.open]) {
      assertThrows(
        () => open(path, { write: false }),
        Deno.errors.PermissionDenied,
      );
    }
  },
);

Deno.test("a map outlives its file's name", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 2 * PAGE);
  const other = scratch.file("other", PAGE);
  using source = Pmem2Source.open(path);
  using map = Pmem2Map.from(source);
  Deno.removeSync(path);
  map.fill(1);
  map.persist();
  map.deepFlush();
  Deno.symlinkSync(other, path);
  map.fill(2);
  map.persist();
  assertEquals(source.size, 2 * PAGE);
  using again = Pmem2Map.from(source, { offset: PAGE });
  assertEquals(again.bytes[0], 2);
  using linked = Pmem2Map.open(path);
  assertEquals([linked.size, linked.bytes[250]], [PAGE, 250]);
  // A link to nothing, with a file to be made where it leads.
  Deno.removeSync(other);
  assertThrows(() => Pmem2Map.open(path), Deno.errors.NotFound);
  Pmem2Map.open(path, { create: true, size: PAGE }).close();
  assertEquals(Deno.statSync(other).size, PAGE);
});

Deno.test("names of all kinds are opened, or refused as Deno refuses them", () => {
  using scratch = new Scratch();
  for (
    const name of [
      "new\nline",
      "tab\tand space ",
      "-",
      "%41",
      "ünïcödé 文件 😀",
      "\x1b[31mred",
      "x".repeat(255),
    ]
  ) {
    using map = Pmem2Map.open(scratch.path(name), { create: true, size: PAGE });
    assertEquals(map.path, scratch.path(name));
    map.fill(1);
    map.persist();
    assert(!Deno.inspect(map).includes("\x1b"));
    assertEquals(Deno.readFileSync(scratch.path(name))[0], 1);
  }
  for (
    const name of [
      "a\0b",
      "x".repeat(256),
      "x/".repeat(5000),
      "",
      "file/",
      "none/at/all",
    ]
  ) {
    const path = name === "" ? "" : scratch.path(name);
    const theirs = assertThrows(() => Deno.statSync(path), Error);
    const ours = assertThrows(() => Pmem2Map.open(path), Error);
    assertEquals(ours.name, theirs.name, ours.message);
    assertThrows(
      () => Pmem2Map.open(path, { create: true, size: PAGE }),
      Error,
    );
  }
});

testUnless(
  diskObstacle(),
  "Pmem2Source.write() is refused where a full disk would take a part",
  () => {
    using disk = new SmallDisk();
    const path = disk.path("sparse");
    Deno.writeFileSync(path, new Uint8Array(0));
    Deno.truncateSync(path, 8 * SMALL_DISK);
    using source = Pmem2Source.open(path);
    const data = new Uint8Array(4 * SMALL_DISK).fill(7);
    assertRefused(() => source.write(data), "ENOSPC", "fallocate");
    const bytes = new Uint8Array(PAGE);
    source.read(bytes);
    assertEquals(bytes, new Uint8Array(PAGE));
    source.write(data.subarray(0, PAGE), PAGE);
    source.read(bytes, PAGE);
    assertEquals(bytes, data.subarray(0, PAGE));
  },
);

Deno.test("a file that can't be mapped is left as it was opened", () => {
  using scratch = new Scratch();
  using reservation = new Pmem2VmReservation(4 * PAGE);
  const path = scratch.path("new");
  const options = { create: true, size: 8 * PAGE };
  // What is known not to fit is not even opened.
  assertThrows(
    () => reservation.map(path, { ...options, at: 0 }),
    RangeError,
  );
  assert(!exists(path));
  for (
    const refused of [
      () => reservation.map(path, options),
      () => Pmem2Map.open(path, { ...options, offset: 8 * PAGE }),
      () => Pmem2Map.open(path, { ...options, length: 16 * PAGE }),
    ]
  ) {
    assertThrows(refused, RangeError);
    assertEquals(Deno.statSync(path).size, 8 * PAGE);
    Deno.removeSync(path);
  }
  assertRefused(
    () => Pmem2Map.open(path, { create: true }),
    "PMEM2_E_SOURCE_EMPTY",
    "pmem2_map_new",
  );
  assertEquals(Deno.statSync(path).size, 0);

  const old = scratch.file("old", 10);
  assertThrows(
    () => reservation.map(old, { size: 8 * PAGE, at: 0 }),
    RangeError,
  );
  assertEquals(Deno.statSync(old).size, 10);
});

Deno.test("the file that Deno opens is the source, whatever takes its name's place", () => {
  using scratch = new Scratch();
  const [path, other] = [scratch.path("new"), scratch.file("other", PAGE)];
  const { statSync } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.statSync = function () {
    const info = statSync.call(this);
    if (!replaced) Deno.renameSync(other, path);
    replaced = true;
    return info;
  };
  let replaced = false;
  try {
    using source = Pmem2Source.open(path, { create: true });
    assertEquals(source.size, 0);
    source.write(new Uint8Array());
  } finally {
    Deno.FsFile.prototype.statSync = statSync;
  }
  assertEquals(Deno.statSync(path).size, PAGE);
});

Deno.test("a file that the process may not write is refused, and no signal ends it", async () => {
  using scratch = new Scratch();
  const { code, signal, stdout, stderr } = await run(
    `
    import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
    import { assertEquals } from "@std/assert";
    import { native } from "./tests/support/native_process.ts";
    import { assertRefused } from "./tests/support/refusal.ts";
    const [path, long] = Deno.args;
    const MIB = 2 ** 20;
    Deno.createSync(long!).close();
    Deno.truncateSync(long!, 100 * MIB);
    // What Deno itself writes is shorter.
    const RLIMIT_FSIZE = 1;
    const limit = new BigUint64Array(new ArrayBuffer(128)).fill(BigInt(64 * MIB));
    assertEquals(native().setrlimit(RLIMIT_FSIZE, limit), 0);
    using reservation = new Pmem2VmReservation(128 * MIB);
    const options = { create: true, size: 64 * MIB + 1 };
    for (const open of [
      () => Pmem2Source.open(path!, options),
      () => Pmem2Map.open(path!, options),
      () => reservation.map(path!, options),
    ]) {
      const { message } = assertRefused(open, "EFBIG", "fallocate");
      assertEquals(message.includes(path!), true, message);
    }
    assertEquals(Deno.statSync(path!).size, 0);
    using source = Pmem2Source.open(long!, { size: 100 * MIB });
    const data = new Uint8Array(2 * MIB);
    assertRefused(() => source.write(data, 63 * MIB), "EFBIG");
    assertRefused(() => source.write(data, 80 * MIB), "EFBIG");
    source.write(data, 62 * MIB);
    using map = Pmem2Map.from(source);
    map.write(data, 80 * MIB);
    console.log("alive");
    `,
    { args: [scratch.path("file"), scratch.path("long")] },
  );
  assertEquals([code, signal, stdout], [0, null, "alive\n"], stderr);
});

Deno.test("Pmem2Source.write() is refused where Linux would write at the end of the file", () => {
  using scratch = new Scratch();
  const path = scratch.file("file", 5000);
  const content = Deno.readFileSync(path);
  const [O_RDWR, O_APPEND] = [2, 0o2000];
  using foreign = new ForeignCode();
  const fd = foreign.open(path, O_RDWR | O_APPEND);
  {
    using source = Pmem2Source.fromFd(fd);
    assertRefused(() => source.write(Uint8Array.of(1), 100), "EINVAL");
    assertEquals(Deno.readFileSync(path), content);
    // Nothing else minds, but some FUSE servers.
    using map = Pmem2Map.from(source);
    map.write(Uint8Array.of(1), 100, { flush: false });
    const bytes = new Uint8Array(1);
    source.read(bytes, 100);
    assertEquals(bytes[0], 1);
  }
  foreign.close(fd);
});

testUnless(
  recorderObstacle(),
  "where statx is refused files are opened all the same, and what is none is not",
  async () => {
    using scratch = new Scratch();
    const program = scratch.path("refuse_calls");
    const source = new URL("support/refuse_calls.c", import.meta.url).pathname;
    const compiled = new Deno.Command("cc", { args: ["-o", program, source] })
      .outputSync();
    assert(compiled.success, new TextDecoder().decode(compiled.stderr));
    const fifo = scratch.path("fifo");
    new Deno.Command("mkfifo", { args: [fifo] }).outputSync();
    const script = scratch.path("script.ts");
    const module = new URL("../mod.ts", import.meta.url);
    Deno.writeTextFileSync(
      script,
      `
      import { Pmem2Map, Pmem2Source } from "${module}";
      const [path, fifo] = Deno.args;
      for (const options of [{ create: true, size: 8192 }, {}, { write: false }]) {
        using map = Pmem2Map.open(path, options);
        console.log(map.size);
      }
      // Not the last one: descriptors have come and gone.
      const files = [1, 2, 3].map(() => Deno.openSync(path));
      const sources = [1, 2, 3].map(() => Pmem2Source.open(path));
      files.forEach((file) => file.close());
      console.log(sources.map(({ size }) => size).join());
      for (const options of [{}, { write: false }, { create: true }]) {
        try {
          Pmem2Source.open(fifo, options);
        } catch (error) {
          console.log(error.code);
        }
      }
      `,
    );
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args: [
        Deno.execPath(),
        "run",
        "--allow-all",
        "--no-check",
        script,
        scratch.path("file"),
        fifo,
      ],
    }).output();
    const decoder = new TextDecoder();
    assertEquals(
      [code, decoder.decode(stdout).trim().split("\n")],
      [0, [
        ...Array(3).fill("8192"),
        "8192,8192,8192",
        ...Array(3).fill("PMEM2_E_INVALID_FILE_TYPE"),
      ]],
      decoder.decode(stderr),
    );
  },
);
