import { Pmem2Map } from "@pmem2/pmem2";
import { type EmulatedPmem, testCrashes } from "@pmem2/pmem2/testing";
import { assert, assertEquals } from "@std/assert";
import { add, list } from "../../examples/records.ts";
import { granularities } from "../support/store_checks.ts";
import { assertOneOf } from "./crash_model.ts";

const open = (pmem: EmulatedPmem) =>
  Pmem2Map.open(pmem.path("records"), { create: true, size: 4096 });

const values = [1.5, -2, 3, 1e300, 5, 6, 7];

for (const granularity of granularities) {
  Deno.test(`records.ts has what was added, and whole, whenever the power goes, at ${granularity} granularity`, async () => {
    const states = Array.from(
      { length: values.length + 1 },
      (_, count) => values.slice(0, count),
    );
    const start = Date.now();
    const valuesOf = (map: Pmem2Map) =>
      [...list(map)].map(([time, value]) => {
        assert(time.getTime() >= start, "the time is missing");
        return value;
      });
    await testCrashes<number>({
      granularity,
      setup: (pmem) => open(pmem).close(),
      write(pmem, acknowledge) {
        using map = open(pmem);
        for (const value of values) {
          add(map, value);
          acknowledge(value);
        }
      },
      check(pmem, { length }) {
        {
          using map = open(pmem);
          assertOneOf(valuesOf(map), states, length);
          add(map, 99);
        }
        pmem.crash();
        using map = open(pmem);
        assertEquals(valuesOf(map).at(-1), 99);
      },
    });
  });
}
