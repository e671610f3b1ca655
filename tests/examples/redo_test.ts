import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { RedoList } from "../../examples/redo.ts";
import { assertExampleFails, permissions, runExample } from "./example.ts";
import { Scratch } from "../support/scratch.ts";
import { command } from "../support/subprocess.ts";

const SIZE = 65_536;
const MARK = 8;
const LOG = 64;

function pairsOf(path: string): [bigint, bigint][] {
  using list = RedoList.open(path, { write: false });
  list.check();
  return [...list];
}

Deno.test("RedoList keeps its pairs in the order of the keys", () => {
  using scratch = new Scratch();
  const path = scratch.path("pool");
  {
    using list = RedoList.open(path, { size: SIZE });
    list.add([[5n, 50n], [1n, 10n]]);
    list.add([[3n, 30n], [5n, 51n], [0n, 2n ** 64n - 1n]]);
  }
  assertEquals(pairsOf(path), [
    [0n, 2n ** 64n - 1n],
    [1n, 10n],
    [3n, 30n],
    [5n, 51n],
  ]);
});

Deno.test("RedoList.add() adds nothing when not all fits", () => {
  using scratch = new Scratch();
  const path = scratch.path("pool");
  using list = RedoList.open(path, { size: SIZE });
  list.add([[1n, 1n]]);
  const many = Array.from({ length: 3000 }, (_, i) => [BigInt(i), 0n] as const);
  assertThrows(() => list.add(many), RangeError);
  assertThrows(
    () => list.add(many.slice(0, 500)),
    RangeError,
    "more than 1024 changes",
  );
  assertEquals([...list], [[1n, 1n]]);
  list.add([[2n, 2n]]);
  assertEquals(list.check(), 2);
});

Deno.test("RedoList makes all changes of the log when a crash stopped it", () => {
  using scratch = new Scratch();
  const path = scratch.path("pool");
  using list = RedoList.open(path, { size: SIZE });
  list.add([[1n, 10n], [5n, 50n]]);
  const before = Deno.readFileSync(path);
  list.add([[3n, 30n], [1n, 11n]]);
  const after = Deno.readFileSync(path);

  // The log of the last change is still there: 5 words of a node and its place
  // in the list, one of the other node.
  const crashed = before.slice();
  const log = after.subarray(LOG, LOG + 6 * 16);
  crashed.set(log, LOG);
  const torn = scratch.path("torn");
  Deno.writeFileSync(torn, crashed);
  assertEquals(pairsOf(torn), [[1n, 10n], [5n, 50n]]);

  crashed[MARK] = 6;
  const entries = new BigUint64Array(log.slice().buffer);
  for (let made = 0; made <= 6; made++) {
    Deno.writeFileSync(torn, crashed);
    const expected = [[1n, 11n], [3n, 30n], [5n, 50n]];
    assertEquals(pairsOf(torn), expected as [bigint, bigint][]);
    // Those that only read leave the recovery to the next that writes.
    assertEquals(Deno.readFileSync(torn), crashed);
    RedoList.open(torn).close();
    assertEquals(Deno.readFileSync(torn)[MARK], 0);
    assertEquals(pairsOf(torn), expected as [bigint, bigint][]);
    if (made === 6) break;
    const place = Number(entries[2 * made]) * 8;
    crashed.set(after.subarray(place, place + 8), place);
  }
});

Deno.test("RedoList.open() leaves alone what is not a list", () => {
  using scratch = new Scratch();
  const picture = scratch.file("picture", SIZE);
  const before = Deno.readFileSync(picture);
  assertThrows(() => RedoList.open(picture), Error, "something else");
  assertEquals(Deno.readFileSync(picture), before);
  assertThrows(() => RedoList.open(scratch.file("tiny", 5000)), RangeError);
});

Deno.test("RedoList.check() finds a list that is not sorted", () => {
  using scratch = new Scratch();
  const path = scratch.path("pool");
  {
    using list = RedoList.open(path, { size: SIZE });
    list.add([[1n, 0n], [2n, 0n], [3n, 0n]]);
    const head = Number(/head (\d+)/.exec([...list.dump()][0]!)![1]);
    const file = new BigUint64Array(Deno.readFileSync(path).buffer);
    file[head + 1] = 9n;
    Deno.writeFileSync(scratch.path("wrong"), new Uint8Array(file.buffer));
  }
  assertThrows(() => pairsOf(scratch.path("wrong")), Error, "not sorted");
});

Deno.test("RedoList has whole changes only when its writer is killed", async () => {
  using scratch = new Scratch();
  const path = scratch.path("pool");
  RedoList.open(path, { size: 2 ** 22 }).close();
  for (let round = 0; round < 4; round++) {
    const child = command("tests/examples/redo_writer.ts", { args: [path] })
      .spawn();
    const errors = new Response(child.stderr).text();
    let output = "";
    for await (
      const text of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      if (output === "") {
        setTimeout(() => child.kill("SIGKILL"), Math.random() * 40);
      }
      output += text;
    }
    const { signal } = await child.status;
    assertEquals([signal, await errors], ["SIGKILL", ""]);
    const found = pairsOf(path).length;
    assertEquals(found % 3, 0);
    assert(found >= Number(output.split("\n").at(-2)));
  }
});

Deno.test("redo.ts adds, prints, checks and dumps", async () => {
  using scratch = new Scratch();
  const pool = scratch.path("pool");
  const redo = (command: string, ...args: string[]) =>
    runExample(
      "redo.ts",
      [command, pool, ...args],
      permissions(scratch.directory, { ffi: "all", write: command === "add" }),
    );
  assertEquals(await redo("add", "5", "50", "1", "10"), "");
  assertEquals(await redo("print"), "1 10\n5 50\n");
  assertEquals(await redo("check"), "Sorted and whole: 2 nodes\n");
  assertMatch(await redo("dump"), /^mark 0, count 2, head \d+\nlog: /);
});

Deno.test("redo.ts ends with status 1 and a message when it can't go on", async () => {
  using scratch = new Scratch();
  const pool = scratch.path("pool");
  await assertExampleFails("redo.ts", [
    [[], /^Usage: redo\.ts/],
    [["add", pool], /^Usage: redo\.ts/],
    [["add", pool, "1"], /VALUE is missing\nUsage/],
    [["add", pool, "1", `${2n ** 64n}`], /not an integer of 64 bits.*\nUsage/],
    [["erase", pool], /^Usage: redo\.ts/],
    [["print", pool], /No such file/],
    [["print", scratch.file("picture", SIZE)], /something else/],
  ]);
});
