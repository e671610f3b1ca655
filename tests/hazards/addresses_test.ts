import { assertSurvives } from "./survival.ts";

/** Starts the text of a module in a worker, which posts a message at its end. */
const workers = `
function start(text) {
  const file = scratch.path(crypto.randomUUID() + ".ts");
  Deno.writeTextFileSync(file, \`
    import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
    \${text}
    postMessage(null);
    self.close();
  \`);
  const worker = new Worker(new URL("file://" + file), { type: "module" });
  const ended = new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => { event.preventDefault(); reject(new Error(event.message)); };
  });
  return { worker, ended };
}
`;

/** How long these try to end the process, in milliseconds. */
const TIME = Number(Deno.env.get("PMEM2_TEST_MS") ?? 2000);

for (
  const [what, text] of [
    [
      "makes and closes reservations",
      `{
        using stack = new DisposableStack();
        for (let i = 0; i < 20; i++) stack.use(new Pmem2VmReservation(2 ** 22));
      }`,
    ],
    [
      "allocates typed arrays",
      "new Uint8Array(40 * 2 ** 20).fill(1, 0, 4096);",
    ],
    [
      "maps into a reservation",
      `{
        using reservation = new Pmem2VmReservation(2 ** 28);
        for (let i = 0; i < 4; i++) reservation.map(path);
      }`,
    ],
  ] as const
) {
  Deno.test(`H12: a worker opens and closes maps while another ${what}`, () =>
    assertSurvives(`${workers}
      using scratch = new Scratch();
      // As long as what others map, so that it would fit into the hole.
      const path = scratch.path("file");
      Deno.createSync(path).close();
      Deno.truncateSync(path, 2 ** 26);
      const loop = (text) => \`
        const path = "\${path}";
        const end = performance.now() + ${TIME};
        while (performance.now() < end) \${text}
      \`;
      const both = [
        start(loop(\`{
          using map = Pmem2Map.open(path);
          const byte = new Uint8Array(1);
          map.read(byte, 0);
          map.read(byte, map.size - 1);
        }\`)),
        start(loop(${JSON.stringify(text)})),
      ];
      await Promise.all(both.map(({ ended }) => ended));
    `));
}

Deno.test("H12: workers that map are ended at any moment", () =>
  assertSurvives(`${workers}
    using scratch = new Scratch();
    const path = scratch.file("file", 2 ** 16);
    const end = performance.now() + ${TIME};
    const loop = async () => {
      while (performance.now() < end) {
        const { worker, ended: up } = start(\`
          postMessage(null);
          for (;;) {
            using map = Pmem2Map.open("\${path}");
            map.bytes[0]++;
            map.bytes[map.size - 1]++;
          }
        \`);
        await up;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 600));
        worker.terminate();
      }
    };
    await Promise.all(Array.from({ length: 8 }, loop));
  `));

Deno.test("a map or a reservation lies where the kernel places nothing", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    using source = Pmem2Source.open(path);
    using stack = new DisposableStack();
    const ours = [];
    for (let i = 0; i < 50; i++) {
      ours.push(stack.use(Pmem2Map.from(source)).address);
      ours.push(stack.use(new Pmem2VmReservation(2 ** 21)).address);
    }
    const theirs = Array.from({ length: 50 }, () => new process.ForeignMemory(2 ** 22).address);
    const near = (one, other) => (one > other ? one - other : other - one) < 2n ** 36n;
    for (const one of ours) assert(!theirs.some((other) => near(one, other)), one.toString(16));
  `));

Deno.test("maps that no caller has placed lie side by side, large ones on huge pages", () =>
  assertSurvives(`
    using memory = Pmem2Source.anonymous(2 ** 32);
    const page = memory.alignment;
    const open = (length) => Pmem2Map.from(memory, { length });
    const small = Array.from({ length: 200 }, () => open(page));
    for (const [i, map] of small.entries()) {
      assertEquals([map.reservation, map.offset], [null, 0]);
      if (i > 0) assertEquals(map.address, small[i - 1].address + BigInt(page));
    }
    for (const [size, alignment] of [
      [2 ** 21, 2n ** 21n], [2 ** 21 + page, 2n ** 21n], [2 ** 31, 2n ** 30n],
    ]) {
      using map = open(size);
      assertEquals(map.address % alignment, 0n);
    }
    for (const map of small) map.close();
  `));

Deno.test("the addresses of a closed map are used again last", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.file("file", 4096);
    const seen = new Set();
    for (let i = 0; i < 10_000; i++) {
      using map = Pmem2Map.open(path);
      assert(!seen.has(map.address), \`\${i}\`);
      seen.add(map.address);
    }
  `));

Deno.test("60,000 maps outside of a reservation are open at once", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const limit = Number(Deno.readTextFileSync("/proc/sys/vm/max_map_count"));
    using first = Pmem2Source.open(scratch.file("first", 4096));
    using second = Pmem2Source.open(scratch.file("second", 4096));
    const maps = [];
    const count = Math.min(60_000, limit - 3000);
    for (let i = 0; i < count; i++) maps.push(Pmem2Map.from(i % 2 ? first : second));
    const byte = new Uint8Array(1);
    for (const map of maps) map.read(byte);
    for (const map of maps) map.close();
    assert(process.mappings().length < 5000);
  `));

Deno.test("a map of 1 TiB and a reservation of 32 TiB find room", () =>
  assertSurvives(`
    using scratch = new Scratch();
    const path = scratch.path("sparse");
    Deno.createSync(path).close();
    Deno.truncateSync(path, 2 ** 40);
    using map = Pmem2Map.open(path);
    assertEquals(map.size, 2 ** 40);
    using another = Pmem2Map.open(path);
    another.bytes[2 ** 40 - 1] = 7;
    assertEquals(map.bytes[2 ** 40 - 1], 7);
    using reservation = new Pmem2VmReservation(2 ** 45);
    reservation.map(scratch.file("file", 4096), { at: 2 ** 45 - 65_536 }).fill(1);
    // Who asks for more than there is gets an error, and V8 what it needs.
    const all = [];
    const refusal = assertThrows(() => {
      for (;;) all.push(new Pmem2VmReservation(2 ** 40));
    }, Pmem2Error);
    assertEquals([refusal.code, refusal.call], ["ENOMEM", "pmem2_vm_reservation_new"]);
    const arrays = Array.from({ length: 100 }, () => new Uint8Array(2 ** 24));
    assertEquals(arrays.length, 100);
    for (const reservation of all) reservation.close();
  `));

// V8 alone reserves 50 GB.
for (const limit of ["-v 56000000", "-s unlimited"]) {
  Deno.test(`maps and reservations find room under ulimit ${limit}`, () =>
    assertSurvives(`
      using scratch = new Scratch();
      Deno.writeTextFileSync(scratch.path("program.ts"), \`
        import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
        using memory = Pmem2Source.anonymous(2 ** 22);
        const maps = [];
        for (let i = 0; i < 2000; i++) {
          maps.push(Pmem2Map.from(memory, { length: 65_536 }));
          maps.at(-1).fill(i & 255);
          if (i % 3 === 0) maps.shift().close();
        }
        using large = Pmem2Map.from(memory);
        large.fill(1);
        using reservation = new Pmem2VmReservation(2 ** 24);
        reservation.map(memory).bytes.fill(2);
        for (const map of maps) map.close();
        new Uint8Array(2 ** 26).fill(1);
        console.log("done");
      \`);
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["-c", 'ulimit ${limit} && exec "$@"', "bash", Deno.execPath(), "run", "-A",
          "--no-check", "--cached-only", "--config", "deno.json", scratch.path("program.ts")],
      }).output();
      const text = (bytes) => new TextDecoder().decode(bytes);
      assertEquals([code, text(stdout)], [0, "done\\n"], text(stderr));
    `));
}

Deno.test("a worker that closes its maps leaves no addresses behind", () =>
  assertSurvives(`${workers}
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    const { addressLimit } = await import("./ffi/process/placement.ts");
    const unit = addressLimit() / 64n;
    const ours = () => process.mappings().filter(({ from }) =>
      from >= 45n * unit && from < 56n * unit).length;
    Pmem2Map.open(path).close();
    const before = ours();
    for (let i = 0; i < 10; i++) {
      const { worker, ended } = start(\`
        const maps = [1, 2, 3].map(() => Pmem2Map.open("\${path}"));
        for (const map of maps) map.fill(1);
        for (const map of maps) map.close();
        Pmem2Map.open("\${path}").close();
      \`);
      await ended;
      worker.terminate();
    }
    assertEquals(ours(), before);
  `));
