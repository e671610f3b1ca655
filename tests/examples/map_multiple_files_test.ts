import { crc32 } from "node:zlib";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";

Deno.test("map_multiple_files.ts reads several files as one", async () => {
  using scratch = new Scratch();
  const files = [8192, 4096, 139_264]
    .map((size, i) => scratch.file(`${i}`, size));
  let expected = 0;
  for (const file of files) expected = crc32(Deno.readFileSync(file), expected);
  const output = await runExample(
    "map_multiple_files.ts",
    files,
    permissions(scratch.directory, { ffi: "limited", write: false }),
  );
  assertStringIncludes(output, "Pmem2VmReservation 148 KiB");
  assertStringIncludes(output, "3 maps");
  assertEquals(output.includes("free"), false);
  assertMatch(output, new RegExp(`^CRC-32 0*${expected.toString(16)}$`, "m"));
});

Deno.test("map_multiple_files.ts fills several files", async () => {
  using scratch = new Scratch();
  const files = [8192, 4096].map((size, i) => scratch.file(`${i}`, size));
  await runExample(
    "map_multiple_files.ts",
    ["--fill=x", ...files],
    permissions(scratch.directory, { ffi: "limited" }),
  );
  assertEquals(Deno.readTextFileSync(files[0]!), "x".repeat(8192));
  assertEquals(Deno.readTextFileSync(files[1]!), "x".repeat(4096));
});

Deno.test("map_multiple_files.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 4096);
  const before = Deno.readFileSync(file);
  await assertExampleFails("map_multiple_files.ts", [
    [[], /^Usage: map_multiple_files\.ts/],
    [["--fill=xy", file], /CHARACTER.*: xy\nUsage/],
    [
      ["--fill=x", file, scratch.file("odd", 5000)],
      /multiple of \d+: it is 5000/,
    ],
    [["--fill=x", file, scratch.file("empty", 0)], /multiple of \d+: it is 0/],
    [["--fill=x", file, scratch.path("none")], /No such file/],
  ]);
  assertEquals(Deno.readFileSync(file), before);
});
