import { assertEquals } from "@std/assert";
import { frugal, runFile } from "./subprocess.ts";

Deno.test("many maps, and the kernel's limit of mappings, are borne", async () => {
  const { code, signal, stdout, stderr } = await runFile("tests/limits.ts", {
    args: ["5000"],
    flags: ["-A", frugal],
    deadline: 600_000,
  });
  assertEquals({ code, signal }, { code: 0, signal: null }, stdout + stderr);
});
