import { assertSurvives } from "./survival.ts";

/** Runs the text of a module in workers, until each has sent a message. */
const workers = `
const started = [];
function start(text) {
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  Deno.writeTextFileSync(file, text);
  const worker = new Worker(new URL("file://" + file), { type: "module" });
  started.push(worker);
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => { event.preventDefault(); reject(new Error(event.message)); };
  }).finally(() => Deno.removeSync(file));
}
`;

Deno.test("H3: workers that map at once leave the working directory alone", () =>
  assertSurvives(`${workers}
    using scratch = new Scratch();
    Deno.chdir(scratch.directory);
    const results = await Promise.all([1, 2, 3].map((id) => {
      scratch.file(String(id), 4096);
      return start(\`
        import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
        using source = Pmem2Source.open("${"${id}"}");
        for (let i = 0; i < 1000; i++) {
          // By a relative path: another directory would have no such file.
          using map = Pmem2Map.open("${"${id}"}");
          Pmem2Map.from(source).close();
          map.fill(${"${id}"});
        }
        postMessage("done");
      \`);
    }));
    assertEquals(results, ["done", "done", "done"]);
    assertEquals(Deno.realPathSync("."), Deno.realPathSync(scratch.directory));
    for (const id of [1, 2, 3]) {
      assertEquals(Deno.readFileSync(String(id)), new Uint8Array(4096).fill(id));
    }
    Deno.chdir("/");
    for (const worker of started) worker.terminate();
  `));

Deno.test("H3: a worker that is terminated while it maps does not keep the lock", () =>
  assertSurvives(`${workers}
    using scratch = new Scratch();
    const path = scratch.file("file", 4096);
    for (let i = 0; i < 4; i++) {
      await start(\`
        import { Pmem2Map } from "@pmem2/pmem2";
        postMessage("up");
        for (;;) {
          Pmem2Map.open("\${path}").close();
          await new Promise((resolve) => setTimeout(resolve));
        }
      \`);
      await new Promise((resolve) => setTimeout(resolve, 20));
      started.pop().terminate();
      Pmem2Map.open(path).close();
    }
  `));

Deno.test("H18: the library stays in the process when its last worker ends", () =>
  assertSurvives(`${workers}
    // Not in this isolate: then the workers' is the only handle.
    const loaded = () => Deno.readTextFileSync("/proc/self/maps").includes("libpmem2.so");
    assert(!loaded());
    for (let i = 0; i < 5; i++) {
      await start(\`
        import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
        Pmem2Map.from(Pmem2Source.anonymous(4096)).close();
        postMessage("done");
        self.close();
      \`);
      started.pop().terminate();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert(loaded());
    }
    const keys = process.freeKeys();
    assert(keys > 900, \`\${keys} keys are left\`);
  `));

for (const end of ["ends", "is terminated"]) {
  Deno.test(`H19: a worker that ${end} while a flush is pending harms nobody`, () =>
    assertSurvives(`${workers}
      using scratch = new Scratch();
      for (let i = 0; i < 3; i++) {
        await start(\`
          import { Pmem2Map } from "@pmem2/pmem2";
          const map = Pmem2Map.open("\${scratch.path("file")}", { create: true, size: 2 ** 25 });
          map.fill(\${i}, 0, map.size, { flush: false });
          for (let i = 0; i < 8; i++) {
            map.persistAsync().catch(() => {});
            map.deepFlushAsync(i * 4096).catch(() => {});
          }
          postMessage("pending");
          ${end === "ends" ? "self.close();" : ""}
        \`);
        const worker = started.pop();
        ${end === "ends" ? "" : "worker.terminate();"}
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      using map = Pmem2Map.open(scratch.path("file"));
      map.fill(7);
      assertEquals(Deno.readFileSync(scratch.path("file"))[2 ** 25 - 1], 7);
    `));
}

Deno.test("a process that exits while a flush is pending exits as it was told", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const child = await new Deno.Command(Deno.execPath(), {
      args: ["eval", \`
        import { Pmem2Map } from "\${new URL("mod.ts", import.meta.url)}";
        const map = Pmem2Map.open("\${scratch.path("file")}", { create: true, size: 2 ** 25 });
        map.fill(1, 0, map.size, { flush: false });
        for (let i = 0; i < 8; i++) map.persistAsync();
        Deno.exit(42);
      \`],
    }).output();
    assertEquals([child.code, child.signal], [42, null]);
  `));
