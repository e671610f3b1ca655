import { assertEquals, assertMatch } from "@std/assert";
import { Scratch } from "../support/scratch.ts";
import { assertExampleFails, permissions, runExample } from "./example.ts";

Deno.test("records.ts keeps its records from one run to the next", async () => {
  using scratch = new Scratch();
  const path = scratch.path("records");
  const options = permissions(scratch.directory, { ffi: "all" });
  const records = async (...values: string[]) =>
    (await runExample("records.ts", [path, ...values], options))
      .trimEnd().split("\n");
  assertEquals(await records(), [""]);
  await records("1.5", "-2");
  const lines = await records("1e300");
  for (const line of lines) {
    assertMatch(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z -?[\de.+]+$/);
  }
  assertEquals(lines.map((line) => Number(line.split(" ")[1])), [
    1.5,
    -2,
    1e300,
  ]);
  assertEquals(await records(), lines);
});

Deno.test("records.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const path = scratch.path("full");
  const header = new Uint8Array(65_536);
  new DataView(header.buffer).setUint32(0, 4095, true);
  Deno.writeFileSync(path, header);
  await assertExampleFails("records.ts", [
    [[], /^Usage: records\.ts/],
    [[path, "5"], /Cannot add 5: it is full/],
    [[scratch.path("none/at/all")], /No such file/],
  ]);
  assertEquals(Deno.readFileSync(path), header);
});
