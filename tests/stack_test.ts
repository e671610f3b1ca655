import { assertEquals } from "@std/assert";
import { run } from "./support/subprocess.ts";

/** Calls `action` at each depth from the end of the stack upwards. */
const AT_THE_END = `
  import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
  import { assert, assertEquals } from "@std/assert";

  function descend(action: () => void): boolean {
    try {
      if (descend(action)) return true;
    } catch { /* no room for one more call */ }
    try {
      action();
      return true;
    } catch (error) {
      assert(error instanceof RangeError);
      return false;
    }
  }
`;

const MIB = 2 ** 20;

Deno.test("what ends for want of stack has not been done", async () => {
  const { code, signal, stderr } = await run(`${AT_THE_END}
    for (let round = 0; round < 20; round++) {
      const reservation = new Pmem2VmReservation(${8 * MIB});
      const { address } = reservation;
      descend(() => reservation.shrink(0, ${2 * MIB}));
      assertEquals(reservation.address, address + ${2 * MIB}n);
      assertEquals(reservation.size, ${6 * MIB});
      descend(() => reservation.extend(4096));
      assertEquals(reservation.size, ${6 * MIB} + 4096);
      descend(() => reservation.close());
      assert(reservation.closed);

      const source = Pmem2Source.anonymous(4096);
      using around = new Pmem2VmReservation(${2 * MIB});
      descend(() => around.map(source));
      const maps = [...around];
      assertEquals(maps.length, 1);
      const { bytes } = maps[0];
      descend(() => maps[0].close());
      assertEquals([maps[0].closed, bytes.length], [true, 0]);
      descend(() => source.close());
    }
  `);
  assertEquals({ code, signal }, { code: 0, signal: null }, stderr);
});

Deno.test("no view outlives a map that is closed at the end of the stack, whatever V8 has yet to compile", async () => {
  const { code, signal, stderr } = await run(
    `
    import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
    import { assertEquals, assertThrows } from "@std/assert";

    const source = Pmem2Source.anonymous(4096);
    const given = Pmem2Map.from(source);
    structuredClone(given.buffer, { transfer: [given.buffer] });
    assertThrows(() => given.close(), TypeError);
    for (let i = 0; i < 1000; i++) Pmem2Map.from(source).close();

    const map = Pmem2Map.from(source);
    const { bytes } = map;
    function descend(): boolean {
      try {
        if (descend()) return true;
      } catch { /* no room for one more call */ }
      try {
        map.close();
      } catch { /* no room */ }
      return map.closed;
    }
    descend();
    assertEquals([map.closed, bytes.length, bytes[0]], [true, 0, undefined]);
  `,
    { flags: ["-A", "--no-code-cache"] },
  );
  assertEquals({ code, signal }, { code: 0, signal: null }, stderr);
});

Deno.test("no spanning view outlives a map that is closed at the end of the stack", async () => {
  const { code, signal, stderr } = await run(
    `
    import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
    import { assertEquals } from "@std/assert";

    using source = Pmem2Source.anonymous(65_536);
    using reservation = new Pmem2VmReservation(3 * 65_536);
    for (let i = 0; i < 1000; i++) reservation.map(source).close();

    for (let round = 0; round < 10; round++) {
      const maps = [0, 1, 2].map(() => reservation.map(source));
      const views = [
        reservation.view(),
        reservation.view(0, 65_537),
        reservation.view(65_536),
        reservation.view(65_536, 1),
      ];
      const end = round % 2 === 0
        ? () => maps[1].close()
        : () => reservation.view(0, 10).length === 10 && maps[1].close();
      function descend(): boolean {
        try {
          if (descend()) return true;
        } catch { /* no room for one more call */ }
        try {
          end();
        } catch { /* no room */ }
        return maps[1].closed;
      }
      descend();
      assertEquals(maps[1].closed, true);
      assertEquals(views.map(({ length }) => length), [0, 0, 0, 0]);
      for (const map of maps) map.close();
    }
  `,
    { flags: ["-A", "--no-code-cache"] },
  );
  assertEquals({ code, signal }, { code: 0, signal: null }, stderr);
});

Deno.test("no descriptor stays open where the stack ends while a file is mapped", async () => {
  // How V8 compiles what differs from run to run, and so does what is left open.
  for (let i = 0; i < 4; i++) {
    const { code, stdout, stderr } = await run(`
      import { Pmem2Map } from "@pmem2/pmem2";
      const path = Deno.makeTempFileSync();
      Deno.truncateSync(path, 4096);
      let left = 0;
      function descend(step: number): void {
        try {
          descend(step);
        } catch { /* no room for one more call */ }
        try {
          if (left-- > 0) Pmem2Map.open(path).close();
        } catch { /* no room */ }
      }
      for (let i = 0; i < 44; i++) {
        left = i < 40 ? 400 : 1500;
        descend(i);
      }
      let open = 0;
      for (const { name } of Deno.readDirSync("/proc/self/fd")) {
        try {
          if (Deno.readLinkSync("/proc/self/fd/" + name) === path) open++;
        } catch { /* the folder's own */ }
      }
      Deno.removeSync(path);
      console.log(open);
    `);
    assertEquals([code, stdout], [0, "0\n"], stderr);
  }
});
