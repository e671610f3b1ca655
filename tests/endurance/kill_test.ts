import { assert, assertEquals, assertThrows } from "@std/assert";
import { checkRecords, Series } from "./kill.ts";
import { makeRecord } from "./kill_writer.ts";
import { PAGE } from "../support/page.ts";
import { Scratch } from "../support/scratch.ts";

Deno.test("Log keeps all acknowledged records when its writers are killed", async () => {
  using scratch = new Scratch();
  const series = new Series(scratch);
  for (let round = 0; round < 3; round++) {
    const { acknowledged, found } = await series.next();
    assert(acknowledged > 0);
    assert(found >= acknowledged);
    // From a page on.
    assert(series.size > PAGE);
    series.renew();
  }
});

Deno.test("checkRecords() finds what is lost, torn or out of place", () => {
  const records = [0, 1, 2].map((index) => makeRecord("1-0", index));
  const acknowledged = new Map([["1-0", 3], ["1-1", 0]]);
  assertEquals(
    [...checkRecords(records, acknowledged)],
    [["1-0", 3], ["1-1", 0]],
  );
  const torn = records[1]!.slice();
  torn[torn.length - 1]! ^= 1;
  const wrong = [
    [records.slice(0, 2), "acknowledged 3"],
    [[records[0]!, records[2]!], "out of place"],
    [[records[0]!, torn, records[2]!], "torn"],
    [[records[0]!, records[1]!.subarray(0, 20), records[2]!], "torn"],
    [[...records, new Uint8Array(100)], "torn"],
    [[...records, makeRecord("2-0", 0)], "out of place"],
  ] as const;
  for (const [found, message] of wrong) {
    assertThrows(() => checkRecords(found, acknowledged), Error, message);
  }
});
