import { assertEquals } from "@std/assert";
import { Scratch } from "../support/scratch.ts";
import { assertExampleFails, permissions, runExample } from "./example.ts";

Deno.test("search.ts finds every place of a text, and leaves the file alone", async () => {
  using scratch = new Scratch();
  const path = scratch.path("text");
  const text = `aab${"x".repeat(100_000)}aaab größer aab`;
  Deno.writeTextFileSync(path, text);
  Deno.chmodSync(path, 0o400);
  const options = permissions(scratch.directory, { ffi: "all", write: false });
  const search = async (what: string) =>
    (await runExample("search.ts", [path, what], options)).split("\n");
  assertEquals(await search("aab"), ["0", "100004", "100017", ""]);
  assertEquals(await search("größer"), ["100008", ""]);
  assertEquals(await search("x aab"), [""]);
  assertEquals(Deno.readTextFileSync(path), text);
});

Deno.test("search.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  await assertExampleFails("search.ts", [
    [[], /^Usage: search\.ts/],
    [[scratch.file("a", 10)], /^Usage: search\.ts/],
    [[scratch.path("none"), "a"], /No such file/],
    [[scratch.file("empty", 0), "a"], /PMEM2_E_SOURCE_EMPTY/],
  ]);
});
