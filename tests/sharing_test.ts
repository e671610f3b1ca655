import { Pmem2Map } from "@pmem2/pmem2";
import { assertEquals } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";

const PROCESSES = 2;
const WORKERS = 2;
const ROUNDS = 50_000;

/** Counts in a process's main thread and in its workers, all at once. */
const COUNT = `
import { Pmem2Map } from "@pmem2/pmem2";

const [path, rounds] = Deno.args;
const program = \`
  import { Pmem2Map } from "@pmem2/pmem2";
  onmessage = ({ data: [path, rounds] }) => {
    using map = Pmem2Map.open(path);
    const number = new Int32Array(map.buffer, 0, 1);
    const big = new BigInt64Array(map.buffer, 8, 1);
    for (let i = 0; i < rounds; i++) {
      Atomics.add(number, 0, 1);
      Atomics.sub(big, 0, 1n);
      if (i % 1000 === 0) map.persist(0, 16);
    }
    postMessage("done");
  };
\`;
const url = "data:text/javascript," + encodeURIComponent(program);
const workers = Array.from(
  { length: ${WORKERS} },
  () => new Worker(url, { type: "module" }),
);
await Promise.all(workers.map((worker) => {
  worker.postMessage([path, Number(rounds)]);
  return new Promise((resolve) => worker.onmessage = resolve);
}));
for (const worker of workers) worker.terminate();
`;

Deno.test("Atomics on a map lose nothing between processes and workers", async () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 0);
  using map = Pmem2Map.open(path, { size: 65_536 });
  const number = new Int32Array(map.buffer, 0, 1);
  const big = new BigInt64Array(map.buffer, 8, 1);
  const ended = await Promise.all(
    Array.from(
      { length: PROCESSES },
      () => run(COUNT, { args: [path, `${ROUNDS}`] }),
    ),
  );
  for (const { code, stderr } of ended) {
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
  }
  const all = PROCESSES * WORKERS * ROUNDS;
  // Seen at once, without opening the file again.
  assertEquals([number[0], big[0]], [all, BigInt(-all)]);
});

Deno.test("Atomics on a map hand a lock from one process to another", async () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 0);
  using map = Pmem2Map.open(path, { size: 65_536 });
  const program = `
    import { Pmem2Map } from "@pmem2/pmem2";
    using map = Pmem2Map.open(Deno.args[0]!);
    const [lock, sum] = [0, 1];
    const words = new Int32Array(map.buffer, 0, 2);
    for (let i = 0; i < 5000; i++) {
      while (Atomics.compareExchange(words, lock, 0, 1) !== 0);
      // Without the lock this would lose some.
      const before = words[sum]!;
      for (let wait = 0; wait < 20; wait++);
      words[sum] = before + 1;
      Atomics.store(words, lock, 0);
    }
  `;
  const ended = await Promise.all(
    [1, 2].map(() => run(program, { args: [path] })),
  );
  assertEquals(ended.map(({ code }) => code), [0, 0]);
  assertEquals(new Int32Array(map.buffer, 0, 2)[1], 10_000);
});
