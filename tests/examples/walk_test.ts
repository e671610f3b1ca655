import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";
import { runFile } from "../support/subprocess.ts";

/** The paths of one part of the output, in the order printed. */
function walked(output: string, part: "Forwards" | "Backwards"): string[] {
  const text = output.split(`${part}\n`)[1]!.split("\n\n")[0]!;
  return text.split("\n").map((line) => / bytes {2}(.+)$/.exec(line)![1]!);
}

Deno.test("walk.ts walks the files in address order, both ways", async () => {
  using scratch = new Scratch();
  const files = ["a", "b", "c"].map((name) => scratch.file(name, 5000));
  const { code, stdout, stderr } = await runFile("examples/walk.ts", {
    flags: ["--allow-ffi", "--allow-read", "--allow-write", "--allow-env"],
    args: files,
  });
  assertEquals([code, stderr], [0, ""]);
  assertEquals(walked(stdout, "Forwards"), files);
  assertEquals(walked(stdout, "Backwards"), files.toReversed());
  const addresses = [...stdout.matchAll(/^ {2}(0x[0-9a-f]+)/gm)]
    .slice(0, 3).map(([, address]) => BigInt(address!));
  assertEquals(
    addresses.map((address) => address - addresses[0]!),
    [0n, 0x3000n, 0x5000n],
  );
  assertStringIncludes(stdout, 'Persisted "walked"');
});

Deno.test("walk.ts draws maps of 5,000 bytes and the gap between them", async () => {
  using scratch = new Scratch();
  const files = ["a", "b"].map((name) => scratch.file(name, 5000));
  const { stdout } = await runFile("examples/walk.ts", { args: files });
  const lines = stdout.trimEnd().split("\n").slice(-5);
  assertMatch(lines[0]!, /^Pmem2VmReservation 20 KiB at 0x[0-9a-f]+, 2 maps$/);
  assertEquals(
    lines[1],
    "█".repeat(32) + "·".repeat(16) + "▒".repeat(32),
  );
  assertMatch(lines[2]!, /^█ 0x0000 {2}5,000 B .* ro {2}\S+$/);
  assertMatch(lines[3]!, /^· 0x2000 {6}4 KiB {2}free$/);
  assertMatch(lines[4]!, /^▒ 0x3000 {2}5,000 B .* ro {2}\S+$/);
});

Deno.test("walk.ts takes the module's own files when none are given", async () => {
  const { code, stdout } = await runFile("examples/walk.ts");
  assertEquals(code, 0);
  assertStringIncludes(stdout, "/mod.ts");
  assertStringIncludes(stdout, "/ffi/map.ts");
});

Deno.test("walk.ts skips empty files, says so, and changes none", async () => {
  using scratch = new Scratch();
  const [empty, full] = [scratch.file("empty", 0), scratch.file("full", 9000)];
  const before = Deno.readFileSync(full);
  const { code, stdout } = await runFile("examples/walk.ts", {
    args: [empty, full],
  });
  assertEquals(code, 0);
  assertStringIncludes(stdout, `Skipped ${empty} as it is empty`);
  assertEquals(walked(stdout, "Forwards"), [full]);
  assertEquals(Deno.readFileSync(full), before);
});

Deno.test("walk.ts needs no environment and only one library", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 5000);
  const svg = scratch.path("picture.svg");
  const output = await runExample(
    "walk.ts",
    [file, "--svg", svg],
    permissions(scratch.directory, { ffi: "limited" }),
  );
  assertStringIncludes(output, `Wrote ${svg}`);
  assertStringIncludes(Deno.readTextFileSync(svg), "</svg>");
});

Deno.test("walk.ts does not overwrite a file that it maps", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 5000);
  Deno.linkSync(file, scratch.path("b"));
  const { code, stderr } = await runFile("examples/walk.ts", {
    args: [file, "--svg", scratch.path("b")],
  });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Cannot write to");
  assertEquals(Deno.statSync(file).size, 5000);
});

Deno.test("walk.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  await assertExampleFails("walk.ts", [
    [[scratch.path("none")], /No such file/],
    [[scratch.directory], /PMEM2_E_INVALID_FILE_TYPE/],
    [[scratch.file("empty", 0)], /without any bytes/],
    [["--unknown"], /--unknown.*\nUsage: walk\.ts/],
  ]);
});
