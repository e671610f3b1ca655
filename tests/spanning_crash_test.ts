import { Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import {
  CrashError,
  type EmulatedPmem,
  testCrashes,
} from "@pmem2/pmem2/testing";
import { assert, assertRejects } from "@std/assert";
import { PAGE } from "./support/page.ts";
import { granularities } from "./support/store_checks.ts";

const LENGTH = 300;
const AT = 2 * PAGE - 150;

/** Two files of a medium, and memory that is on none, side by side. */
function open(pmem: EmulatedPmem): Pmem2VmReservation {
  const reservation = new Pmem2VmReservation(4 * PAGE);
  using memory = Pmem2Source.anonymous(PAGE);
  reservation.map(memory, { at: 3 * PAGE });
  for (const [name, at] of [["a", 0], ["b", 2 * PAGE]] as const) {
    const size = name === "a" ? 2 * PAGE : PAGE;
    reservation.map(pmem.path(name), { create: true, size, at });
  }
  return reservation;
}

type Write = (
  reservation: Pmem2VmReservation,
  data: Uint8Array,
) => void | Promise<void>;

const FLUSHED = { drain: false };
const STORED = { flush: false };

const writes: Record<string, Write> = {
  write: (reservation, data) => reservation.write(data, AT),
  "write and persist": (reservation, data) => {
    reservation.write(data, AT, STORED);
    reservation.persist(AT, LENGTH);
  },
  "write without drain, and drain": (reservation, data) => {
    reservation.write(data, AT, FLUSHED);
    reservation.drain();
  },
  "view and persist": (reservation, data) => {
    const view = reservation.view(AT, LENGTH);
    view.set(data);
    reservation.persist(view);
  },
  "view, flush and drain": (reservation, data) => {
    const view = reservation.view(AT, LENGTH);
    view.set(data);
    reservation.flush(view);
    reservation.drain();
  },
  move: (reservation, data) => {
    reservation.write(data, 0, STORED);
    reservation.move(AT, 0, LENGTH);
  },
  fill: (reservation, data) => reservation.fill(data[0]!, AT, LENGTH),
  deepFlush: (reservation, data) => {
    reservation.write(data, AT, STORED);
    reservation.deepFlush(AT, LENGTH);
  },
  persistAsync: async (reservation, data) => {
    reservation.write(data, AT, STORED);
    // Beyond the files: what is there is persisted, too.
    await reservation.persistAsync(AT, 2 * PAGE);
  },
};

const wrong: Record<string, Write> = {
  "write without flush": (reservation, data) =>
    reservation.write(data, AT, STORED),
  "persist of the first map alone": (reservation, data) => {
    reservation.write(data, AT, STORED);
    reservation.persist(0, 2 * PAGE);
  },
};

function test(granularity: typeof granularities[number], write: Write) {
  return testCrashes<number>({
    granularity,
    setup: (pmem) => open(pmem).close({ maps: true }),
    async write(pmem, acknowledge) {
      using reservation = open(pmem);
      for (let round = 1; round <= 3; round++) {
        await write(reservation, new Uint8Array(LENGTH).fill(round));
        acknowledge(round);
      }
    },
    check(pmem, acknowledged) {
      using reservation = open(pmem);
      const bytes = new Uint8Array(LENGTH);
      reservation.read(bytes, AT);
      const least = acknowledged.at(-1) ?? 0;
      assert(bytes.every((byte) => byte >= least), `less than ${least}`);
    },
    states: 6,
  });
}

for (const [name, write] of Object.entries(writes)) {
  Deno.test(`${name} across a border is durable when it's done`, async () => {
    for (const granularity of granularities) {
      await test(granularity, write);
    }
  });
}

Deno.test("a drain that is left out across a border is found to lose something", async () => {
  const write: Write = (reservation, data) =>
    reservation.write(data, AT, FLUSHED);
  await assertRejects(() => test("cache-line", write), CrashError);
});

for (const [name, write] of Object.entries(wrong)) {
  Deno.test(`${name} across a border is found to lose something`, async () => {
    for (const granularity of ["cache-line", "page"] as const) {
      await assertRejects(() => test(granularity, write), CrashError);
    }
  });
}
