import { assertEquals } from "@std/assert";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";

/** As the program prints bytes that lie at an offset. */
function hexDump(bytes: Uint8Array, offset: number): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const line = [...bytes.subarray(at, at + 16)]
      .map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    text += `${(offset + at).toString(16).padStart(8, "0")}  ${line}\n`;
  }
  return text;
}

Deno.test("advanced.ts dumps any window of a file, without write access", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 20_000);
  const bytes = Deno.readFileSync(file);
  const reading = permissions(scratch.directory, {
    ffi: "limited",
    write: false,
  });
  const windows = [[0, 1], [0, 20_000], [4095, 2], [4096, 4096], [
    19_000,
    1000,
  ]];
  for (const [offset, length] of windows as [number, number][]) {
    assertEquals(
      await runExample(
        "advanced.ts",
        [file, `${offset}`, `${length}`],
        reading,
      ),
      hexDump(bytes.subarray(offset, offset + length), offset),
    );
  }
  assertEquals(
    await runExample("advanced.ts", [file, "0x1000", "0x10"], reading),
    hexDump(bytes.subarray(4096, 4112), 4096),
  );
});

Deno.test("advanced.ts writes a text to both ends of the window", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 20_000);
  const expected = Deno.readFileSync(file);
  new TextEncoder().encodeInto("hello", expected.subarray(5000));
  new TextEncoder().encodeInto("hello", expected.subarray(8995));
  const output = await runExample(
    "advanced.ts",
    [file, "5000", "4000", "hello"],
    permissions(scratch.directory, { ffi: "limited" }),
  );
  assertEquals(output, hexDump(expected.subarray(5000, 9000), 5000));
  assertEquals(Deno.readFileSync(file), expected);
});

Deno.test("advanced.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const file = scratch.file("a", 5000);
  const before = Deno.readFileSync(file);
  await assertExampleFails("advanced.ts", [
    [[], /^Usage: advanced\.ts/],
    [[file, "0"], /^Usage: advanced\.ts/],
    [[file, "-1", "1"], /OFFSET is not a number of bytes: -1\nUsage/],
    [[file, "0", "1.5"], /LENGTH is not a number of bytes: 1\.5\nUsage/],
    [[file, "0", "0"], /Cannot map 0 bytes/],
    [[file, "4999", "2"], /Cannot map 2 bytes at 4999 as the file has 5000/],
    [[file, "0", "4", "hello"], /Cannot write 5 bytes as the window has 4/],
    [[scratch.path("none"), "0", "1"], /No such file/],
  ]);
  assertEquals(Deno.readFileSync(file), before);
});
