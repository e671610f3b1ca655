import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { forceGranularity } from "./support/force_granularity.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { dirtyBytes, dirtyPagesObstacle } from "./support/dirty_pages.ts";
import { compileRecorder, recorderObstacle } from "./support/recorder.ts";
import { Scratch } from "./support/scratch.ts";
import { granularities } from "./support/store_checks.ts";
import { run } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

const noDirtyPages = dirtyPagesObstacle();

function anonymous(size: number): Pmem2Map {
  using source = Pmem2Source.anonymous(size);
  return Pmem2Map.from(source);
}

// What is opened of libpmem2 stays open, and is no test's leak.
{
  using map = anonymous(4096);
  await Promise.allSettled([map.persistAsync(), map.deepFlushAsync()]);
}

/** Whether a promise has settled by the time all that is ready has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(() => done = true, () => done = true);
  for (let i = 0; i < 100; i++) await null;
  return done;
}

/** The ways to flush: each takes an offset and a length. */
const ways = {
  persist: (map: Pmem2Map, offset?: number, length?: number) =>
    map.persist(offset, length),
  flush: (map: Pmem2Map, offset?: number, length?: number) => {
    map.flush(offset, length);
    map.drain();
  },
  deepFlush: (map: Pmem2Map, offset?: number, length?: number) =>
    map.deepFlush(offset, length),
  persistAsync: (map: Pmem2Map, offset?: number, length?: number) =>
    map.persistAsync(offset, length),
  deepFlushAsync: (map: Pmem2Map, offset?: number, length?: number) =>
    map.deepFlushAsync(offset, length),
};

for (const [name, flush] of Object.entries(ways)) {
  testUnless(
    noDirtyPages,
    `Pmem2Map.${name}() writes out just the pages of its range`,
    async () => {
      using scratch = new Scratch();
      using _pmem = forceGranularity("page", { directory: scratch.directory });
      using source = Pmem2Source.open(scratch.path("file"), {
        createNew: true,
        size: 1_048_576,
      });
      const page = source.alignment;
      using map = Pmem2Map.from(source);
      const dirty = () => dirtyBytes(map.address) / page;
      const store = () => map.fill(1, 0, 6 * page, { flush: false });

      store();
      assertEquals(dirty(), 6);
      await flush(map, 0, 1);
      assertEquals(dirty(), 5, "the first page");
      await flush(map, 0, page);
      assertEquals(dirty(), 5, "the first page again");
      await flush(map, 3 * page + 5, 7);
      assertEquals(dirty(), 4, "the inside of a page");
      await flush(map, 3 * page, 0);
      await flush(map, map.size);
      assertEquals(dirty(), 4, "nothing");
      await flush(map, 2 * page - 1, 2);
      assertEquals(dirty(), 2, "two pages by a byte each");
      await flush(map, 5 * page);
      assertEquals(dirty(), 1, "to the end");
      await flush(map);
      assertEquals(dirty(), 0, "everything");
    },
  );
}

testUnless(
  noDirtyPages,
  "each way to flush writes out the pages of a view",
  async () => {
    using scratch = new Scratch();
    using _pmem = forceGranularity("page", { directory: scratch.directory });
    using source = Pmem2Source.open(scratch.path("file"), {
      createNew: true,
      size: 1_048_576,
    });
    const page = source.alignment;
    using map = Pmem2Map.from(source);
    const views = [
      new DataView(map.buffer, 2 * page + 8, page),
      new Float64Array(map.buffer, 2 * page + 8, page / 8),
      map.bytes.subarray(2 * page + 8, 3 * page + 8),
    ];
    for (const view of views) {
      for (const name of Object.keys(ways) as (keyof typeof ways)[]) {
        map.fill(1, 0, 5 * page, { flush: false });
        await map[name](view);
        assertEquals(dirtyBytes(map.address), 3 * page, name);
        map.persist();
      }
    }
  },
);

testUnless(
  noDirtyPages,
  "Pmem2Map.deepFlush() writes out pages of a file at finer granularities too",
  async () => {
    using scratch = new Scratch();
    for (const granularity of ["byte", "cache-line"] as const) {
      using pmem = forceGranularity(granularity, {
        directory: scratch.directory,
      });
      using map = Pmem2Map.open(pmem.path("file"), {
        createNew: true,
        size: 65_536,
      });
      map.fill(1);
      assertEquals(dirtyBytes(map.address), 65_536);
      map.deepFlush();
      assertEquals(dirtyBytes(map.address), 0);
      map.fill(2);
      await map.deepFlushAsync();
      assertEquals(dirtyBytes(map.address), 0);
    }
  },
);

testUnless(
  noDirtyPages,
  "Pmem2Map.persistAsync() and deepFlushAsync() leave the event loop free",
  async () => {
    using scratch = new Scratch();
    using _pmem = forceGranularity("page", { directory: scratch.directory });
    using map = Pmem2Map.open(scratch.path("file"), {
      createNew: true,
      size: 16 * 2 ** 20,
    });
    for (const flush of [ways.persistAsync, ways.deepFlushAsync]) {
      // The disk may be done at once, but not every time.
      for (let i = 1, pending = false; !pending; i++) {
        assert(i < 50, "this thread waits");
        map.fill(i, 0, map.size, { flush: false });
        const promise = flush(map);
        pending = !await settled(promise);
        assertEquals(await promise, undefined);
      }
    }
  },
);

for (const granularity of granularities) {
  Deno.test(`Pmem2Map.close() throws while a flush is pending, and changes nothing, at ${granularity} granularity`, async () => {
    using scratch = new Scratch();
    using pmem = forceGranularity(granularity, {
      directory: scratch.directory,
    });
    for (const flush of [ways.persistAsync, ways.deepFlushAsync]) {
      const map = Pmem2Map.open(pmem.path("file"), {
        create: true,
        size: 65_536,
      });
      const { bytes } = map;
      bytes.set([1, 2, 3], 100);
      const pending = [flush(map), flush(map, 0, 10), flush(map, 5000)];
      const message = "an asynchronous flush is pending";
      assertThrows(() => map.close(), TypeError, message);
      assertThrows(() => map[Symbol.dispose](), TypeError, message);
      assertEquals(map.closed, false);
      assertEquals(bytes.length, 65_536);
      assertEquals([...bytes.subarray(100, 103)], [1, 2, 3]);
      map.write(Uint8Array.of(4), 103);
      assertEquals(bytes[103], 4);
      // One that is done does not hide the others.
      await Promise.all(pending);
      map.close();
      assertEquals([map.closed, bytes.length], [true, 0]);
    }
  });
}

Deno.test("Pmem2Map.close() throws until the last of several flushes is done", async () => {
  using map = anonymous(1_048_576);
  let left = 200;
  const flushes = Array.from({ length: left }, async (_, i) => {
    await map.persistAsync(i * 4096, 4096);
    left--;
    if (left === 0) map.close();
  });
  assertThrows(() => map.close(), TypeError, "pending");
  await Promise.all(flushes);
  assert(map.closed);
});

Deno.test("Pmem2VmReservation.close() closes no map while one of them is flushed", async () => {
  const reservation = new Pmem2VmReservation(2 ** 21);
  using source = Pmem2Source.anonymous(65_536);
  const idle = reservation.map(source);
  const busy = reservation.map(source);
  const pending = busy.persistAsync();
  assertThrows(() => reservation.close({ maps: true }), TypeError, "pending");
  assertThrows(() => reservation[Symbol.dispose](), TypeError, "pending");
  assertEquals([idle.closed, busy.closed, reservation.closed], [
    false,
    false,
    false,
  ]);
  assertEquals([...reservation], [idle, busy]);
  await pending;
  reservation.close({ maps: true });
  assertEquals([idle.closed, busy.closed, reservation.closed], [
    true,
    true,
    true,
  ]);
});

Deno.test("Pmem2Map.deepFlush() and deepFlushAsync() refuse anonymous memory, with no other failure's message", async () => {
  using map = anonymous(65_536);
  const refused = assertThrows(() => map.deepFlush(), Pmem2Error);
  assertEquals([refused.code, refused.errno, refused.call], [
    "PMEM2_E_NOSUPP",
    -100001,
    "pmem2_deep_flush",
  ]);
  assertStringIncludes(refused.message, "nonymous");

  const stale = assertThrows(() => new Pmem2VmReservation(100), Pmem2Error);
  assertStringIncludes(stale.message, "reservation size 100");
  const error = await assertRejects(() => map.deepFlushAsync(), Pmem2Error);
  assertEquals([error.code, error.errno, error.call], [
    "PMEM2_E_NOSUPP",
    -100001,
    "pmem2_deep_flush",
  ]);
  assertEquals(
    error.message,
    "pmem2_deep_flush failed with PMEM2_E_NOSUPP (-100001)",
  );

  // Failures here and there at once each have their own.
  const promises = Array.from({ length: 20 }, () => map.deepFlushAsync());
  const here = assertThrows(() => new Pmem2VmReservation(101), Pmem2Error);
  assertStringIncludes(here.message, "reservation size 101");
  for (const result of await Promise.allSettled(promises)) {
    assertEquals(result.status, "rejected");
    const { reason } = result as PromiseRejectedResult;
    assertInstanceOf(reason, Pmem2Error);
    assertEquals(reason.message, error.message);
  }
  map.close();
  assert(map.closed, "what failed is pending no more");
});

Deno.test("Pmem2Map.persistAsync() and deepFlushAsync() reject bad arguments, and throw none", async () => {
  using map = anonymous(5000);
  // deno-lint-ignore no-explicit-any
  const any = map as any;
  for (const name of ["persistAsync", "deepFlushAsync"] as const) {
    for (
      const args of [
        [-1],
        [0.5],
        [NaN],
        [5001],
        [2 ** 53],
        [0, 5001],
        [4999, 2],
        [0, -1],
        [0, 1.5],
        [0, Infinity],
      ]
    ) {
      const promise = map[name](...args);
      await assertRejects(() => promise, RangeError, "Cannot ");
    }
    for (
      const args of [["0"], [0n], [null], [{}], [0, "1"], [0, null]]
    ) {
      const promise: Promise<void> = any[name](...args);
      await assertRejects(() => promise, TypeError, "must be a number");
    }
    const other: Promise<void> = map[name](new Uint8Array(10));
    await assertRejects(() => other, TypeError, "the map's own buffer");
    const { [name]: alone } = any;
    const lost: Promise<void> = alone.call(undefined);
    await assertRejects(() => lost, TypeError, "`this` is not a Pmem2Map");
  }
  map.close();
  for (const name of ["persistAsync", "deepFlushAsync"] as const) {
    const promise = map[name]();
    await assertRejects(() => promise, TypeError, "the map is closed");
  }
});

Deno.test("Pmem2Map.deepFlush() refuses bad arguments", () => {
  using map = anonymous(5000);
  // deno-lint-ignore no-explicit-any
  const any = map as any;
  for (const args of [[-1], [5001], [0, 5001], [4999, 2], [1.5], [0, -1]]) {
    assertThrows(() => map.deepFlush(...args as [number]), RangeError);
  }
  for (
    const args of [["0"], [0n], [null], [{}], [0, "1"], [new Uint8Array(8)]]
  ) {
    assertThrows(() => any.deepFlush(...args), TypeError, "Cannot deep flush");
  }
  map.deepFlush(5000);
  map.deepFlush(0, 0);
});

Deno.test("Pmem2Map.persistAsync() of nothing resolves and leaves nothing pending", async () => {
  using map = anonymous(4096);
  const promises = [
    map.persistAsync(4096),
    map.persistAsync(10, 0),
    map.deepFlushAsync(4096),
    map.deepFlushAsync(0, 0),
  ];
  map.close();
  assertEquals(await Promise.all(promises), [
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test({
  name:
    "Pmem2Map.persistAsync() and deepFlushAsync() leave no promise and no resource behind",
  sanitizeOps: true,
  sanitizeResources: true,
  async fn() {
    using scratch = new Scratch();
    using map = Pmem2Map.open(scratch.path("file"), {
      createNew: true,
      size: 65_536,
    });
    using none = anonymous(4096);
    const results = await Promise.allSettled([
      ...Array.from({ length: 50 }, (_, i) => map.persistAsync(i * 1000)),
      ...Array.from({ length: 50 }, (_, i) => map.deepFlushAsync(i * 1000)),
      none.deepFlushAsync(),
      none.persistAsync(),
      none.persistAsync(-1),
    ]);
    assertEquals(results.length, 103);
    assertEquals(
      results.filter(({ status }) => status === "rejected").length,
      2,
    );
  },
});

testUnless(
  recorderObstacle(),
  "Pmem2Map.persistAsync() waits on another thread while this one runs on",
  async () => {
    using scratch = new Scratch();
    const ended = await run(
      `
      import { Pmem2Map } from "@pmem2/pmem2";
      import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
      import { Recorder } from "./tests/support/recorder.ts";

      const recorder = new Recorder();
      const map = Pmem2Map.open(Deno.args[0], { createNew: true, size: 65536 });
      recorder.hold = true;
      const promise = map.persistAsync(4096, 100);
      let turns = 0;
      while (recorder.held === 0) {
        turns++;
        await new Promise((resolve) => setTimeout(resolve, 1));
        assert(turns < 60_000, "nothing waits on another thread");
      }
      for (; turns < 5; turns++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      // It does wait, and everything but closing goes on.
      assertEquals(recorder.held, 1);
      map.write(Uint8Array.of(1), 0, { flush: false });
      assertEquals(map.bytes[0], 1);
      assertThrows(() => map.close(), TypeError, "pending");
      // Others that are done do not hide it.
      assertEquals(map.granularity, "cache-line");
      await map.deepFlushAsync(0, 10);
      await assertRejects(() => map.persistAsync(-1), RangeError);
      assertEquals(recorder.held, 1);
      assertThrows(() => map.close(), TypeError, "pending");
      recorder.hold = false;
      await promise;
      assertEquals(
        recorder.take().filter(({ name }) => name === "persist"),
        [{ name: "persist", address: map.address + 4096n, length: 100, flags: 0 }],
      );
      map.close();
      console.log("checked");
      `,
      {
        env: {
          PMEM2_LIBRARY: compileRecorder(scratch.directory),
          PMEM2_FORCE_GRANULARITY: "CACHE_LINE",
        },
        args: [scratch.path("file")],
      },
    );
    assertEquals(ended, {
      code: 0,
      signal: null,
      stdout: "checked\n",
      stderr: "",
    });
  },
);
