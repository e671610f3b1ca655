import { assertEquals } from "@std/assert";
import { Scratch } from "../support/scratch.ts";
import { runFile } from "../support/subprocess.ts";

Deno.test("a file that others append to and have mapped loses nothing when it is opened in every way", async () => {
  using scratch = new Scratch();
  const { code, stdout, stderr } = await runFile(
    "tests/endurance/shared_file.ts",
    { args: [scratch.directory, "500"] },
  );
  assertEquals(code, 0, stdout + stderr);
});
