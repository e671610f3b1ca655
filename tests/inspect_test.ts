import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { noTerminal, runOnTerminal } from "./support/terminal.ts";
import { testUnless } from "./support/test_unless.ts";
import { PAGE } from "./support/page.ts";

/** How many lines of a drawing have a map or a gap, and its last line. */
function rows(drawing: string): [number, string] {
  const lines = drawing.split("\n");
  return [
    lines.filter((line) => /^. 0x/u.test(line)).length,
    lines.at(-1)!,
  ];
}

Deno.test("console.log() shows a map on a line", () => {
  using scratch = new Scratch();
  using map = Pmem2Map.open(scratch.file("a", 5000), { sharing: "private" });
  const address = `0x${map.address.toString(16)}`;
  const shown = Deno.inspect(map, { breakLength: 400 });
  assertEquals(
    shown,
    `Pmem2Map ${scratch.path("a")} 5,000 B at ${address}, byte, private`,
  );
  assertMatch(Deno.inspect({ map }), /^\{\s+map: Pmem2Map /);
  assertMatch(
    Deno.inspect(map, { colors: true }),
    // deno-lint-ignore no-control-regex
    /\x1b\[36m/,
  );
  using readOnly = Pmem2Map.open(scratch.path("a"), { write: false });
  assertMatch(Deno.inspect(readOnly), /shared, read-only$/);
  map.close();
  assertEquals(Deno.inspect(map), "Pmem2Map (closed)");
});

Deno.test("console.log() draws a reservation, its maps and gaps", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.anonymous(2 * PAGE);
  using reservation = new Pmem2VmReservation(16 * PAGE);
  reservation.map(scratch.file("a", 5000), { at: 0, write: false });
  reservation.map(source, { at: 8 * PAGE });
  const lines = Deno.inspect(reservation, { breakLength: 200 }).split("\n");
  assertEquals(
    lines[0],
    `Pmem2VmReservation 64 KiB at 0x${
      reservation.address.toString(16)
    }, 2 maps`,
  );
  assertEquals(lines[1]!.length, 200);
  const text = lines.slice(2);
  assertEquals(text.length, 4);
  assertMatch(text[0]!, /0x0000\b.*5,000 B.*\/a\b/);
  assertMatch(text[1]!, /· 0x2000\b.*24 KiB.*free/);
  assertMatch(text[2]!, /0x8000\b.*8 KiB.*byte.*no path/);
  assertMatch(text[3]!, /· 0xa000\b.*24 KiB.*free/);
  assertMatch(
    Deno.inspect(reservation, { colors: true }),
    // deno-lint-ignore no-control-regex
    /\x1b\[/,
  );
  reservation.close({ maps: true });
  assertEquals(Deno.inspect(reservation), "Pmem2VmReservation (closed)");
});

Deno.test("console.log() draws an empty reservation", () => {
  using reservation = new Pmem2VmReservation(PAGE);
  const lines = Deno.inspect(reservation).split("\n");
  assertEquals(lines.length, 3);
  assertMatch(lines[0]!, /^Pmem2VmReservation 4 KiB at 0x[0-9a-f]+, 0 maps$/);
  assertMatch(lines[2]!, /^· 0x/);
});

Deno.test("console.log() shows ten rows, and iterableLimit as many as it says", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(400 * PAGE);
  for (let page = 0; page < 300; page += 2) {
    reservation.map(source, { at: page * PAGE });
  }
  const show = (options?: Deno.InspectOptions) =>
    rows(Deno.inspect(reservation, options));
  assertEquals(show(), [10, "… 290 more"]);
  assertEquals(show({ iterableLimit: 100 }), [10, "… 290 more"]);
  assertEquals(show({ iterableLimit: 3 }), [3, "… 297 more"]);
  assertEquals(show({ iterableLimit: 299 })[0], 299);
  const [count, last] = show({ iterableLimit: Infinity });
  assertEquals(count, 300);
  assertMatch(last, /^· 0x/);
});

Deno.test("console.log() prints what Deno.inspect() gives", async () => {
  const ended = await run(`
    import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
    using source = Pmem2Source.anonymous(4096);
    using reservation = new Pmem2VmReservation(16384);
    const map = reservation.map(source);
    console.log(map);
    console.log(reservation);
    console.log([map], { reservation });
    map.close();
    reservation.close();
    console.log(map, reservation);
    console.log(source);
    source.close();
    console.log(source, Object.create(Pmem2Source.prototype));
  `);
  assertEquals([ended.code, ended.stderr], [0, ""]);
  assertMatch(
    ended.stdout,
    /^Pmem2Map 4 KiB at 0x[0-9a-f]+, byte, shared\nPmem2VmReservation 16 KiB at/,
  );
  assert(
    ended.stdout.endsWith(`\
Pmem2Map (closed) Pmem2VmReservation (closed)
Pmem2Source 4 KiB, anonymous
Pmem2Source (closed) Pmem2Source {}
`),
    ended.stdout,
  );
});

Deno.test("console.log() changes nothing", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using map = Pmem2Map.from(source);
  map.bytes[0] = 1;
  using reservation = new Pmem2VmReservation(4 * PAGE);
  const inner = reservation.map(source, { at: PAGE });
  for (const value of [map, reservation, inner]) Deno.inspect(value);
  assertEquals(map.bytes[0], 1);
  assertEquals([...reservation], [inner]);
  assertEquals(reservation.map(source).offset, 0);
});

Deno.test("console.log() shows a source on a line", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("a", 5000));
  const shown = Deno.inspect(source, { breakLength: 400 });
  assertEquals(
    shown,
    `Pmem2Source ${scratch.path("a")} 5,000 B, descriptor ${source.fd}`,
  );
  using again = Pmem2Source.fromFd(source.fd!);
  source.close();
  assertEquals(Deno.inspect(again), "Pmem2Source of unknown size");
});

Deno.test("console.log() indents what stands in something else", () => {
  using source = Pmem2Source.anonymous(PAGE);
  using reservation = new Pmem2VmReservation(4 * PAGE);
  reservation.map(source);
  const alone = Deno.inspect(reservation, { breakLength: 72 }).split("\n");
  const inside = Deno.inspect({ in: { list: [reservation] } }).split("\n");
  const at = inside.findIndex((line) => line.includes("Pmem2VmReservation"));
  assertEquals(
    // Six columns of eighty are the indentation.
    inside.slice(at, at + alone.length).map((line) => line.slice(0, 6)),
    alone.map(() => " ".repeat(6)),
  );
  for (const line of inside) assert(line.length <= 80, line);
});

Deno.test("console.log() takes no option for what it isn't", () => {
  using reservation = new Pmem2VmReservation(4 * PAGE);
  const [map, { prototype }] = [
    Symbol.for("Deno.customInspect"),
    Pmem2VmReservation,
  ];
  const inspect = Reflect.get(prototype, map);
  const expected = inspect.call(reservation, Deno.inspect);
  for (const value of ["80", {}, null, Symbol(), 1n, NaN, () => 80]) {
    for (
      const option of [
        "breakLength",
        "iterableLimit",
        "indentationLvl",
        "colors",
      ]
    ) {
      assertEquals(
        inspect.call(reservation, Deno.inspect, { [option]: value }),
        expected,
        `${option} ${String(value)}`,
      );
    }
  }
});

testUnless(
  noTerminal,
  "console.log() draws as wide as the terminal",
  async () => {
    using scratch = new Scratch(Deno.makeTempDirSync());
    const program = scratch.path("program.js");
    Deno.writeTextFileSync(
      program,
      `
      import { Pmem2VmReservation } from "${new URL(
        "../mod.ts",
        import.meta.url,
      )}";
      using reservation = new Pmem2VmReservation(${4 * PAGE});
      console.log(reservation);
    `,
    );
    for (const columns of [40, 80, 150]) {
      const { code, stdout } = await runOnTerminal(
        [Deno.execPath(), "run", "--no-check", "-A", program],
        { columns, env: { NO_COLOR: "1" } },
      );
      assertEquals(code, 0, stdout);
      const bar = stdout.split("\n").find((line) => /^·+$/.test(line));
      assertEquals(bar?.length, columns, stdout);
    }
  },
);
