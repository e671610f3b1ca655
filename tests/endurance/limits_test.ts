import { assertEquals } from "@std/assert";
import { frugal, run, runFile } from "../support/subprocess.ts";

Deno.test("many maps, and the kernel's limit of mappings, are borne", async () => {
  const { code, signal, stdout, stderr } = await runFile(
    "tests/endurance/limits.ts",
    {
      args: ["5000"],
      flags: ["-A", frugal],
      deadline: 600_000,
    },
  );
  assertEquals({ code, signal }, { code: 0, signal: null }, stdout + stderr);
});

// V8 ends the process where it can't map memory of its own, so the last mappings
// are not for maps.
Deno.test("a loop that maps until it is refused goes on after that", async () => {
  const { code, stdout, stderr } = await run(
    `
      import {
        Pmem2Error,
        Pmem2Map,
        Pmem2Source,
        Pmem2VmReservation,
      } from "@pmem2/pmem2";
      import { assert, assertEquals, assertInstanceOf } from "@std/assert";

      const path = Deno.makeTempFileSync();
      using source = Pmem2Source.open(path, { size: 8192 });
      Deno.removeSync(path);
      using reservation = new Pmem2VmReservation(2 ** 30);
      // Neighbors that the kernel can't join.
      const refused = (map) => {
        for (let i = 0;; i++) {
          try {
            maps.push(map(i));
          } catch (error) {
            return error;
          }
        }
      };
      const maps = [];
      for (
        const map of [
          (i) => reservation.map(source, { at: i * 8192, length: 4096 }),
          () => Pmem2Map.from(source, { length: 4096 }),
        ]
      ) {
        const error = refused(map);
        assertInstanceOf(error, Pmem2Error);
        assertEquals([error.code, error.call], ["ENOMEM", "pmem2_map_new"]);
      }
      const heap = Array.from({ length: 64 }, () => new Uint8Array(2 ** 20));
      assertEquals(heap.length, 64);
      assert(maps.length > 1000);
      assertEquals([...reservation].length, maps.filter((map) => map.offset > 0).length + 1);
      for (const map of maps) map.close();
      Pmem2Map.from(source).close();
      console.log("alive");
    `,
  );
  assertEquals([code, stdout], [0, "alive\n"], stderr);
});

Deno.test("a loop of reservations is refused before V8 lacks memory", async () => {
  const { code, stdout, stderr } = await run(`
    import { Pmem2Error, Pmem2VmReservation } from "@pmem2/pmem2";
    import { assert, assertEquals, assertThrows } from "@std/assert";

    const made = [];
    const error = assertThrows(() => {
      for (;;) made.push(new Pmem2VmReservation(4096));
    }, Pmem2Error);
    assertEquals([error.code, error.call], ["ENOMEM", "pmem2_vm_reservation_new"]);
    assert(error.message.includes(\`0 maps and \${made.length} reservations open\`), error.message);
    assert(error.message.includes("using"), error.message);
    const heap = Array.from({ length: 64 }, () => new Uint8Array(2 ** 20));
    assertEquals(heap.length, 64);
    for (const reservation of made) reservation.close();
    new Pmem2VmReservation(4096).close();
    console.log("alive", made.length > 1000);
  `);
  assertEquals([code, stdout], [0, "alive true\n"], stderr);
});

Deno.test("nine workers that map until they are refused live on", async () => {
  const { code, stdout, stderr } = await run(
    `
    const path = Deno.makeTempFileSync();
    Deno.truncateSync(path, 8192);
    const program = Deno.makeTempFileSync({ suffix: ".ts" });
    Deno.writeTextFileSync(program, \`
      import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
      using source = Pmem2Source.open("\${path}");
      const maps = [];
      let error;
      while (error === undefined) {
        try {
          // Neighbors that the kernel can't join.
          maps.push(Pmem2Map.from(source, { length: 4096 }));
        } catch (refusal) {
          error = refusal;
        }
      }
      const heap = Array.from({ length: 16 }, () => new Uint8Array(2 ** 20));
      postMessage([error.code, error.message, maps.length, heap.length]);
      onmessage = () => {
        for (const map of maps) map.close();
        postMessage("closed");
      };
    \`);
    const workers = Array.from({ length: 9 }, () =>
      new Worker(new URL("file://" + program), { type: "module" }));
    const answer = (worker) => new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => { event.preventDefault(); reject(new Error(event.message)); };
    });
    let maps = 0;
    for (const [code, message, count] of await Promise.all(workers.map(answer))) {
      if (code !== "ENOMEM" || !message.includes(\`\${count} maps\`)) throw new Error(message);
      maps += count;
    }
    if (maps < 1000) throw new Error(\`\${maps} maps in all\`);
    const closed = workers.map(answer);
    for (const worker of workers) worker.postMessage("close");
    await Promise.all(closed);
    for (const worker of workers) worker.terminate();
    Deno.removeSync(path);
    Deno.removeSync(program);
    console.log("alive");
  `,
    { deadline: 300_000 },
  );
  assertEquals([code, stdout], [0, "alive\n"], stderr);
});
