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
