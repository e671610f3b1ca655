import { assertEquals } from "@std/assert";
import { compileRecorder, recorderObstacle } from "./support/recorder.ts";
import { Scratch } from "./support/scratch.ts";
import { runFile } from "./support/subprocess.ts";
import { testUnless } from "./support/test_unless.ts";

testUnless(
  recorderObstacle(),
  "a msync that fails is an error, until the source is opened again",
  async () => {
    using scratch = new Scratch();
    const ended = await runFile("tests/support/writeback_checks.ts", {
      env: {
        PMEM2_LIBRARY: compileRecorder(scratch.directory),
        PMEM2_FORCE_GRANULARITY: "PAGE",
      },
      args: [scratch.directory],
    });
    assertEquals(ended, {
      code: 0,
      signal: null,
      stdout: "checked\n",
      stderr: "",
    });
  },
);
