import { Pmem2Map } from "@pmem2/pmem2";
import {
  CrashError,
  type EmulatedPmem,
  emulatePmem,
  testCrashes,
} from "@pmem2/pmem2/testing";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { libraryFile } from "./support/library_file.ts";
import { PAGE } from "./support/page.ts";
import { Scratch } from "./support/scratch.ts";
import { granularities } from "./support/store_checks.ts";
import { asOrdinaryUser, run } from "./support/subprocess.ts";

const SIZE = 2 * PAGE;

function open(pmem: EmulatedPmem, name = "file"): Pmem2Map {
  return Pmem2Map.open(pmem.path(name), { create: true, size: SIZE });
}

/** The first words of a file. */
function words(pmem: EmulatedPmem, count: number, name = "file"): number[] {
  const { buffer } = Deno.readFileSync(pmem.path(name));
  return [...new BigUint64Array(buffer, 0, count)].map(Number);
}

const make = (pmem: EmulatedPmem) => open(pmem).close();

function entries(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

Deno.test("testCrashes() checks each moment, with what was acknowledged before it", async () => {
  const seen = new Map<string, number[][]>();
  const result = await testCrashes<string>({
    states: 2,
    setup: make,
    write(pmem, acknowledge) {
      using map = open(pmem);
      const view = new BigUint64Array(map.buffer);
      view[0] = 1n;
      map.persist(0, 8);
      acknowledge("first");
      view[8] = 2n;
      map.flush(64, 8);
      map.drain();
      acknowledge("second");
      view[1] = 3n;
    },
    check(pmem, acknowledged) {
      const state = words(pmem, 9);
      const key = acknowledged.join();
      seen.set(key, [...seen.get(key) ?? [], [0, 1, 8].map((i) => state[i]!)]);
    },
  });
  assertEquals(result, { moments: 4, states: 8 });
  assertEquals([...seen], [
    // persist
    ["", [[0, 0, 0], [1, 0, 0]]],
    // flush, drain
    ["first", [[1, 0, 0], [1, 0, 2], [1, 0, 0], [1, 0, 2]]],
    // the end
    ["first,second", [[1, 0, 2], [1, 3, 2]]],
  ]);
});

Deno.test("testCrashes() takes each call that makes something durable for a moment, once", async () => {
  const calls: [(map: Pmem2Map) => unknown, number][] = [
    [(map) => map.persist(), 1],
    [(map) => map.flush(), 1],
    [(map) => map.drain(), 1],
    [(map) => map.deepFlush(), 1],
    [(map) => map.persistAsync(), 1],
    [(map) => map.deepFlushAsync(), 1],
    [(map) => map.write(new Uint8Array(300)), 1],
    [(map) => map.write(new Uint8Array(300), 0, { drain: false }), 1],
    [(map) => map.write(new Uint8Array(300), 0, { temporal: false }), 1],
    [(map) => map.fill(1), 1],
    [(map) => map.move(0, 100, 100), 1],
  ];
  for (const granularity of granularities) {
    for (const [call, moments] of calls) {
      const result = await testCrashes({
        granularity,
        setup: make,
        async write(pmem) {
          using map = open(pmem);
          await call(map);
        },
        check() {},
        states: 1,
      });
      assertEquals(result.moments, moments + 1, `${granularity}: ${call}`);
    }
    const { moments } = await testCrashes({
      granularity,
      setup: make,
      write(pmem) {
        using map = open(pmem);
        map.fill(1, 0, 1, { flush: false });
        map.bytes[5] = 1;
        map.persist(0, 0);
      },
      check() {},
      states: 1,
    });
    // At byte granularity a store makes itself durable.
    assertEquals(moments, granularity === "byte" ? 2 : 1);
  }
});

Deno.test("testCrashes() looks at every state where there are few", async () => {
  const seen = new Set<string>();
  await testCrashes({
    setup: make,
    write(pmem) {
      using map = open(pmem);
      new BigUint64Array(map.buffer, 0, 4).fill(1n);
      map.persist(0, 32);
    },
    check(pmem, { length }) {
      assertEquals(length, 0);
      seen.add(words(pmem, 4).join(""));
    },
  });
  assertEquals(seen.size, 16);
});

Deno.test("testCrashes() makes a different choice for each seed, and the same for the same", async () => {
  for (const granularity of ["cache-line", "page"] as const) {
    const states = async (seed?: number) => {
      const list: string[] = [];
      await testCrashes({
        granularity,
        seed,
        setup: make,
        async write(pmem) {
          using map = open(pmem);
          for (let i = 1; i < 5; i++) {
            map.bytes.fill(i, i * 500, i * 500 + 2000);
            await map.persistAsync(i * 1000, 300);
          }
        },
        check(pmem) {
          list.push(Deno.readFileSync(pmem.path("file")).toBase64());
        },
      });
      return list;
    };
    const first = await states();
    assert(new Set(first).size > 40);
    assertEquals(await states(1), first);
    const other = await states(2);
    assert(other.filter((state) => !first.includes(state)).length > 20);
    assertEquals(await states(2), other);
  }
});

Deno.test("testCrashes() lets a write, fill or move that is cut off leave any of its words, at each granularity", async () => {
  const calls: ((map: Pmem2Map) => void)[] = [
    (map) => map.write(new Uint8Array(24).fill(1)),
    (map) => map.fill(1, 0, 24),
    (map) => map.move(0, PAGE, 24),
    (map) => map.fill(1, 0, 24, { drain: false }),
  ];
  for (const granularity of ["byte", "cache-line"] as const) {
    for (const call of calls) {
      const seen = new Set<string>();
      await testCrashes({
        granularity,
        setup(pmem) {
          using map = open(pmem);
          map.fill(1, PAGE);
        },
        write(pmem, acknowledge) {
          using map = open(pmem);
          map.bytes[64] = 1;
          call(map);
          acknowledge(1);
        },
        check(pmem, acknowledged) {
          const bytes = Deno.readFileSync(pmem.path("file"));
          // A store through a view is whole, and durable there at once.
          if (granularity === "byte") assertEquals(bytes[64], 1);
          if (acknowledged.length > 0) return;
          for (const at of [0, 8, 16]) {
            const word = bytes.subarray(at, at + 8);
            assert(word.every((byte) => byte === word[0]));
          }
          seen.add([0, 8, 16].map((at) => bytes[at]).join(""));
        },
        states: 64,
      });
      assertEquals(seen.size, 8, `${granularity}: ${call}`);
    }
  }
});

Deno.test("testCrashes() may keep what was flushed although it was stored to again", async () => {
  const seen = new Set<string>();
  await testCrashes({
    setup: make,
    write(pmem) {
      using map = open(pmem);
      map.bytes[0] = 1;
      map.flush(0, 1);
      map.bytes[0] = 2;
      map.bytes[64] = 1;
      map.flush(64, 1);
    },
    check(pmem) {
      const bytes = Deno.readFileSync(pmem.path("file"));
      seen.add(`${bytes[0]}${bytes[64]}`);
    },
    states: 64,
  });
  assertEquals([...seen].sort(), ["00", "01", "10", "11", "20", "21"]);
});

Deno.test("testCrashes() takes what setup leaves for durable, and its maps stay open", async () => {
  let map: Pmem2Map;
  let closed = 0;
  await testCrashes({
    setup(pmem) {
      map = open(pmem);
      map.bytes[0] = 1;
    },
    write() {
      map.bytes[64] = 1;
      map.persist(64, 1);
      map.bytes[128] = 1;
    },
    check(pmem) {
      const bytes = Deno.readFileSync(pmem.path("file"));
      assertEquals(bytes[0], 1);
      if (map.closed) closed++;
    },
  });
  assertEquals(closed, 32);
});

Deno.test("testCrashes() lets setup and write cut the power themselves", async () => {
  let recoveries = 0;
  await testCrashes({
    setup(pmem) {
      using map = open(pmem);
      map.bytes[0] = 1;
      map.persist(0, 1);
      map.bytes[64] = 1;
      pmem.crash();
    },
    write(pmem) {
      // A recovery that is cut off, and another one.
      for (const at of [128, 192]) {
        const map = open(pmem);
        assertEquals([map.bytes[0], map.bytes[64]], [1, 0]);
        map.bytes[at] = 1;
        map.persist(at, 1);
        map.bytes[64] = 2;
        pmem.crash();
        assertEquals(map.closed, true);
      }
    },
    check(pmem) {
      const bytes = Deno.readFileSync(pmem.path("file"));
      assertEquals(bytes[0], 1);
      // Behind the first power cut nothing of the second part is there.
      if (bytes[192] === 1) assertEquals(bytes[128], 1);
      if (bytes[128] === 1) recoveries++;
    },
  });
  assert(recoveries > 16);
});

Deno.test("testCrashes() gives each check files of its own, and closes what it leaves open", async () => {
  const maps: Pmem2Map[] = [];
  const { states } = await testCrashes({
    setup: make,
    write(pmem) {
      using map = open(pmem);
      map.fill(1, 0, 8);
      map.fill(2, 0, 8);
    },
    check(pmem) {
      for (const map of maps) assertEquals(map.closed, true);
      assertEquals(entries(pmem.directory), ["file"]);
      const map = open(pmem);
      maps.push(map);
      assert(map.bytes.subarray(8).every((byte) => byte === 0));
      // Whatever it does is not there the next time.
      map.bytes.fill(9, 8);
      if (maps.length % 2 === 0) map.persist();
      Deno.writeTextFileSync(pmem.path("other"), "text");
      if (maps.length % 3 === 0) Deno.removeSync(pmem.path("file"));
      if (maps.length % 5 === 0) {
        Deno.writeFileSync(pmem.path("file"), new Uint8Array(5));
      }
      if (maps.length % 7 === 0) {
        Deno.linkSync(pmem.path("other"), pmem.path("link"));
      }
    },
  });
  assertEquals(maps.length, states);
});

Deno.test("testCrashes() lets a check recover, and cut the power again", async () => {
  for (const granularity of ["cache-line", "page"] as const) {
    await testCrashes({
      granularity,
      setup: make,
      write(pmem) {
        using map = open(pmem);
        map.write(Uint8Array.of(1));
        map.write(Uint8Array.of(2));
      },
      check(pmem) {
        const map = open(pmem);
        const found = map.bytes[0];
        map.write(Uint8Array.of(1), PAGE);
        map.bytes[0] = 7;
        pmem.crash();
        using again = open(pmem);
        assertEquals([again.bytes[0], again.bytes[PAGE]], [found, 1]);
      },
    });
  }
});

Deno.test("testCrashes() gives a check the whole directory as of its moment", async () => {
  const seen: string[] = [];
  await testCrashes({
    states: 1,
    setup(pmem) {
      make(pmem);
      Deno.writeTextFileSync(pmem.path("text"), "0");
    },
    write(pmem) {
      using map = open(pmem);
      const moment = () => map.fill(1, 0, 1);
      moment();
      Deno.writeTextFileSync(pmem.path("text"), "1");
      moment();
      Deno.writeTextFileSync(pmem.path("text"), "2");
      Deno.mkdirSync(pmem.path("a/b"), { recursive: true });
      Deno.linkSync(pmem.path("text"), pmem.path("a/link"));
      Deno.symlinkSync("../text", pmem.path("a/symlink"));
      {
        using other = open(pmem, "a/b/mapped");
        other.fill(3);
      }
      Deno.renameSync(pmem.path("a/b/mapped"), pmem.path("a/renamed"));
      moment();
      Deno.removeSync(pmem.path("a"), { recursive: true });
    },
    check(pmem) {
      const list = entries(pmem.directory);
      let state = `${list} ${Deno.readTextFileSync(pmem.path("text"))}`;
      if (list.includes("a")) {
        const names = entries(pmem.path("a"));
        state += ` ${names.join()}`;
        if (names.includes("renamed")) {
          assertEquals(Deno.readLinkSync(pmem.path("a/symlink")), "../text");
          const [one, two] = ["text", "a/link"].map((name) =>
            Deno.statSync(pmem.path(name)).ino
          );
          assertEquals(one, two);
          state += ` ${Deno.readFileSync(pmem.path("a/renamed"))[SIZE - 1]}`;
        }
      }
      seen.push(state);
    },
  });
  assertEquals(seen, [
    "file,text 0",
    "file,text 1",
    "a,file,text 2 b,link,symlink",
    "a,file,text 2 link,renamed,symlink 3".replace("link,", "b,link,"),
    "file,text 2",
  ]);
});

Deno.test("testCrashes() sees files that are made, mapped and closed on the way", async () => {
  const { moments } = await testCrashes<number>({
    write(pmem, acknowledge) {
      for (let i = 0; i < 5; i++) {
        {
          using map = open(pmem, `${i % 2}`);
          map.write(Uint8Array.of(i));
          acknowledge(i);
          map.bytes[64] = i;
        }
        if (i === 3) Deno.removeSync(pmem.path("1"));
      }
    },
    check(pmem, acknowledged) {
      const last = acknowledged.at(-1) ?? -1;
      for (const name of entries(pmem.directory)) {
        const [value] = Deno.readFileSync(pmem.path(name));
        assert(value! <= last + 1);
        if (last >= 0 && name === `${last % 2}` && last !== 3) {
          assert(value! >= last);
        }
      }
    },
  });
  assertEquals(moments, 6);
});

function append(map: Pmem2Map): void {
  map.write(Uint8Array.of(1), 0, { drain: false });
}

Deno.test("CrashError tells where the power went, what was pending and what survived", async () => {
  const cause = new Error("my own");
  const test = (only?: { moment: number; state: number }) =>
    testCrashes({
      setup: make,
      write(pmem, acknowledge) {
        using map = open(pmem);
        append(map);
        acknowledge("appended");
        map.bytes[8] = 1;
        map.bytes[16] = 1;
        map.drain();
      },
      check(pmem, { length }) {
        const state = words(pmem, 3).join("");
        if (length > 0 && state === "100") throw cause;
      },
      seed: 5,
      only,
    });
  const error = await assertRejects(() => test(), CrashError);
  assertEquals(error.name, "CrashError");
  assertEquals(error.cause, cause);
  assertEquals([error.moment, error.seed], [1, 5]);
  assert(error.state > 1);
  const [call, caller] = error.at.split("\n");
  assertStringIncludes(call!, "Pmem2Map.drain");
  assertStringIncludes(caller!, "write");
  assertStringIncludes(caller!, "test_crashes_test.ts:");
  assert(!error.at.includes("ext:"), error.at); // Deno's own frames
  assertEquals(error.pending, [
    { path: "file", offset: 0, length: 8, kept: true },
    { path: "file", offset: 8, length: 16, kept: false },
  ]);
  for (
    const part of [
      "my own",
      error.at,
      "kept 8 bytes at 0 of file",
      "lost 16 bytes at 8 of file",
      `seed: 5, only: { moment: 1, state: ${error.state} }`,
    ]
  ) assertStringIncludes(error.message, part);

  const { moment, state } = error;
  const again = await assertRejects(() => test({ moment, state }), CrashError);
  assertEquals(again.pending, error.pending);
  assertEquals(await test({ moment, state: 0 }), { moments: 3, states: 1 });
  await assertRejects(
    () => test({ moment: 3, state: 0 }),
    RangeError,
    "only.moment must be less than 3, the number of moments: received 3",
  );
});

Deno.test("CrashError tells which append it was", async () => {
  const error = await assertRejects(
    () =>
      testCrashes({
        setup: make,
        write(pmem) {
          using map = open(pmem);
          append(map);
          map.drain();
          append(map);
        },
        check(pmem) {
          if (words(pmem, 1)[0] === 0) throw "no error";
        },
      }),
    CrashError,
  );
  assertEquals([error.moment, error.state, error.cause], [0, 0, "no error"]);
  const lines = error.at.split("\n");
  assertStringIncludes(lines[0]!, "Pmem2Map.write");
  assertStringIncludes(lines[1]!, "append");
});

Deno.test("CrashError at the end has no stack, and lists a hundred ranges", async () => {
  const error = await assertRejects(
    () =>
      testCrashes({
        setup: make,
        write(pmem) {
          using map = open(pmem);
          for (let i = 0; i < 200; i++) map.bytes[i * 16] = 1;
        },
        check(pmem) {
          assertEquals(words(pmem, 1), [0]);
        },
      }),
    CrashError,
  );
  assertEquals([error.moment, error.state, error.at], [0, 1, ""]);
  assertEquals(error.pending.length, 100);
  assertEquals(error.pending[99], {
    path: "file",
    offset: 99 * 16,
    length: 8,
    kept: true,
  });
  assertStringIncludes(error.message, "at the end");
});

Deno.test("testCrashes() rejects with the errors of setup and write as they are, and leaves nothing behind", async () => {
  using scratch = new Scratch();
  const { directory } = scratch;
  const mine = new Error("mine");
  const fail = () => {
    throw mine;
  };
  const nothing = () => {};
  for (
    const test of [
      { setup: fail, write: nothing, check: nothing },
      {
        write: (pmem: EmulatedPmem) => {
          open(pmem).fill(1);
          fail();
        },
        check: nothing,
      },
      { write: () => Promise.reject(mine), check: nothing },
    ]
  ) {
    const error = await assertRejects(() =>
      testCrashes({ ...test, directory })
    );
    assertEquals(error, mine);
    assertEquals(entries(directory), []);
  }
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = descriptors();
  for (let i = 0; i < 3; i++) {
    await assertRejects(
      () =>
        testCrashes({
          directory,
          write: (pmem) => open(pmem).fill(1),
          check: fail,
        }),
      CrashError,
    );
    await testCrashes({
      directory,
      write: (pmem) => open(pmem).fill(1),
      check: nothing,
    });
    assertEquals(entries(directory), []);
  }
  assertEquals(descriptors(), before);
});

Deno.test("testCrashes() refuses to run while another one does", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = testCrashes({ write: () => promise, check() {} });
  await assertRejects(
    () => testCrashes({ write() {}, check() {} }),
    TypeError,
    "another testCrashes is running",
  );
  resolve();
  assertEquals(await first, { moments: 1, states: 16 });
  await testCrashes({ write() {}, check() {} });
});

Deno.test("testCrashes() works beside other emulations", async () => {
  using pmem = emulatePmem("page");
  using mine = open(pmem, "mine");
  mine.bytes[0] = 1;
  const { moments } = await testCrashes({
    setup: make,
    write(pmem) {
      using map = open(pmem);
      assertEquals(map.granularity, "cache-line");
      mine.persist(0, 1);
      map.fill(1);
    },
    check() {
      assertEquals(mine.bytes[0], 1);
    },
  });
  assertEquals(moments, 2);
  mine.bytes[PAGE] = 1;
  pmem.crash();
  const bytes = Deno.readFileSync(pmem.path("mine"));
  assertEquals([bytes[0], bytes[PAGE]], [1, 0]);
});

Deno.test("testCrashes() knows all that changes, though it's too much for the memory", async () => {
  using scratch = new Scratch();
  const { directory } = scratch;
  const size = 4 * 2 ** 20;
  const rounds = 40;
  const { moments } = await testCrashes<number>({
    directory,
    states: 2,
    write(pmem, acknowledge) {
      using map = Pmem2Map.open(pmem.path("file"), { create: true, size });
      for (let i = 1; i <= rounds; i++) {
        // No block is like another one.
        for (let at = 0; at < size; at += 4096) {
          map.bytes[at + i] = i + at / 4096;
        }
        map.persist();
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      const bytes = Deno.readFileSync(pmem.path("file"));
      for (const i of acknowledged) {
        for (const block of [0, 1, 1000]) {
          assertEquals(bytes[block * 4096 + i], (i + block) % 256);
        }
      }
    },
  });
  assertEquals(moments, rounds + 1);
  assertEquals(entries(directory), []);
});

Deno.test("testCrashes() goes on where a check leaves a map open, and a lock on its file", async () => {
  const locked: Deno.FsFile[] = [];
  await testCrashes({
    states: 3,
    setup: make,
    write: (pmem) => open(pmem).fill(1, 0, 8),
    check(pmem) {
      open(pmem);
      const file = Deno.openSync(pmem.path("file"));
      // It would wait for ever for one that was left on the same file.
      file.lockSync(true);
      locked.push(file);
    },
  });
  assertEquals(locked.length, 6);
  for (const file of locked) file.close();
});

Deno.test("testCrashes() goes on where a check leaves memory with somebody else", async () => {
  const held: ArrayBuffer[] = [];
  await testCrashes({
    states: 3,
    setup: make,
    write: (pmem) => open(pmem).fill(1, 0, 8),
    check(pmem) {
      const map = open(pmem);
      assert([0, 1].includes(map.bytes[0]!));
      assertEquals(map.bytes[100], 0);
      map.bytes[100] = 1;
      const { buffer } = map;
      held.push(structuredClone(buffer, { transfer: [buffer] }));
    },
  });
  assertEquals(held.length, 6);
});

Deno.test("testCrashes() works with files and directories that nobody may write to", async () => {
  const script = `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { emulatePmem, testCrashes } from "@pmem2/pmem2/testing";
    import { assertEquals, assertThrows } from "@std/assert";
    const modeOf = (path) => Deno.statSync(path).mode & 0o777;
    const make = (pmem, name, mode) =>
      Pmem2Map.open(pmem.path(name), { createNew: true, size: 8192, mode });

    using pmem = emulatePmem("cache-line");
    const map = make(pmem, "map", 0o400);
    assertThrows(() => Deno.openSync(pmem.path("map"), { write: true }));
    map.fill(1, 0, 8);
    map.bytes[64] = 1;
    pmem.crash();
    const bytes = Deno.readFileSync(pmem.path("map"));
    assertEquals([bytes[0], bytes[64]], [1, 0]);
    assertEquals(modeOf(pmem.path("map")), 0o400);

    const result = await testCrashes({
      states: 4,
      write(pmem) {
        Deno.mkdirSync(pmem.path("directory"));
        Deno.writeTextFileSync(pmem.path("directory/read"), "text");
        Deno.chmodSync(pmem.path("directory/read"), 0o400);
        Deno.writeTextFileSync(pmem.path("directory/closed"), "text");
        Deno.chmodSync(pmem.path("directory/closed"), 0);
        Deno.chmodSync(pmem.path("directory"), 0o500);
        using map = make(pmem, "map", 0o444);
        map.fill(1, 0, 8);
        map.fill(2, 0, 8);
      },
      check(pmem) {
        assertEquals(modeOf(pmem.path("directory")), 0o500);
        assertEquals(modeOf(pmem.path("directory/closed")), 0);
        assertEquals(Deno.readTextFileSync(pmem.path("directory/read")), "text");
        assertThrows(() => Deno.openSync(pmem.path("map"), { write: true }));
        using map = Pmem2Map.open(pmem.path("map"), { write: false });
        const bytes = new Uint8Array(8);
        map.read(bytes);
        assertEquals(bytes.every((byte) => byte <= 2), true);
      },
    });
    console.log(result);
  `;
  using scratch = new Scratch();
  const { code, stdout, stderr } = await run(script, {
    env: { PMEM2_TEST_DIR: scratch.directory },
    launcher: asOrdinaryUser,
  });
  assertEquals(stderr, "");
  assertEquals(stdout, "{ moments: 3, states: 12 }\n");
  assertEquals(code, 0);
  assertEquals(entries(scratch.directory), []);
});

Deno.test("testCrashes() tells whose function has disposed of the emulation", async () => {
  const end = (pmem: EmulatedPmem) => pmem[Symbol.dispose]();
  const write = (pmem: EmulatedPmem) => open(pmem).fill(1, 0, 8);
  const check = () => {};
  const cases = {
    setup: { setup: end, write, check },
    write: { write: end, check },
    check: { write, check: end },
  };
  for (const [name, options] of Object.entries(cases)) {
    await assertRejects(
      () => testCrashes(options),
      TypeError,
      `as ${name} has disposed of the emulation`,
    );
  }
});

Deno.test("CrashError names the error of a check that has no message", async () => {
  const error = await assertRejects(
    () =>
      testCrashes({
        write: () => {},
        check: () => {
          throw new RangeError();
        },
      }),
    CrashError,
  );
  assertStringIncludes(error.message, "Its error: RangeError\n");
});

Deno.test("testCrashes() refuses bad options", async () => {
  const [write, check] = [() => {}, () => {}];
  // deno-lint-ignore no-explicit-any
  const any = testCrashes as any;
  const cases: [unknown, string][] = [
    [undefined, "write must be a function"],
    [null, "write must be a function"],
    [1, "options must be"],
    [{ check }, "write must be a function"],
    [{ write }, "check must be a function"],
    [{ write, check, setup: 1 }, "setup must be a function"],
    [{ write, check, setup: null }, "setup must be a function"],
    [{ write, check, granularity: "line" }, "granularity must be"],
    [{ write, check, directory: 1 }, "directory must be"],
    [{ write, check, states: "16" }, "states must be"],
    [{ write, check, seed: 1n }, "seed must be"],
    [{ write, check, only: 1 }, "only must be an object"],
    [{ write, check, only: {} }, "only.moment must be"],
    [{ write, check, state: 1 }, '"states"'],
  ];
  for (const [options, message] of cases) {
    await assertRejects(() => any(options), TypeError, message);
  }
  for (
    const options of [
      { states: 0 },
      { states: 1.5 },
      { seed: -1 },
      { only: { moment: -1, state: 0 } },
      { only: { moment: 0, state: 16 } },
    ]
  ) {
    await assertRejects(() => any({ write, check, ...options }), RangeError);
  }
  await assertRejects(
    () => testCrashes({ write, check, directory: "/nowhere/at/all" }),
    Deno.errors.NotFound,
  );
  assertThrows(() => {
    throw new CrashError({
      moment: 0,
      moments: 1,
      state: 0,
      seed: 1,
      at: "",
      pending: [],
      cause: Object.create(null),
    });
  }, CrashError);
});

Deno.test("testCrashes() needs no views, and no more than the library", async () => {
  const directory = Deno.makeTempDirSync();
  const library = libraryFile();
  const script = `
    import { Pmem2Map } from "@pmem2/pmem2";
    import { testCrashes } from "@pmem2/pmem2/testing";
    const open = (pmem) => Pmem2Map.open(pmem.path("file"), { create: true, size: 8192 });
    const value = new Uint8Array(16);
    for (const granularity of ["byte", "cache-line", "page"]) {
      const { moments, states } = await testCrashes({
        granularity,
        directory: Deno.args[0],
        write(pmem, acknowledge) {
          using map = open(pmem);
          for (let i = 1; i < 4; i++) {
            map.write(value.fill(i), 0, { flush: false });
            map.persist(0, 16);
            map.deepFlush();
            acknowledge(i);
          }
        },
        check(pmem, acknowledged) {
          using map = open(pmem);
          map.read(value);
          const least = acknowledged.at(-1) ?? 0;
          if (value[0] < least || value[8] < least) throw new Error("lost");
        },
      });
      console.log(granularity, moments > 6, states > 100);
    }
  `;
  try {
    const { stdout, stderr } = await run(script, {
      flags: [
        `--allow-ffi=${library}`,
        `--allow-read=${directory}`,
        `--allow-write=${directory}`,
        "--allow-env=PMEM2_LIBRARY",
      ],
      args: [directory],
      env: { PMEM2_LIBRARY: library },
    });
    assertEquals(
      [stdout, stderr],
      [
        "byte true true\ncache-line true true\npage true true\n",
        "",
      ],
    );
    assertEquals(entries(directory), []);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
