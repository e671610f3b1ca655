import { assertEquals, assertMatch } from "@std/assert";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";

Deno.test("basic.ts writes its greeting, and only that", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 5000);
  const expected = Deno.readFileSync(file);
  new TextEncoder().encodeInto("hello, persistent memory\0", expected);
  const output = await runExample(
    "basic.ts",
    [file],
    permissions(scratch.directory, { ffi: "all" }),
  );
  assertMatch(output, /^Wrote 25 bytes to .*, durable at \S+ granularity\n$/);
  assertEquals(Deno.readFileSync(file), expected);
});

Deno.test("basic.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const small = scratch.file("small", 24);
  const before = Deno.readFileSync(small);
  await assertExampleFails("basic.ts", [
    [[], /^Usage: basic\.ts/],
    [[small, small], /^Usage: basic\.ts/],
    [[small], /has only 24 bytes/],
    [[scratch.path("none")], /No such file/],
    [[scratch.file("empty", 0)], /PMEM2_E_SOURCE_EMPTY/],
  ]);
  assertEquals(Deno.readFileSync(small), before);
});
