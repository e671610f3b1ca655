import { assert, assertEquals, assertThrows } from "@std/assert";
import { RingBuffer } from "../../examples/ringbuf.ts";
import { assertExampleFails, permissions } from "./example.ts";
import { Scratch } from "../support/scratch.ts";
import { command } from "../support/subprocess.ts";

const SIZE = 4096;
const create = { create: true, size: SIZE };

function take(ring: RingBuffer): number | null {
  const first = ring.peek()?.[0] ?? null;
  ring.drop();
  return first;
}

Deno.test("RingBuffer gives entries out in the order they were put in", () => {
  using scratch = new Scratch();
  const path = scratch.path("ring");
  using producer = new RingBuffer(path, 100, create);
  using consumer = new RingBuffer(path, 100);
  assertEquals(consumer.peek(), null);
  // More than once around.
  for (let i = 0; i < 3 * producer.capacity; i++) {
    assert(producer.push(Uint8Array.of(i, 1)));
    if (i < 10) continue;
    assertEquals(take(consumer), (i - 10) % 256);
  }
});

Deno.test("RingBuffer.push() puts nothing in when the buffer is full", () => {
  using scratch = new Scratch();
  using ring = new RingBuffer(scratch.path("ring"), 64, create);
  assertEquals(ring.capacity, (SIZE - 192) / 64);
  for (let i = 0; i < ring.capacity; i++) assert(ring.push(Uint8Array.of(i)));
  assertEquals(ring.push(Uint8Array.of(99)), false);
  assertEquals(take(ring), 0);
  assertEquals(ring.push(Uint8Array.of(99)), true);
  assertEquals(take(ring), 1);
});

Deno.test("RingBuffer leaves nothing of an entry in the next one there", () => {
  using scratch = new Scratch();
  using ring = new RingBuffer(scratch.path("ring"), SIZE - 192, create);
  assertEquals(ring.capacity, 1);
  ring.push(new Uint8Array(100).fill(7));
  ring.drop();
  ring.push(Uint8Array.of(1));
  assertEquals(ring.peek()!.subarray(0, 3), Uint8Array.of(1, 0, 0));
  assertThrows(() => ring.push(new Uint8Array(SIZE)), RangeError);
});

Deno.test("RingBuffer goes on where it was when it is opened again", () => {
  using scratch = new Scratch();
  const path = scratch.path("ring");
  {
    using ring = new RingBuffer(path, 8, create);
    for (let i = 0; i < 5; i++) ring.push(Uint8Array.of(i));
    assertEquals(take(ring), 0);
    assertEquals(ring.peek()?.[0], 1);
  }
  using ring = new RingBuffer(path, 8);
  const rest = Array.from({ length: 5 }, () => take(ring));
  assertEquals(rest, [1, 2, 3, 4, null]);
});

Deno.test("RingBuffer can't be opened with other sizes, or over something else", () => {
  using scratch = new Scratch();
  const path = scratch.path("ring");
  new RingBuffer(path, 64, create)[Symbol.dispose]();
  const before = Deno.readFileSync(path);
  assertThrows(() => new RingBuffer(path, 32), Error, "64 bytes: asked for 32");
  assertThrows(() => new RingBuffer(path, SIZE), RangeError, "too small");
  assertEquals(Deno.readFileSync(path), before);
  assertThrows(
    () => new RingBuffer(path, 64, { size: 2 * SIZE }),
    Error,
    "was made for 61 entries",
  );

  const picture = scratch.file("picture", SIZE);
  const bytes = Deno.readFileSync(picture);
  assertThrows(() => new RingBuffer(picture, 64), Error, "something else");
  assertEquals(Deno.readFileSync(picture), bytes);
});

/** Starts the program as one of the two processes. */
function start(
  scratch: Scratch,
  role: string[],
  stdin: "null" | "piped",
): Deno.ChildProcess {
  return command("examples/ringbuf.ts", {
    ...permissions(scratch.directory, { ffi: "all" }),
    args: [`--size=${SIZE}`, scratch.path("ring"), "16", ...role],
    stdin,
  }).spawn();
}

async function write(child: Deno.ChildProcess, lines: string): Promise<void> {
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(lines));
  await writer.close();
}

Deno.test("ringbuf.ts passes lines from one process to another", async () => {
  using scratch = new Scratch();
  const numbers = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `line ${from + i}\n`).join("");
  // Four times what the buffer holds, so that each waits for the other.
  const producer = start(scratch, ["produce"], "piped");
  const consumer = start(scratch, ["consume", "600"], "null");
  await write(producer, numbers(0, 1000));
  const first = await consumer.output();
  assertEquals(new TextDecoder().decode(first.stderr), "");
  assertEquals(new TextDecoder().decode(first.stdout), numbers(0, 600));
  // Another consumer goes on where the first one ended.
  const second = await start(scratch, ["consume", "400"], "null").output();
  assertEquals(new TextDecoder().decode(second.stdout), numbers(600, 1000));
  assertEquals((await producer.output()).code, 0);
});

Deno.test("ringbuf.ts loses no line when its consumer is killed", async () => {
  using scratch = new Scratch();
  const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`);
  const producer = start(scratch, ["produce"], "piped");
  await write(producer, lines.join("\n"));
  assertEquals((await producer.output()).code, 0);
  let taken: string[] = [];
  while (taken.at(-1) !== "line 199") {
    const child = start(scratch, ["consume"], "null");
    let output = "";
    let kill: ReturnType<typeof setTimeout> | undefined;
    for await (
      const text of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      output += text;
      kill ??= setTimeout(() => child.kill("SIGKILL"), Math.random() * 60);
    }
    await child.stderr.cancel();
    await child.status;
    const found = output.split("\n").slice(0, -1);
    // The last line before the kill may come again, but none is left out.
    if (taken.at(-1) === found[0]) taken.pop();
    taken = [...taken, ...found];
  }
  assertEquals(taken, lines);
});

Deno.test("ringbuf.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const path = scratch.path("ring");
  new RingBuffer(path, 64, create)[Symbol.dispose]();
  await assertExampleFails("ringbuf.ts", [
    [[], /^Usage: ringbuf\.ts/],
    [[path, "64"], /^Usage: ringbuf\.ts/],
    [[path, "64", "produce", "1"], /^Usage: ringbuf\.ts/],
    [[path, "0", "consume"], /ENTRY_SIZE is not a number from 1 on: 0\nUsage/],
    [[path, "32", "consume"], /64 bytes: asked for 32/],
    [[scratch.path("none"), "64", "consume"], /No such file/],
  ]);
});
