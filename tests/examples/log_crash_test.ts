import { testCrashes } from "@pmem2/pmem2/testing";
import { assertEquals } from "@std/assert";
import { Log } from "../../examples/durable_log.ts";
import { granularities } from "../support/store_checks.ts";
import { assertOneOf } from "./crash_model.ts";

/** Of one page at first, it grows. */
const options = { create: true, limit: 2 ** 20 };

const record = (length: number, value: number) =>
  new Uint8Array(length).fill(value);

/** What is done to a log, one after the other, and what is in it then. */
const steps: [
  act: (log: Log) => void,
  contents: (before: string[]) => string[],
][] = [
  [(log) => log.append(record(1, 1)), (before) => [...before, "1 1"]],
  // Across a cache line, across a sector, across a page.
  [(log) => log.append(record(100, 2)), (before) => [...before, "100 2"]],
  [(log) => log.append(record(600, 3)), (before) => [...before, "600 3"]],
  [
    (log) => log.appendv([record(3000, 4), record(0, 0), record(500, 5)]),
    (before) => [...before, "3000 4", "0 0", "500 5"],
  ],
  [(log) => log.rewind(), () => []],
  // Shorter than what was there.
  [(log) => log.append(record(80, 6)), (before) => [...before, "80 6"]],
  [(log) => log.append(record(7, 7)), (before) => [...before, "7 7"]],
];

const contentsOf = (log: Log) =>
  [...log].map((one) => `${one.length} ${one[0] ?? 0}`);

function assertWhole(log: Log): void {
  for (const one of log) assertEquals(one, record(one.length, one[0] ?? 0));
}

for (const granularity of granularities) {
  Deno.test(`Log has what was appended, and whole, whenever the power goes, at ${granularity} granularity`, async () => {
    const states: string[][] = [[]];
    for (const [, contents] of steps) states.push(contents(states.at(-1)!));
    await testCrashes({
      granularity,
      write(pmem, acknowledge) {
        using log = Log.open(pmem.path("log"), options);
        for (const [act] of steps) {
          act(log);
          acknowledge(act);
        }
      },
      check(pmem, acknowledged) {
        {
          using log = Log.open(pmem.path("log"), options);
          assertWhole(log);
          assertOneOf(contentsOf(log), states, acknowledged.length);
          const before = contentsOf(log);
          // It can go on.
          log.append(record(70, 9));
          assertEquals(contentsOf(log), [...before, "70 9"]);
        }
        pmem.crash();
        using log = Log.open(pmem.path("log"));
        assertEquals(contentsOf(log).at(-1), "70 9");
        assertWhole(log);
      },
    });
  });
}
