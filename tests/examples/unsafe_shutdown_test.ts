import { assertEquals, assertThrows } from "@std/assert";
import { GuardedFile, judge } from "../../examples/unsafe_shutdown.ts";
import { assertExampleFails, permissions } from "./example.ts";
import { Scratch } from "../support/scratch.ts";
import { run, runFile } from "../support/subprocess.ts";

const IN_USE = 8;

Deno.test("judge() tells what a count of unsafe shutdowns tells", () => {
  const device = { id: "8680-1", shutdowns: 3n };
  const now = { ...device, shutdowns: 4n };
  const none = { id: "", shutdowns: 0n };
  assertEquals(judge({ ...device, inUse: false }, now), "clean");
  assertEquals(judge({ ...device, inUse: true }, device), "sound");
  assertEquals(judge({ ...device, inUse: true }, now), "corrupted");
  const moved = { ...device, id: "8680-2" };
  assertEquals(judge({ ...device, inUse: true }, moved), "unknown");
  assertEquals(judge({ ...none, inUse: true }, none), "unknown");
  assertEquals(judge({ ...none, inUse: true }, device), "unknown");
  assertEquals(judge({ ...none, inUse: false }, none), "clean");
});

Deno.test("GuardedFile is marked while it is in use", () => {
  using scratch = new Scratch();
  const path = scratch.path("file");
  Deno.writeFileSync(path, new Uint8Array(4096));
  {
    using file = new GuardedFile(path, { write: true });
    assertEquals(file.shutdown, "new");
    assertEquals(Deno.readFileSync(path)[IN_USE], 1);
    file.text = "hello";
  }
  assertEquals(Deno.readFileSync(path)[IN_USE], 0);
  using file = new GuardedFile(path, { write: false });
  assertEquals([file.shutdown, file.text], ["clean", "hello"]);
});

Deno.test("GuardedFile knows that its process was killed", async () => {
  using scratch = new Scratch();
  const path = scratch.path("file");
  Deno.writeFileSync(path, new Uint8Array(4096));
  const { signal } = await run(
    `import { GuardedFile } from "./examples/unsafe_shutdown.ts";
     using file = new GuardedFile(Deno.args[0]!, { write: true });
     file.text = "hello";
     Deno.kill(Deno.pid, "SIGKILL");`,
    { args: [path] },
  );
  assertEquals(signal, "SIGKILL");
  for (const write of [false, true]) {
    using file = new GuardedFile(path, { write });
    assertEquals(["sound", "unknown"].includes(file.shutdown), true);
    assertEquals(file.text, "hello");
  }
  using file = new GuardedFile(path, { write: false });
  assertEquals(file.shutdown, "clean");
});

Deno.test("GuardedFile takes a text up to its last byte", () => {
  using scratch = new Scratch();
  const path = scratch.path("file");
  Deno.writeFileSync(path, new Uint8Array(300));
  using file = new GuardedFile(path, { write: true });
  const text = "x".repeat(300 - 256 - 1);
  file.text = text;
  assertEquals(file.text, text);
  assertThrows(() => file.text = text + "x", RangeError, "room for 44");
  assertEquals(file.text, text);
});

Deno.test("unsafe_shutdown.ts writes and reads", async () => {
  using scratch = new Scratch();
  const path = scratch.path("file");
  Deno.writeFileSync(path, new Uint8Array(4096));
  const program = (write: boolean, ...args: string[]) =>
    runFile("examples/unsafe_shutdown.ts", {
      ...permissions(scratch.directory, { ffi: "limited", write }),
      args,
    });
  const written = await program(true, "write", path, "hello");
  assertEquals(written.stderr, `${path}: nothing was written yet\n`);
  const { code, stdout, stderr } = await program(false, "read", path);
  assertEquals([code, stdout], [0, "hello\n"]);
  assertEquals(stderr, `${path}: it was closed cleanly\n`);
});

Deno.test("unsafe_shutdown.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const picture = scratch.file("picture", 5000);
  const before = Deno.readFileSync(picture);
  await assertExampleFails("unsafe_shutdown.ts", [
    [[], /^Usage: unsafe_shutdown\.ts/],
    [["write", picture], /^Usage: unsafe_shutdown\.ts/],
    [["read", picture, "text"], /^Usage: unsafe_shutdown\.ts/],
    [["write", picture, "text"], /is something else/],
    [["read", scratch.path("none")], /No such file/],
    [["read", scratch.file("small", 256)], /has only 256 bytes/],
  ]);
  assertEquals(Deno.readFileSync(picture), before);
});
