import { assert, assertEquals, assertThrows } from "@std/assert";
import { Log } from "../../examples/log.ts";
import { PAGE } from "../support/page.ts";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";

const SIZE = 2 * PAGE;
/** A log that is not to grow. */
const FIXED = { create: true, size: SIZE, limit: SIZE };
const encoder = new TextEncoder();

function texts(log: Iterable<Uint8Array>): string[] {
  return Array.from(log, (record) => new TextDecoder().decode(record));
}

function append(log: Log, ...records: string[]): void {
  for (const record of records) log.append(encoder.encode(record));
}

/** What a log of these bytes has. */
function recovered(scratch: Scratch, bytes: Uint8Array): string[] {
  const path = scratch.path("recovered");
  Deno.writeFileSync(path, bytes);
  using log = Log.open(path);
  return texts(log);
}

Deno.test("Log keeps what was appended when it is opened again", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  const records = ["one", "", "three", "x".repeat(1000)];
  {
    using log = Log.open(path, { create: true, size: SIZE });
    append(log, ...records.slice(0, 2));
  }
  using log = Log.open(path);
  append(log, ...records.slice(2));
  assertEquals(texts(log), records);
});

Deno.test("Log.appendv() appends all records or none", () => {
  using scratch = new Scratch();
  using log = Log.open(scratch.path("log"), FIXED);
  log.appendv([encoder.encode("a"), encoder.encode("b")]);
  const half = new Uint8Array(log.free / 2);
  assertThrows(() => log.appendv([half, half]), RangeError, "are free");
  assertEquals(texts(log), ["a", "b"]);
});

Deno.test("Log takes records up to its last byte, and not one more", () => {
  using scratch = new Scratch();
  using log = Log.open(scratch.path("log"), FIXED);
  const { free } = log;
  assertThrows(() => log.append(new Uint8Array(free - 7)), RangeError);
  log.append(new Uint8Array(free - 8));
  assertEquals(log.free, 0);
  assertThrows(() => log.append(new Uint8Array()), RangeError);
  assertEquals(Array.from(log, ({ length }) => length), [free - 8]);
});

Deno.test("Log.rewind() empties the log", () => {
  using scratch = new Scratch();
  using log = Log.open(scratch.path("log"), { create: true, size: SIZE });
  const { free } = log;
  append(log, "a", "b");
  log.rewind();
  assertEquals(texts(log), []);
  assertEquals(log.free, free);
  append(log, "c");
  assertEquals(texts(log), ["c"]);
});

Deno.test("Log takes a record as whole or not at all, wherever a crash stops an append", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using log = Log.open(path, { create: true, size: SIZE });
  append(log, "first", "second");
  const before = Deno.readFileSync(path);
  log.appendv([encoder.encode("third"), encoder.encode("fourth")]);
  const after = Deno.readFileSync(path);

  const changed = [...after.keys()].filter((i) => before[i] !== after[i]);
  const [state, records] = [
    changed.filter((i) => i < 192),
    changed.filter((i) => i >= 192),
  ];
  assert(state.length > 0 && records.length > 10);
  // Records are durable before the state is touched; within each, any order.
  for (const part of [records, records.toReversed()]) {
    const torn = before.slice();
    for (const i of part) {
      assertEquals(recovered(scratch, torn), ["first", "second"]);
      torn[i] = after[i]!;
    }
  }
  for (const part of [state, state.toReversed()]) {
    const torn = after.slice();
    for (const i of state) torn[i] = before[i]!;
    for (const i of part) {
      assertEquals(recovered(scratch, torn), ["first", "second"]);
      torn[i] = after[i]!;
    }
    assertEquals(
      recovered(scratch, torn),
      ["first", "second", "third", "fourth"],
    );
  }
});

Deno.test("Log is made anew where making it was cut short", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  Log.open(path, { create: true, size: SIZE }).close();
  const made = Deno.readFileSync(path);
  const torn = new Uint8Array(SIZE);
  for (const [i, byte] of made.entries()) {
    if (byte === 0) continue;
    assertEquals(recovered(scratch, torn), []);
    torn[i] = byte;
  }
});

Deno.test("Log tells a damaged record from a whole one", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using log = Log.open(path, { create: true, size: SIZE });
  append(log, "first", "second");
  const bytes = Deno.readFileSync(path);
  const end = 192 + 2 * 8 + "firstsecond".length;
  for (let i = 192; i < end; i++) {
    const damaged = bytes.slice();
    damaged[i]! ^= 1;
    assertThrows(() => recovered(scratch, damaged), Error, "is damaged");
  }
});

Deno.test("Log.open() leaves alone what is not a log", () => {
  using scratch = new Scratch();
  const picture = scratch.file("picture", 5000);
  // Many disk images have nothing in their first blocks.
  const image = new Uint8Array(100_000);
  image[65_600] = 1;
  Deno.writeFileSync(scratch.path("image"), image);
  for (const path of [picture, scratch.path("image")]) {
    const before = Deno.readFileSync(path);
    assertThrows(() => Log.open(path), Error, "is something else");
    assertEquals(Deno.readFileSync(path), before);
  }
  assertThrows(() => Log.open(scratch.file("tiny", 100)), Error, "192 bytes");
});

Deno.test("Log.open() with write: false reads, and changes nothing", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  {
    using log = Log.open(path, { create: true, size: SIZE });
    append(log, "a");
  }
  using log = Log.open(path, { write: false });
  assertEquals(texts(log), ["a"]);
  assertThrows(() => append(log, "b"), TypeError, "opened to be read");
  assertEquals(texts(log), ["a"]);

  Deno.writeFileSync(scratch.path("blank"), new Uint8Array(SIZE));
  assertThrows(
    () => Log.open(scratch.path("blank"), { write: false }),
    Error,
    "has yet to be made",
  );
});

Deno.test("Log takes the records of several that have it open", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using first = Log.open(path, { create: true, size: SIZE });
  using second = Log.open(path);
  for (const name of ["a", "b", "c"]) {
    append(first, `first ${name}`);
    append(second, `second ${name}`);
  }
  assertEquals(texts(first), texts(second));
  assertEquals(texts(first).length, 6);
});

Deno.test("Log grows as it fills, from a page on", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using log = Log.open(path, { create: true });
  const sizes = new Set([Deno.statSync(path).size]);
  const expected: number[] = [];
  for (let i = 0; i < 1000; i++) {
    // Most of them lie across pages, and some across parts of the file.
    log.append(new Uint8Array(i).fill(i));
    expected.push(i);
    sizes.add(Deno.statSync(path).size);
  }
  assertEquals(Math.min(...sizes), PAGE);
  assert(sizes.size > 3 && sizes.size < 15, String([...sizes]));
  for (const found of [log, Log.open(path), Log.open(path, { write: false })]) {
    let index = 0;
    for (const record of found) {
      assertEquals(record.length, index);
      assert(record.every((byte) => byte === (index & 255)));
      index++;
    }
    assertEquals(index, expected.length);
    found.close();
  }
});

Deno.test("Log takes at once what is larger than all it has", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using log = Log.open(path, { create: true });
  using reader = Log.open(path, { write: false });
  const large = new Uint8Array(3 * 2 ** 20).map((_, i) => i * 7);
  log.append(large);
  log.append(large.subarray(0, 10));
  const [first, second] = [...reader];
  assertEquals(first, large);
  assertEquals(second, large.slice(0, 10));
  assertEquals(log.free, reader.free);
});

Deno.test("Log meets what others have added to its file", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using first = Log.open(path, { create: true });
  using second = Log.open(path);
  using reader = Log.open(path, { write: false });
  for (let i = 0; i < 400; i++) {
    (i % 3 === 0 ? first : second).append(
      encoder.encode(`${i} ${"x".repeat(i)}`),
    );
    if (i % 50 === 0) assertEquals(texts(reader).length, i + 1);
  }
  assert(Deno.statSync(path).size > 16 * PAGE);
  assertEquals(texts(first), texts(second));
  assertEquals(texts(reader), texts(second));
  assertEquals(texts(first)[399], `399 ${"x".repeat(399)}`);
});

Deno.test("Log grows to its limit, and says so when it has grown past that elsewhere", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using small = Log.open(path, { create: true, limit: 3 * PAGE });
  small.append(new Uint8Array(3 * PAGE - 192 - 8));
  assertEquals([small.free, Deno.statSync(path).size], [0, 3 * PAGE]);
  assertThrows(() => small.append(new Uint8Array(0)), RangeError, "are free");
  using large = Log.open(path);
  large.append(new Uint8Array(PAGE));
  assertThrows(() => small.free, Error, "has grown past its limit");
  assertEquals(Array.from(large, ({ length }) => length), [
    3 * PAGE - 200,
    PAGE,
  ]);
});

Deno.test("Log goes on where a file ends inside a page", () => {
  using scratch = new Scratch();
  const path = scratch.file("log", 0);
  Deno.truncateSync(path, PAGE + 1000);
  using log = Log.open(path);
  using reader = Log.open(path, { write: false });
  log.append(new Uint8Array(PAGE + 700).fill(1));
  assertEquals(Deno.statSync(path).size, PAGE + 1000);
  log.append(new Uint8Array(2 * PAGE).fill(2));
  log.append(new Uint8Array(1).fill(3));
  assertEquals(
    Array.from(reader, (record) => [record.length, record.at(-1)]),
    [[PAGE + 700, 1], [2 * PAGE, 2], [1, 3]],
  );
});

Deno.test("Log tells a state that the file can't have from a whole one", () => {
  using scratch = new Scratch();
  const path = scratch.path("log");
  using log = Log.open(path, { create: true });
  append(log, "a");
  Deno.truncateSync(path, 192);
  assertThrows(() => Log.open(path).free, Error, "it is damaged");
});

Deno.test("Log's iteration covers what was there when it started", () => {
  using scratch = new Scratch();
  using log = Log.open(scratch.path("log"), { create: true, size: SIZE });
  append(log, "a", "b");
  for (const record of log) log.append(record);
  assertEquals(texts(log), ["a", "b", "a", "b"]);
});

Deno.test("Log is closed by using, and says so afterwards", () => {
  using scratch = new Scratch();
  let log: Log;
  {
    using opened = Log.open(scratch.path("log"), { create: true, size: SIZE });
    log = opened;
  }
  log.close();
  assertThrows(() => append(log, "a"), Error);
});

Deno.test("log.ts runs its commands in sequence, with one library and no environment", async () => {
  using scratch = new Scratch();
  const options = permissions(scratch.directory, { ffi: "limited" });
  const log = (...args: string[]) => runExample("log.ts", args, options);
  const file = scratch.path("log");
  const made = await log(
    `--size=${SIZE}`,
    file,
    ..."append one appendv 2 two three dump".split(" "),
  );
  assertEquals(made, "one\ntwo\nthree\n");
  const again = await log(file, "dump", "rewind", "append", "-x", "dump");
  assertEquals(again, "one\ntwo\nthree\n-x\n");
  const reading = permissions(scratch.directory, {
    ffi: "limited",
    write: false,
  });
  assertEquals(await runExample("log.ts", [file, "dump"], reading), "-x\n");
});

Deno.test("log.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const file = scratch.path("log");
  Log.open(file, { create: true, size: SIZE }).close();
  await assertExampleFails("log.ts", [
    [[], /^Usage: log\.ts/],
    [[file], /^Usage: log\.ts/],
    [[file, "append", "a", "append"], /DATA is missing\nUsage/],
    [[file, "appendv", "3", "a", "b"], /DATA is missing\nUsage/],
    [[file, "appendv", "many"], /many is not a number\nUsage/],
    [[file, "prepend", "a"], /prepend is not a command\nUsage/],
    [
      [`--limit=${SIZE}`, file, "append", "x".repeat(SIZE)],
      /Cannot append .* are free/,
    ],
    [["--limit=much", file, "dump"], /much is not a number/],
    [[scratch.path("none"), "dump"], /No such file/],
    [[scratch.file("picture", 5000), "dump"], /is something else/],
  ]);
  using log = Log.open(file);
  assertEquals(texts(log), []);
});
