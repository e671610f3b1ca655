import { assertEquals } from "@std/assert";
import { runFile } from "../support/subprocess.ts";

Deno.test("nothing grows with maps and reservations that come and go", async () => {
  const { code, signal, stdout, stderr } = await runFile(
    "tests/endurance/soak.ts",
    {
      args: ["2000", "2000"],
      flags: ["-A", "--v8-flags=--expose-gc,--max-semi-space-size=1"],
      deadline: 600_000,
    },
  );
  assertEquals({ code, signal }, { code: 0, signal: null }, stdout + stderr);
});
