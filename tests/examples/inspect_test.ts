import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Pmem2Map } from "@pmem2/pmem2";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";

Deno.test("inspect.ts tells what libpmem2 does, as JSON", async () => {
  using scratch = new Scratch();
  const files = [scratch.file("a", 5000), scratch.file("empty", 0)];
  const output = await runExample(
    "inspect.ts",
    ["--json", ...files],
    permissions(scratch.directory, { ffi: "limited", write: false }),
  );
  const [full, empty] = JSON.parse(output);
  using map = Pmem2Map.open(files[0]!);
  assertEquals(
    [full.path, full.size, full.granularity],
    [files[0], 5000, map.granularity],
  );
  assertEquals(full.alignment % 4096, 0);
  assertEquals(full.badBlocks, []);
  for (const property of ["deviceId", "numaNode", "unsafeShutdowns"]) {
    assert(property in full);
  }
  assertEquals(
    [empty.path, empty.size, empty.granularity],
    [files[1], 0, null],
  );
});

Deno.test("inspect.ts prints a table, and draws several files", async () => {
  using scratch = new Scratch();
  const files = ["a", "b"].map((name) => scratch.file(name, 5000));
  const reading = permissions(scratch.directory, {
    ffi: "limited",
    write: false,
  });
  const one = (await runExample("inspect.ts", [files[0]!], reading))
    .trimEnd().split("\n");
  assertEquals(one.length, 2);
  assertEquals(
    one[0]!.trim().split(/ +/).join(" "),
    "size alignment granularity device node shutdowns bad path",
  );
  assertEquals(one[1]!.indexOf(files[0]!), one[0]!.indexOf("path"));
  const several = await runExample("inspect.ts", files, reading);
  assertStringIncludes(several, "\n\nPmem2VmReservation 16 KiB at");
});

Deno.test("inspect.ts draws an SVG", async () => {
  using scratch = new Scratch();
  const svg = scratch.path("out.svg");
  await runExample(
    "inspect.ts",
    ["--svg", svg, scratch.file("a", 5000)],
    permissions(scratch.directory, { ffi: "limited" }),
  );
  assertStringIncludes(Deno.readTextFileSync(svg), "</svg>");
});

Deno.test("inspect.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 5000);
  const before = Deno.readFileSync(file);
  await assertExampleFails("inspect.ts", [
    [[], /^Usage: inspect\.ts/],
    [["--xml", file], /--xml.*\nUsage/],
    [["--svg", file, file], /Cannot write to/],
    [[scratch.path("none")], /No such file/],
    [[scratch.directory], /PMEM2_E_INVALID_FILE_TYPE/],
  ]);
  assertEquals(Deno.readFileSync(file), before);
});
