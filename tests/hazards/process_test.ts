import { testUnless } from "../support/test_unless.ts";
import { assertSurvives } from "./survival.ts";

Deno.test("what was made can be closed after the permission was revoked", () =>
  assertSurvives(`
    const address = (() => {
      using reservation = new Pmem2VmReservation(2 ** 21);
      return reservation.address;
    })();
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const large = scratch.path("large");
    Deno.createSync(large).close();
    Deno.truncateSync(large, 2 ** 36);
    const program = scratch.path("program.ts");
    for (const [make, check] of [
      [\`new Pmem2VmReservation(2 ** 21, { address: \${address}n })\`, ""],
      ["new Pmem2VmReservation(2 ** 21)", ""],
      ["Pmem2Source.anonymous(4096)", ""],
      [\`Pmem2Source.open("\${path}")\`, ""],
      [\`Pmem2Map.open("\${path}")\`, ""],
      [\`Pmem2Map.open("\${large}")\`, ""],
      [\`Pmem2Source.open("\${path}").badBlocks()\`, ""],
    ]) {
      Deno.writeTextFileSync(program, \`
        import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
        const object = \${make};
        for (const name of ["ffi", "read", "write", "env"]) Deno.permissions.revokeSync({ name });
        if ("close" in object) {
          object.close();
          object.close();
          if (!object.closed) throw new Error("not closed");
        } else {
          object.return?.();
        }
      \`);
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-ffi", "--allow-read", "--allow-write", "--allow-env",
          "--no-check", "--config", "deno.json", program],
      }).output();
      assertEquals(code, 0, make + new TextDecoder().decode(stderr));
    }
  `));

Deno.test("H31: a working directory whose name is not UTF-8 gives nobody another's file", () =>
  assertSurvives(`
    using scratch = new Scratch();
    // What such a name looks like when it was decoded.
    const [name, other] = [[0x64, 0xff, 0], [0x64, 0xef, 0xbf, 0xbd, 0]].map((bytes) => {
      const path = [...new TextEncoder().encode(scratch.directory + "/"), ...bytes];
      return Uint8Array.from(path);
    });
    const { symbols } = Deno.dlopen((await import("@pmem2/pmem2")).libraryInfo().path, {
      mkdir: { parameters: ["buffer", "i32"], result: "i32" },
      chdir: { parameters: ["buffer"], result: "i32" },
    });
    for (const path of [other, name]) {
      assertEquals(symbols.mkdir(path, 0o700), 0);
      assertEquals(symbols.chdir(path), 0);
      Deno.writeFileSync("file", new Uint8Array(4096).fill(path.length));
    }
    for (const use of [
      () => Pmem2Map.open("file"),
      () => Pmem2Source.open("file"),
      () => Pmem2Map.open("new", { create: true, size: 4096 }),
    ]) {
      assertThrows(use, Deno.errors.InvalidData, "not UTF-8");
    }
    // By an absolute name everything is as ever.
    const path = scratch.file("file", 4096);
    Pmem2Map.open(path).close();
    Deno.chdir("/");
  `));

Deno.test("H30: native code that waits for input keeps nobody from mapping", async () =>
  await assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 4096);
    const program = scratch.path("program.ts");
    Deno.writeTextFileSync(program, \`
      import { libraryInfo, Pmem2Map } from "@pmem2/pmem2";
      const { symbols } = Deno.dlopen(libraryInfo().path, {
        getchar: { parameters: [], result: "i32", nonblocking: true },
      });
      const typed = symbols.getchar();
      await new Promise((resolve) => setTimeout(resolve, 300));
      Pmem2Map.open("\${path}").close();
      console.log("mapped");
      console.log(String.fromCharCode(await typed));
    \`);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", "deno.json", program],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream());
    let text = "";
    const patience = setTimeout(() => child.kill("SIGKILL"), 20_000);
    for await (const piece of lines) {
      text += piece;
      if (text !== "mapped\\n") continue;
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("x"));
      await writer.close();
    }
    clearTimeout(patience);
    assertEquals(text, "mapped\\nx\\n");
    assertEquals((await child.status).code, 0);
  `));

/** Whether the system has huge pages, or gives some to who asks as root. */
const hugePages = (() => {
  const file = "/proc/sys/vm/nr_hugepages";
  try {
    if (Number(Deno.readTextFileSync(file)) >= 4) return null;
    Deno.writeTextFileSync(file, "8");
    return Number(Deno.readTextFileSync(file)) >= 4
      ? null
      : "the system has no huge pages left";
  } catch {
    return "only root gets huge pages";
  }
})();

testUnless(
  hugePages,
  "H23: a part of a file on hugetlbfs is refused, and its neighbors stay whole",
  () =>
    assertSurvives(`
    const { symbols } = Deno.dlopen((await import("@pmem2/pmem2")).libraryInfo().path, {
      memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
      ftruncate: { parameters: ["i32", "i64"], result: "i32" },
      close: { parameters: ["i32"], result: "i32" },
    });
    const MFD_HUGETLB = 4;
    const fd = symbols.memfd_create(new TextEncoder().encode("huge\\0"), MFD_HUGETLB);
    assert(fd >= 0);
    const size = 2 ** 20 * Number(
      /^Hugepagesize: +(\\d+) kB$/m.exec(Deno.readTextFileSync("/proc/meminfo"))[1]) / 1024;
    assertEquals(symbols.ftruncate(fd, BigInt(size)), 0);
    using source = Pmem2Source.fromFd(fd);
    using memory = Pmem2Source.anonymous(4096);
    using reservation = new Pmem2VmReservation(4 * size);
    const neighbors = [4096, 8192, size, 2 * size].map((at) => reservation.map(memory, { at }));
    for (const neighbor of neighbors) neighbor.bytes.fill(0x5a);
    for (const [options, code] of [
      [{ at: 0, length: 4096 }, "PMEM2_E_LENGTH_UNALIGNED"],
      [{ at: 3 * size, length: 4096 }, "PMEM2_E_LENGTH_UNALIGNED"],
      [{ at: 3 * size, offset: 4096 }, "PMEM2_E_OFFSET_UNALIGNED"],
      [{ length: 4096 }, "PMEM2_E_LENGTH_UNALIGNED"],
    ]) {
      const error = assertThrows(() => reservation.map(source, options), Pmem2Error);
      assertEquals([error.code, error.call], [code, "pmem2_map_new"]);
      if (options.at === undefined) {
        assertRefused(() => Pmem2Map.from(source, options), code);
      }
    }
    for (const neighbor of neighbors) assert(neighbor.bytes.every((byte) => byte === 0x5a));
    // Whole pages of that kind are mapped, where they fit.
    for (const map of [reservation.map(source), Pmem2Map.from(source)]) {
      assertEquals(map.address % BigInt(size), 0n);
      map.bytes.fill(1);
      map.close();
    }
    for (const neighbor of neighbors) {
      assert(neighbor.bytes.every((byte) => byte === 0x5a));
      neighbor.close();
    }
    symbols.close(fd);
  `),
);

Deno.test("H29: a restart by --watch finds nothing of the program before it", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const address = (() => {
      using reservation = new Pmem2VmReservation(2 ** 21);
      return reservation.address;
    })();
    const program = scratch.path("program.ts");
    Deno.writeTextFileSync(program, \`
      import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
      const target = "\${path}";
      const mapped = Deno.readTextFileSync("/proc/self/maps").split("\\\\n")
        .filter((line) => line.endsWith(target)).length;
      const open = [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
        try { return Deno.readLinkSync("/proc/self/fd/" + name) === target; } catch { return false; }
      }).length;
      const reservation = new Pmem2VmReservation(2 ** 21, { address: \${address}n });
      reservation.map(target).bytes.fill(1);
      const source = Pmem2Source.open(target);
      const map = Pmem2Map.from(source);
      map.bytes.fill(2);
      addEventListener("unload", () => {});
      console.log(\\\`started \\\${mapped} \\\${open}\\\`);
      setInterval(() => {}, 1000);
    \`);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--watch", "--no-check", "--config", "deno.json", program],
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const patience = setTimeout(() => child.kill("SIGKILL"), 60_000);
    // It takes a moment until somebody watches.
    const change = setInterval(() => {
      Deno.writeTextFileSync(program, "\\n", { append: true });
    }, 1500);
    let text = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.split("started").length === 4) child.kill("SIGTERM");
    }
    clearTimeout(patience);
    clearInterval(change);
    const errors = await new Response(child.stderr).text();
    assertEquals(text, "started 0 0\\n".repeat(3), errors);
  `));

Deno.test("H29: a program's own listeners use its maps when it ends, and Deno.exit() ends it", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const program = scratch.path("program.ts");
    Deno.writeTextFileSync(program, \`
      import { Pmem2Map } from "@pmem2/pmem2";
      const map = Pmem2Map.open("\${path}");
      addEventListener("unload", () => {
        map.bytes.fill(7);
        map.persist();
        console.log("persisted");
      });
      if (Deno.args[0] === "exit") Deno.exit(3);
    \`);
    for (const [args, code] of [[[], 0], [["exit"], 3]]) {
      const ended = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--config", "deno.json", program, ...args],
      }).output();
      const text = new TextDecoder();
      assertEquals([ended.code, text.decode(ended.stdout)], [code, "persisted\\n"], text.decode(ended.stderr));
    }
  `));

Deno.test("H29: maps can be made after everything was closed by an unload event", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const events = () => {
      dispatchEvent(new Event("beforeunload"));
      dispatchEvent(new Event("unload"));
    };
    const use = () => {
      // One has views and is closed later, the others go at once.
      for (let i = 0; i < 10; i++) {
        const map = Pmem2Map.open(path);
        if (i % 2 === 0) map.bytes.fill(i);
        map.persist();
        if (i > 0) map.close();
      }
      new Pmem2VmReservation(2 ** 21).map(path).fill(1);
      Pmem2Source.open(path);
    };
    for (let i = 0; i < 5; i++) {
      use();
      events();
    }
    // A map that cannot be closed yet stays, and so do its addresses.
    const map = Pmem2Map.open(path);
    const bytes = map.bytes;
    const pending = map.persistAsync();
    events();
    assert(!map.closed);
    bytes[0] = 3;
    use();
    await pending;
    events();
    assert(map.closed);
    assertEquals(bytes.length, 0);
    use();
  `));
