import {
  Pmem2Error,
  Pmem2Map,
  type Pmem2Memory,
  Pmem2Source,
} from "@pmem2/pmem2";
import { forceGranularity } from "./support/force_granularity.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { granularities } from "./support/store_checks.ts";

const MIB = 2 ** 20;

// What is opened of libpmem2 stays open, and is no test's leak.
{
  using source = Pmem2Source.anonymous(4096);
  using map = Pmem2Map.from(source);
  await Promise.allSettled([map.persistAsync(), map.deepFlushAsync()]);
}

for (const granularity of granularities) {
  Deno.test(`Pmem2Map[Symbol.asyncDispose]() waits for the flushes that are pending, at ${granularity} granularity`, async () => {
    using scratch = new Scratch();
    using pmem = forceGranularity(granularity, {
      directory: scratch.directory,
    });
    const map = Pmem2Map.open(pmem.path("file"), { create: true, size: MIB });
    const { bytes } = map;
    bytes.fill(7);
    const order: string[] = [];
    const flushes = [
      map.persistAsync(),
      map.deepFlushAsync(0, 10),
      map.persistAsync(bytes.subarray(5000, 6000)),
    ].map((flush, i) => flush.then(() => order.push(`flush ${i}`)));
    const closed = map[Symbol.asyncDispose]().then(() => order.push("closed"));
    assertEquals(map.closed, false);
    await closed;
    assertEquals([map.closed, bytes.length], [true, 0]);
    assertEquals(order.length, 4);
    assertEquals(order[3], "closed");
    await Promise.all(flushes);
    assertEquals(Deno.readFileSync(pmem.path("file"))[MIB - 1], 7);
  });
}

Deno.test("Pmem2Map[Symbol.asyncDispose]() waits for flushes that begin meanwhile", async () => {
  using source = Pmem2Source.anonymous(MIB);
  const map = Pmem2Map.from(source);
  const first = map.persistAsync();
  const closed = map[Symbol.asyncDispose]();
  const second = map.persistAsync();
  await Promise.all([first, second, closed]);
  assertEquals(map.closed, true);
});

Deno.test("Pmem2Map[Symbol.asyncDispose]() closes after a flush that fails, which tells by itself", async () => {
  using source = Pmem2Source.anonymous(MIB);
  const map = Pmem2Map.from(source);
  // Nobody makes anonymous memory durable so deeply.
  const flush = map.deepFlushAsync();
  const closed = map[Symbol.asyncDispose]();
  await assertRejects(() => flush, Pmem2Error);
  await closed;
  assertEquals(map.closed, true);
});

Deno.test("await using closes a map", async () => {
  using source = Pmem2Source.anonymous(4096);
  let kept: Pmem2Memory;
  {
    await using map = Pmem2Map.from(source);
    kept = map;
    map.persistAsync();
  }
  assertEquals(kept.closed, true);
  await kept[Symbol.asyncDispose]();
});

Deno.test("Pmem2Map[Symbol.asyncDispose]() rejects where close() throws", async () => {
  using source = Pmem2Source.anonymous(4096);
  const map = Pmem2Map.from(source);
  const { buffer } = map;
  structuredClone(buffer, { transfer: [buffer] });
  await assertRejects(
    () => map[Symbol.asyncDispose](),
    TypeError,
    "its buffer was transferred",
  );
  assertEquals(map.closed, false);

  const dispose = Pmem2Map.prototype[Symbol.asyncDispose];
  for (const value of [undefined, {}, Object.create(Pmem2Map.prototype)]) {
    const promise = dispose.call(value);
    assert(promise instanceof Promise);
    await assertRejects(() => promise, TypeError, "`this` is not a Pmem2Map");
  }
});
