/**
 * Tests of what the tool in emulated/ does without a machine; those that boot one
 * are in tests/emulated/tool.ts.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseArguments, UsageError } from "../emulated/arguments.ts";
import { absolute } from "../emulated/command.ts";
import { packCpio } from "../emulated/cpio.ts";
import { packTask, quote } from "../emulated/guest.ts";
import { fletcher64, infoBlock } from "../emulated/info_block.ts";
import { lines } from "../emulated/machine.ts";
import { preparation, registriesOf } from "../emulated/project.ts";
import { main } from "../emulated/mod.ts";

const MiB = 1024 * 1024;

function parse(...args: string[]) {
  return parseArguments(args, { HERE: "as it is", EMPTY: "" });
}

function refusal(...args: string[]): string {
  return assertThrows(() => parse(...args), UsageError).message;
}

Deno.test("parseArguments() takes what comes after -- as it is", () => {
  const { mode, command, eadr, size, out } = parse(
    ...["--eadr", "--size", "64M", "--out=a", "--out", "b=c", "--"],
    ...["deno", "test", "--eadr", "--", "--out=d", ""],
  );
  assertEquals(mode, "run");
  assertEquals(command, ["deno", "test", "--eadr", "--", "--out=d", ""]);
  assertEquals(eadr, true);
  assertEquals(size, 64 * MiB);
  assertEquals(out, ["a", "b=c"]);
});

Deno.test("parseArguments() takes variables with a value and as they are", () => {
  const { env } = parse(
    ...["--env", "A=b=c\nd", "--env=HERE", "--env", "EMPTY", "--env", "ABSENT"],
    ...["--env=NONE=", "--", "true"],
  );
  assertEquals([...env], [
    ["A", "b=c\nd"],
    ["HERE", "as it is"],
    ["EMPTY", ""],
    ["NONE", ""],
  ]);
});

Deno.test("parseArguments() knows the other ways to call it", () => {
  const cut = parse(
    ...["power-cut", "--rounds=3", "--within", "0.5"],
    ...["--writer", "a b", "--checker=c"],
  );
  assertEquals(
    [cut.mode, cut.rounds, cut.within, cut.writer, cut.checker],
    ["power-cut", 3, 0.5, "a b", "c"],
  );
  assertEquals(parse("prepare", "--arch=arm64").architecture, "arm64");
  assertEquals(parse("-h").mode, "help");
  assertEquals(parse("--eadr", "--help").mode, "help");
});

Deno.test("parseArguments() refuses what makes no sense", () => {
  assert(refusal().includes("a command"));
  assert(refusal("--").includes("a command"));
  assert(refusal("deno", "test").includes('after "--"'));
  assert(refusal("--nonsense", "--", "true").includes("--nonsense"));
  assert(refusal("--eadr=yes", "--", "true").includes("no value"));
  assert(refusal("--out").includes("--out must have a value"));
  assert(refusal("--env=1=2", "--", "true").includes("NAME"));
  assert(refusal("--rounds=1", "--", "true").includes("power-cut"));
  assert(refusal("--arch=toString", "--", "true").includes("x86-64"));
  assert(refusal("--arch=arm64", "--eadr", "--", "true").includes("--eadr"));
  assert(refusal("power-cut", "--writer=a").includes("--checker"));
  assert(refusal("prepare", "--", "true").includes("--"));
  for (const size of ["1", "1T", "-64M", "1e9", "64m", "99999999999G"]) {
    assert(refusal(`--size=${size}`, "--", "a").includes("--size"));
  }
  assert(refusal("--size=40M", "--", "a").includes("multiple of 16M"));
  for (const seconds of ["0", "-1", "x", "1e3", "Infinity"]) {
    assert(refusal(`--timeout=${seconds}`, "--", "a").includes("--timeout"));
  }
  const cut = ["power-cut", "--writer=a", "--checker=b"];
  assert(refusal(...cut, "--rounds=1.5").includes("integer"));
});

Deno.test("main() says how to call it and returns 2 when called wrongly", async () => {
  const { error } = console;
  const said: string[] = [];
  console.error = (text: string) => said.push(text);
  try {
    assertEquals(await main(["deno", "test"]), 2);
  } finally {
    console.error = error;
  }
  assertEquals(said.length, 1);
});

Deno.test("fletcher64() adds up words and their sums", () => {
  const words = new Uint8Array(new Uint32Array([1, 2, 0xffffffff]).buffer);
  assertEquals(fletcher64(words.subarray(0, 8)), 4n << 32n | 3n);
  assertEquals(fletcher64(words), 6n << 32n | 2n);
  assertEquals(fletcher64(new Uint8Array(4096)), 0n);
});

Deno.test("infoBlock() is laid out as struct nd_pfn_sb", () => {
  for (const mode of ["fsdax", "devdax"] as const) {
    const block = infoBlock({
      mode,
      size: 64 * MiB,
      pageSize: 4096,
      alignment: 2 * MiB,
    });
    const view = new DataView(block.buffer);
    const signature = new TextDecoder().decode(block.subarray(0, 16));
    const expected = mode === "fsdax" ? "NVDIMM_PFN_INFO" : "NVDIMM_DAX_INFO";
    assertEquals(signature, `${expected}\0`);
    assert(block.subarray(16, 32).some((byte) => byte !== 0)); // uuid
    assert(block.subarray(32, 52).every((byte) => byte === 0));
    assertEquals(view.getUint16(52, true), 1); // version
    assertEquals(view.getUint16(54, true), 4);
    assertEquals(view.getBigUint64(56, true), 2n * BigInt(MiB)); // data
    assertEquals(view.getBigUint64(64, true), 62n * 256n); // pages
    assertEquals(view.getUint32(72, true), 1); // mode
    assertEquals(view.getUint32(84, true), 2 * MiB);
    assertEquals(view.getUint32(88, true), 4096);
    assertEquals(view.getUint16(92, true), 64);
    assert(block.subarray(94, 4088).every((byte) => byte === 0));
    const checksum = view.getBigUint64(4088, true);
    block.fill(0, 4088);
    assertEquals(fletcher64(block), checksum);
  }
});

Deno.test("infoBlock() begins the data where it's aligned", () => {
  const block = infoBlock({
    mode: "devdax",
    size: 96 * MiB,
    pageSize: 16_384,
    alignment: 32 * MiB,
  });
  const view = new DataView(block.buffer);
  assertEquals(view.getBigUint64(56, true), 32n * BigInt(MiB));
  assertEquals(view.getBigUint64(64, true), 64n * BigInt(MiB) / 16_384n);
});

/** The entries of an archive, by name. */
function unpack(
  archive: Uint8Array,
): Map<string, { mode: number; text: string }> {
  const entries = new Map<string, { mode: number; text: string }>();
  const text = (start: number, length: number) =>
    new TextDecoder().decode(archive.subarray(start, start + length));
  for (let at = 0; at < archive.length;) {
    assertEquals(text(at, 6), "070701");
    const field = (index: number) => parseInt(text(at + 6 + index * 8, 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = text(at + 110, nameSize - 1);
    const data = at + 110 + nameSize + (4 - (110 + nameSize) % 4) % 4;
    entries.set(name, { mode, text: text(data, size) });
    at = data + size + (4 - size % 4) % 4;
  }
  return entries;
}

Deno.test("packCpio() packs folders and files of every length", () => {
  const lengths = [0, 1, 2, 3, 4, 5, 4097];
  const archive = packCpio([
    { name: "folder", mode: 0o755 },
    ...lengths.map((length) => ({
      name: `folder/${"x".repeat(length % 10)}${length}`,
      mode: 0o644,
      content: "y".repeat(length),
    })),
    { name: "bytes", mode: 0o600, content: new Uint8Array([228, 184, 173]) },
  ]);
  assertEquals(archive.length % 4, 0);
  const entries = unpack(archive);
  assertEquals(entries.get("folder")!.mode, 0o040755);
  for (const length of lengths) {
    const entry = entries.get(`folder/${"x".repeat(length % 10)}${length}`)!;
    assertEquals(entry, { mode: 0o100644, text: "y".repeat(length) });
  }
  assertEquals(entries.get("bytes")!.text, "中");
  assertEquals([...entries.keys()].at(-1), "TRAILER!!!");
});

Deno.test("quote() makes one word for a shell of any text", async () => {
  const texts = ["", "plain", "it's", "'", '$HOME `x` \\ " \n\t*', "é中😀"];
  const script = `printf '%s\\0' ${texts.map(quote).join(" ")}`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] })
    .output();
  const found = new TextDecoder().decode(stdout).split("\0");
  assertEquals(found.slice(0, -1), texts);
});

Deno.test("packTask() has scripts that a shell can read", async () => {
  const entries = unpack(packTask({
    jobs: [{
      command: ["printf", "%s|", "a b", "it's"],
      stdout: "stdout",
      directory: "/",
      environment: new Map([["A", "b'\n$c"]]),
    }],
    folders: ["/tmp/it's", "/home/somebody"],
    out: ["/tmp/out"],
    failingDisk: false,
    home: "/home/it's",
    npmrc: "",
  }));
  for (const name of ["init", "job/settings", "job/1"]) {
    const child = new Deno.Command("sh", {
      args: ["-n", "-c", entries.get(name)!.text],
      stderr: "inherit",
    });
    assertEquals((await child.output()).code, 0, name);
  }
  assert(entries.get("job/settings")!.text.includes("keep_in_tmp '/tmp/it"));
  assert(!entries.get("job/settings")!.text.includes("somebody"));
  const job = entries.get("job/1")!.text.replace(/^\. .*\n/, "");
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", job],
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "a b|it's|");
});

Deno.test("lines() joins what arrives in pieces, and leaves out what isn't whole", async () => {
  const bytes = new TextEncoder().encode("one\n\nzwö\nunfinished");
  const chunks = async function* () {
    for (const byte of bytes) yield await Promise.resolve(Uint8Array.of(byte));
  };
  assertEquals(await Array.fromAsync(lines(chunks())), ["one", "", "zwö"]);
});

Deno.test("preparation() lets Deno do on the host what it can", () => {
  assertEquals(preparation(["deno", "test", "-A", "a_test.ts"]), [
    ...["test", "--no-run", "-A", "a_test.ts"],
  ]);
  assertEquals(preparation(["deno", "bench"]), ["bench", "--no-run"]);
  assertEquals(
    preparation(["deno", "run", "-A", "--config=x.json", "main.ts", "b.ts"]),
    ["cache", "--quiet", "--config=x.json", "main.ts"],
  );
  assertEquals(preparation(["deno", "main.js"]), [
    ...["cache", "--quiet", "main.js"],
  ]);
  assertEquals(preparation(["deno", "eval", "1"]), null);
  assertEquals(preparation(["sh", "-c", " deno  test -A\n"]), [
    ...["test", "--no-run", "-A"],
  ]);
  assertEquals(preparation(["sh", "-c", "deno test && rm a"]), null);
  assertEquals(preparation(["sh", "-c", "A=$B deno test"]), null);
});

Deno.test("registriesOf() leaves out everything but the registries", () => {
  const settings = "registry=https://a/\n//a/:_authToken=secret\n" +
    "@b:registry = https://b/\n; registry=\nfund=false";
  assertEquals(
    registriesOf(settings),
    "registry=https://a/\n@b:registry = https://b/\n",
  );
});

Deno.test("absolute() makes a path without dots of any name", () => {
  const here = Deno.cwd();
  assertEquals(absolute("a b#?%/./c/"), `${here}/a b#?%/c`);
  assertEquals(absolute("a/../b"), `${here}/b`);
  assertEquals(absolute("//tmp/../../x"), "/x");
  assertEquals(absolute("."), here);
});
