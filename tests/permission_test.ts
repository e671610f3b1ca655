import { libraryInfo } from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import { candidates } from "../ffi/c/library_path.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { exists } from "./support/exists.ts";

/** All paths of the library that may be granted. */
function libraryPaths(): string[] {
  const override = Deno.env.get("PMEM2_LIBRARY");
  const paths = override
    ? [override]
    : [libraryInfo().path, ...candidates("libpmem2.so.1")]
      .filter((path) => path.startsWith("/") && exists(path));
  assert(paths.length > 0);
  return [...new Set(paths)];
}

/**
 * A directory that may be granted, whatever medium is tested: what is under
 * /dev takes --allow-all.
 */
function temporary(): Scratch {
  return new Scratch(Deno.makeTempDirSync({ prefix: "pmem2_test_" }));
}

const SUCCESS = { code: 0, signal: null, stdout: "", stderr: "" };

Deno.test("everything but views runs under --allow-ffi of the library alone", async () => {
  for (const library of libraryPaths()) {
    using scratch = temporary();
    const ended = await run(
      `
      import * as pmem2 from "@pmem2/pmem2";
      import { assert, assertEquals, assertThrows } from "@std/assert";
      const { libraryInfo, Pmem2Error, Pmem2Map, Pmem2Source } = pmem2;
      const [directory, library] = Deno.args as [string, string];

      const granted = (descriptor: Deno.PermissionDescriptor) =>
        Deno.permissions.querySync(descriptor).state === "granted";
      assert(!granted({ name: "ffi" }));
      assert(!granted({ name: "read" }) && !granted({ name: "write" }));
      assert(!granted({ name: "env" }) && !granted({ name: "run" }));
      assertEquals(libraryInfo().path, library);

      const path = \`\${directory}/a\`;
      using source = Pmem2Source.open(path, { create: true, size: 8192 });
      using again = Pmem2Source.fromFd(source.fd!);
      assertEquals([again.size, again.alignment, again.path], [8192, 4096, null]);
      source.write(new Uint8Array([1, 2, 3]), 10);
      const three = new Uint8Array(3);
      again.read(three, 10);
      assertEquals([...three], [1, 2, 3]);
      for (const block of source.badBlocks()) block.clear();
      using anonymous = Pmem2Source.anonymous(4096);
      for (const call of ["deviceId", "numaNode", "unsafeShutdownCount"] as const) {
        const { code } = assertThrows(() => anonymous[call](), Pmem2Error);
        assertEquals(code, "PMEM2_E_NOSUPP");
      }

      using map = Pmem2Map.open(path);
      using part = Pmem2Map.from(source, { offset: 4096, sharing: "private" });
      assertEquals([map.size, part.size, map.path], [8192, 4096, path]);
      assert(map.address > 0n && map.unsafeHandle > 0n);
      for (const view of ["bytes", "buffer"] as const) {
        const { message } = assertThrows(() => map[view], Deno.errors.NotCapable);
        assert(message.includes("needs --allow-ffi without a path"), message);
      }
      const data = new Uint8Array(300).map((_, i) => i);
      for (const options of [
        undefined,
        { flush: false },
        { drain: false },
        { temporal: true },
        { temporal: false },
        { writeCombining: true },
        { writeCombining: false },
      ]) {
        map.fill(0, 0, 8192, options);
        map.write(data, 100, options);
        map.move(4000, 100, 300, options);
        const bytes = new Uint8Array(300);
        map.read(bytes, 4000);
        assertEquals(bytes, data);
      }
      map.flush(0, 100);
      map.drain();
      map.persist();
      map.deepFlush(0, 100);
      await map.persistAsync();
      await map.deepFlushAsync();
      assertEquals(Deno.readFileSync(path).slice(4000, 4300), data);
      assert(Deno.inspect(map).startsWith("Pmem2Map"));

      const reservation = new pmem2.Pmem2VmReservation(2 ** 20);
      const first = reservation.map(path);
      const second = reservation.map(source, { at: 16_384, write: false });
      const third = reservation.map(anonymous, { at: 65_536 });
      assertEquals([...reservation], [first, second, third]);
      const backwards = reservation.maps({ reverse: true, from: 10_000 });
      assertEquals([...backwards], [third, second]);
      assertEquals(reservation.find(16_384), second);
      assertEquals(reservation.findFirst(), first);
      assertEquals(reservation.findLast(), third);
      assertEquals(reservation.findNext(second), third);
      assertEquals(reservation.findPrev(second), first);
      assertEquals([...reservation.gaps()].length, 3);
      reservation.shrink(2 ** 19, 2 ** 19);
      reservation.extend(4096);
      third.write(data);
      assertThrows(() => reservation.map(source, { at: 0 }), Pmem2Error);
      assert(Deno.inspect(reservation).includes("3 maps"));
      first.close();
      reservation.close({ maps: true });

      const { symbols } = Deno.dlopen(library, {
        mmap: {
          parameters: ["u64", "u64", "i32", "i32", "i32", "i64"],
          result: "u64",
        },
      });
      const address = symbols.mmap(0n, 4096n, 3, 0x22, -1, 0n);
      for (const granularity of ["byte", "cache-line", "page"] as const) {
        using existing = Pmem2Map.unsafeFromExisting(
          anonymous,
          address,
          4096,
          granularity,
        );
        existing.write(data);
        existing.persist();
      }
      `,
      {
        flags: [
          `--allow-ffi=${library}`,
          `--allow-read=${scratch.directory}`,
          `--allow-write=${scratch.directory}`,
          ...(Deno.env.get("PMEM2_LIBRARY")
            ? ["--allow-env=PMEM2_LIBRARY"]
            : []),
        ],
        args: [scratch.directory, library],
      },
    );
    assertEquals(ended, SUCCESS, library);
  }
});

/** Opens a path in every way there is. */
const EVERY_WAY = `
  import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
  import { assert, assertEquals } from "@std/assert";

  using reservation = new Pmem2VmReservation(2 ** 20);
  const outcome = (open: () => Disposable): string => {
    try {
      open()[Symbol.dispose]();
      return "ok";
    } catch (error) {
      assert(error instanceof Error);
      if (error instanceof Deno.errors.NotCapable) {
        assert(error.message.startsWith("Requires "), error.message);
      }
      return error.name;
    }
  };
  const kinds = {
    read: { write: false },
    write: {},
    create: { create: true },
    createNew: { createNew: true },
    size: { size: 8192 },
  } as const;
  type Kind = keyof typeof kinds;
  const all = Object.keys(kinds) as Kind[];

  /** Expects the same of every way to open it. */
  const expect = (
    path: string | URL,
    expected: Partial<Record<Kind, string>>,
  ) => {
    for (const kind of all) {
      const options = kinds[kind];
      const want = expected[kind] ?? "NotCapable";
      const where = \`\${kind} \${path}\`;
      assertEquals(outcome(() => Pmem2Source.open(path, options)), want, where);
      assertEquals(outcome(() => Pmem2Map.open(path, options)), want, where);
      assertEquals(outcome(() => reservation.map(path, options)), want, where);
      assertEquals(outcome(() => reservation.map(path, { ...options, at: 0 })), want, where);
    }
  };
`;

Deno.test("a file outside the permissions is refused with Deno's own error", async () => {
  using scratch = temporary();
  const directory = scratch.directory;
  for (const name of ["both", "reading", "writing", "outside"]) {
    Deno.mkdirSync(`${directory}/${name}`);
    scratch.file(`${name}/a`, 8192);
  }
  const ended = await run(
    `${EVERY_WAY}
    const directory = Deno.args[0]!;
    const allowed = {
      read: "ok",
      write: "ok",
      create: "ok",
      createNew: "AlreadyExists",
      size: "ok",
    };
    for (const at of [directory, \`\${directory}/both/../outside/..\`]) {
      for (const file of ["a", "none"]) {
        const outside = \`\${at}/outside/\${file}\`;
        expect(outside, {});
        expect(new URL(\`file://\${outside}\`), {});
        expect(\`\${at}/writing/\${file}\`, {});
      }
      expect(\`\${at}/reading/a\`, { read: "ok" });
      expect(\`\${at}/both/a\`, allowed);
      expect(new URL(\`file://\${at}/both/a\`), allowed);
    }
    expect(\`\${directory}/both/../outside/a\`, {});
    expect(\`\${directory}/both/secret\`, { read: "NotFound" });

    Deno.chdir(\`\${directory}/both\`);
    expect("a", allowed);
    expect("./a", allowed);
    expect("../both/a", allowed);
    expect("../reading/a", { read: "ok" });
    expect("../outside/a", {});
    expect("../outside/none", {});
    expect("../writing/a", {});
    expect("/etc/hostname", {});
    assertEquals(
      outcome(() => Pmem2Source.open("none", { create: true, size: 4096 })),
      "ok",
    );
    assertEquals(outcome(() => Pmem2Source.open("missing")), "NotFound");
    `,
    {
      flags: [
        "--allow-ffi",
        `--allow-read=${directory}/both,${directory}/reading`,
        `--allow-write=${directory}/both,${directory}/writing`,
        `--deny-write=${directory}/both/secret`,
      ],
      args: [directory],
    },
  );
  assertEquals(ended, SUCCESS);
  for (const name of ["outside", "reading", "writing"]) {
    const files = [...Deno.readDirSync(`${directory}/${name}`)];
    assertEquals(files.map(({ name }) => name), ["a"]);
  }
  assert(!exists(`${directory}/both/secret`));
});

Deno.test("symbolic links lead nobody out of the permissions", async () => {
  using scratch = temporary();
  const directory = scratch.directory;
  for (const name of ["granted", "outside"]) {
    Deno.mkdirSync(`${directory}/${name}`);
    scratch.file(`${name}/a`, 8192);
  }
  Deno.symlinkSync("../outside/a", `${directory}/granted/out`);
  Deno.symlinkSync("../outside", `${directory}/granted/folder`);
  Deno.symlinkSync("../granted/a", `${directory}/outside/in`);
  Deno.symlinkSync("a", `${directory}/granted/within`);
  const ended = await run(
    `${EVERY_WAY}
    const directory = Deno.args[0]!;
    expect(\`\${directory}/outside/in\`, {});
    expect(\`\${directory}/granted/out\`, { createNew: "AlreadyExists" });
    expect(\`\${directory}/granted/folder/a\`, { createNew: "AlreadyExists" });
    expect(\`\${directory}/granted/within\`, {
      read: "ok",
      write: "ok",
      create: "ok",
      createNew: "AlreadyExists",
      size: "ok",
    });
    Deno.chdir(\`\${directory}/granted\`);
    expect("../outside/in", {});
    expect("out", { createNew: "AlreadyExists" });
    expect("folder/a", { createNew: "AlreadyExists" });
    for (const kind of ["create", "createNew", "size"] as const) {
      const options = { create: true, ...kinds[kind] };
      const name = outcome(() => Pmem2Map.open("folder/new", options));
      assertEquals(name, "NotCapable", kind);
    }
    `,
    {
      flags: [
        "--allow-ffi",
        `--allow-read=${directory}/granted`,
        `--allow-write=${directory}/granted`,
      ],
      args: [directory],
    },
  );
  assertEquals(ended, SUCCESS);
  assert(!exists(`${directory}/outside/new`));
});

Deno.test("files of the system stay Deno's to grant", async () => {
  using scratch = temporary();
  Deno.symlinkSync("/proc/self/environ", scratch.path("special"));
  const ended = await run(
    `${EVERY_WAY}
    // What these give away takes --allow-all.
    for (const path of ["/proc/self/mem", "/proc/self/environ", "/dev/mem", Deno.args[0]!]) {
      for (const open of [Pmem2Source.open, Pmem2Map.open]) {
        const name = outcome(() => open(path, { write: false }));
        assert(["NotCapable", "NotFound"].includes(name), \`\${path} \${name}\`);
      }
    }
    `,
    {
      flags: ["--allow-ffi", "--allow-read", "--allow-write"],
      args: [scratch.path("special")],
    },
  );
  assertEquals(ended, SUCCESS);
});
