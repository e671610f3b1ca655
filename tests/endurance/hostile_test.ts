import { assertEquals, assertMatch } from "@std/assert";
import { runFile } from "../support/subprocess.ts";

Deno.test("50,000 hostile calls neither crash, corrupt nor leak", async () => {
  const { code, signal, stdout, stderr } = await runFile(
    "tests/endurance/hostile.ts",
    {
      args: ["50000", "20260801"],
      deadline: 600_000,
    },
  );
  assertEquals({ code, signal }, { code: 0, signal: null }, stderr);
  assertMatch(stdout, /^50000 calls of \d+ members, seed 20260801: /);
});
