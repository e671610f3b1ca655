import { assertEquals } from "@std/assert";
import { run } from "./support/subprocess.ts";

Deno.test("nothing native is left behind by what is closed or refused", async () => {
  const ended = await run(
    `
    import {
      libraryInfo,
      Pmem2Map,
      Pmem2Source,
      Pmem2VmReservation,
    } from "@pmem2/pmem2";
    import { assert, assertThrows } from "@std/assert";

    declare const gc: () => void;
    const { symbols } = Deno.dlopen(libraryInfo().path, {
      // struct mallinfo2 mallinfo2(void);
      mallinfo2: {
        parameters: [],
        result: { struct: Array<"u64">(10).fill("u64") },
      },
    });
    /** Bytes that malloc has given and not got back. */
    const inUse = () => {
      gc();
      gc();
      const { buffer } = symbols.mallinfo2();
      const info = new BigUint64Array(buffer as ArrayBuffer);
      const [hblkhd, uordblks] = [info[4]!, info[7]!];
      return Number(hblkhd + uordblks);
    };

    const path = Deno.makeTempFileSync();
    Deno.truncateSync(path, 8192);
    using shared = Pmem2Source.anonymous(4096);
    const uses = {
      source: () => Pmem2Source.open(path).close(),
      map: () => Pmem2Map.open(path).close(),
      view: () => {
        using map = Pmem2Map.from(shared);
        map.bytes[0] = 1;
        map.persist(0, 1);
      },
      reservation: () => {
        using reservation = new Pmem2VmReservation(65_536);
        reservation.map(shared);
        reservation.map(shared);
        reservation.findLast()!.close();
        reservation.shrink(32_768, 32_768);
        for (const map of reservation) map.close();
      },
      refusedMap: () => {
        assertThrows(() => Pmem2Map.from(shared, { offset: 1 }));
      },
      refusedReservation: () => {
        assertThrows(() => new Pmem2VmReservation(5000));
      },
    };
    for (const [name, use] of Object.entries(uses)) {
      // Deno's own heap comes and goes; what is lost is lost each time.
      let least = Infinity;
      for (let batch = 0; batch < 8; batch++) {
        const before = inUse();
        for (let i = 0; i < 700; i++) use();
        least = Math.min(least, inUse() - before);
      }
      assert(least < 700 * 16, \`\${name}: \${least} bytes\`);
    }
    Deno.removeSync(path);
  `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals(ended, { code: 0, signal: null, stdout: "", stderr: "" });
});

Deno.test("closed maps of a reservation that were walked are collected", async () => {
  const { code, stdout, stderr } = await run(
    `
    import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
    using source = Pmem2Source.anonymous(4096);
    using reservation = new Pmem2VmReservation(2 ** 24);
    declare const gc: () => void;
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    function makeAndClose() {
      for (let i = 0; i < 200; i++) registry.register(reservation.map(source), i);
      for (let i = 0; i < 3; i++) for (const map of reservation) map.size;
      let kept = 0;
      for (const map of reservation) if (kept++ > 0) map.close();
    }
    makeAndClose();
    for (let i = 0; i < 20 && collected < 199; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(collected);
    `,
    { flags: ["-A", "--v8-flags=--expose-gc"] },
  );
  assertEquals({ code, stdout }, { code: 0, stdout: "199\n" }, stderr);
});
