import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  drawMap,
  drawReservation,
  drawSource,
  formatSize,
  type Layout,
  type LayoutMap,
  type MapDetails,
  type SourceDetails,
} from "../ffi/inspect/layout.ts";

const KIB = 1024;
const PAGE = 4096;
const PLAIN = { columns: 60, colors: false, rows: Infinity };

function map(
  offset: number,
  size: number,
  path: string | null,
  rest: Partial<LayoutMap> = {},
): LayoutMap {
  return {
    offset,
    size,
    path,
    granularity: "page",
    sharing: "shared",
    sourceOffset: 0,
    readable: true,
    writable: true,
    ...rest,
  };
}

function layout(size: number, maps: LayoutMap[]): Layout {
  const gaps: { offset: number; size: number }[] = [];
  let end = 0;
  for (const { offset, size } of maps) {
    if (offset > end) gaps.push({ offset: end, size: offset - end });
    end = offset + Math.ceil(size / PAGE) * PAGE;
  }
  if (size > end) gaps.push({ offset: end, size: size - end });
  return { address: 0x7f1200000000n, size, pageSize: PAGE, maps, gaps };
}

const THREE_MAPS = layout(64 * KIB, [
  map(0, 5000, "notes.db"),
  map(8 * KIB, 8 * KIB, "/srv/data/2024/november/journal/journal.log", {
    granularity: "cache-line",
    writable: false,
  }),
  map(60 * KIB, 4 * KIB, null, { granularity: "byte" }),
]);

/** Maps of one to four pages, some side by side, some apart. */
function manyMaps(count: number): Layout {
  const maps: LayoutMap[] = [];
  let offset = 0;
  let random = count;
  for (let index = 0; index < count; index++) {
    random = (random * 1103515245 + 12345) % 2 ** 31;
    const pages = 1 + (random >> 8) % 4;
    maps.push(map(offset, pages * PAGE - index % 7, `segment-${index}.db`));
    offset += (pages + (random >> 16) % 2 * pages) * PAGE;
  }
  return layout(offset + PAGE, maps);
}

function bar(drawing: string): string {
  return drawing.split("\n")[1]!;
}

Deno.test("drawReservation() draws maps and gaps", () => {
  assertEquals(
    drawReservation(THREE_MAPS, PLAIN),
    `\
Pmem2VmReservation 64 KiB at 0x7f1200000000, 3 maps
████████▒▒▒▒▒▒▒·········································████
█ 0x0000  5,000 B    page            notes.db
▒ 0x2000      8 KiB  cache-line  ro  /srv/data/…/journal.log
· 0x4000     44 KiB  free
█ 0xf000      4 KiB  byte            no path`,
  );
});

Deno.test("drawReservation() counts pages of any size", () => {
  const large: Layout = {
    ...THREE_MAPS,
    size: 128 * KIB,
    pageSize: 64 * KIB,
    maps: [map(0, 5000, "notes.db")],
    gaps: [{ offset: 64 * KIB, size: 64 * KIB }],
  };
  assertEquals(
    drawReservation(large, PLAIN),
    `\
Pmem2VmReservation 128 KiB at 0x7f1200000000, 1 map
${"█".repeat(30)}${"·".repeat(30)}
█ 0x00000  5,000 B    page  notes.db
· 0x10000     64 KiB  free`,
  );
});

Deno.test("drawReservation() shows what is neither mapped nor free", () => {
  const holes: Layout = {
    ...THREE_MAPS,
    size: 10 * PAGE,
    maps: [map(PAGE, 5000, "notes.db")],
    gaps: [{ offset: 4 * PAGE, size: 4 * PAGE }],
  };
  assertEquals(
    drawReservation(holes, PLAIN),
    `\
Pmem2VmReservation 40 KiB at 0x7f1200000000, 1 map
××××××████████████××××××························××××××××××××
× 0x0000      4 KiB  lost
█ 0x1000  5,000 B    page  notes.db
× 0x3000      4 KiB  lost
· 0x4000     16 KiB  free
× 0x8000      8 KiB  lost`,
  );
});

Deno.test("drawReservation() shows whole paths where there is room", () => {
  const lines = drawReservation(THREE_MAPS, { ...PLAIN, columns: 200 })
    .split("\n");
  assertEquals(lines[1]!.length, 200);
  assertEquals(
    lines[3],
    "▒ 0x2000      8 KiB  cache-line  ro  /srv/data/2024/november/journal/journal.log",
  );
});

Deno.test("drawReservation() draws an empty reservation", () => {
  assertEquals(
    drawReservation(layout(64 * KIB, []), PLAIN),
    `\
Pmem2VmReservation 64 KiB at 0x7f1200000000, 0 maps
${"·".repeat(60)}
· 0x0000  64 KiB  free`,
  );
});

Deno.test("drawReservation() draws a full reservation", () => {
  assertEquals(
    drawReservation(layout(64 * KIB, [map(0, 64 * KIB, "all.db")]), PLAIN),
    `\
Pmem2VmReservation 64 KiB at 0x7f1200000000, 1 map
${"█".repeat(60)}
█ 0x0000  64 KiB  page  all.db`,
  );
});

Deno.test("drawReservation() gives tiny maps beside huge gaps a cell each", () => {
  const tiny = layout(2 ** 40, [
    map(0, PAGE, "a"),
    map(PAGE, PAGE, "b"),
    map(2 ** 39, PAGE, "c"),
  ]);
  assertEquals(
    bar(drawReservation(tiny, PLAIN)),
    `█▒${"·".repeat(28)}█${"·".repeat(29)}`,
  );
});

Deno.test("drawReservation() draws the bar to scale", () => {
  for (const columns of [60, 61, 80, 137, 200]) {
    const drawn = bar(drawReservation(THREE_MAPS, { ...PLAIN, columns }));
    assertEquals(drawn.length, columns);
    const runs = drawn.match(/(.)\1*/gu)!.map((run) => run.length);
    for (const [index, pages] of [2, 2, 11, 1].entries()) {
      const exact = pages / 16 * columns;
      assert(Math.abs(runs[index]! - exact) < 1, `${runs} at ${columns}`);
    }
  }
});

Deno.test("drawReservation() draws neighboring maps differently", () => {
  const maps = Array.from({ length: 10 }, (_, i) => map(i * PAGE, PAGE, null));
  assertEquals(
    bar(drawReservation(layout(10 * PAGE, maps), PLAIN)),
    `${"█".repeat(6)}${"▒".repeat(6)}`.repeat(5),
  );
});

Deno.test("drawReservation() says so when there are more maps than cells", () => {
  // Cells of 4 pages: full, three quarters, half, a quarter, then free.
  const pages = [0, 1, 2, 3, 4, 5, 6, 8, 9, 12];
  const maps = pages.map((page) => map(page * PAGE, PAGE, null));
  for (let page = 16; page < 32; page += 2) {
    maps.push(map(page * PAGE, PAGE, null));
  }
  for (let page = 32; page < 160; page += 4) {
    maps.push(map(page * PAGE, PAGE, null));
  }
  const lines = drawReservation(layout(240 * PAGE, maps), PLAIN).split("\n");
  assertEquals(
    lines.slice(0, 4),
    [
      "Pmem2VmReservation 960 KiB at 0x7f1200000000, 50 maps",
      `█▓▒░▒▒▒▒${"░".repeat(32)}${"·".repeat(20)}`,
      "░▒▓█ tell how much of a cell is mapped",
      "█ 0x00000    4 KiB  page  no path",
    ],
  );
});

Deno.test("drawReservation() keeps to the columns", () => {
  for (const count of [0, 1, 3, 10, 59, 60, 61, 500]) {
    for (const columns of [60, 75, 80, 120, 200]) {
      const lines = drawReservation(manyMaps(count), { ...PLAIN, columns })
        .split("\n");
      assertEquals(lines[1]!.length, columns);
      for (const line of lines) assert(line.length <= columns, line);
    }
  }
});

Deno.test("drawReservation() draws a line for each map and gap in order", () => {
  const many = manyMaps(500);
  const lines = drawReservation(many, PLAIN).split("\n").slice(3);
  const maps = [...many.maps];
  const gaps = [...many.gaps];
  assertEquals(lines.length, maps.length + gaps.length);
  const offsets = lines.map((line) => parseInt(line.slice(2), 16));
  assertEquals(
    offsets,
    [...maps, ...gaps].map(({ offset }) => offset).sort((a, b) => a - b),
  );
  for (const { offset, size } of gaps) {
    const line = lines[offsets.indexOf(offset)]!;
    assertMatch(line, /^· 0x[0-9a-f]{6} +\d+ KiB {2}free$/);
    assert(line.includes(` ${size / KIB} KiB `), line);
  }
});

Deno.test("drawReservation() stops after so many rows", () => {
  const draw = (rows: number) =>
    drawReservation(THREE_MAPS, { ...PLAIN, rows }).split("\n").slice(2);
  assertEquals(draw(1), ["█ 0x0000  5,000 B  page  notes.db", "… 3 more"]);
  assertEquals(draw(0), ["… 4 more"]);
  assertEquals(draw(4).length, 4);
  assertEquals(
    drawReservation(manyMaps(2000), { ...PLAIN, rows: 100 }).split("\n").at(-1)!
      .replace(/\d,\d+/, "N"),
    "… N more",
  );
});

Deno.test("drawReservation() wraps a header that is too long", () => {
  const maps = Array.from(
    { length: 12_000 },
    (_, i) => map(i * 2 * PAGE, PAGE, null),
  );
  const huge = layout(Math.floor(1003.13 * 2 ** 18) * PAGE, maps);
  assertEquals(
    drawReservation(huge, { ...PLAIN, rows: 0 }).split("\n").slice(0, 2),
    [
      "Pmem2VmReservation ~1,003.13 GiB at 0x7f1200000000,",
      "  12,000 maps",
    ],
  );
});

Deno.test("drawReservation() draws fewer than 32 columns, or none, as 32", () => {
  const expected = drawReservation(THREE_MAPS, { ...PLAIN, columns: 32 });
  for (const columns of [31.9, 32.9, 1, 0, -1, NaN]) {
    assertEquals(drawReservation(THREE_MAPS, { ...PLAIN, columns }), expected);
  }
});

Deno.test("drawReservation() gives paths lines of their own where it's narrow", () => {
  assertEquals(
    drawReservation(THREE_MAPS, { ...PLAIN, columns: 40 }),
    `\
Pmem2VmReservation 64 KiB
  at 0x7f1200000000, 3 maps
${"█".repeat(5)}${"▒".repeat(5)}${"·".repeat(28)}${"█".repeat(2)}
█ 0x0000  5,000 B    page
    notes.db
▒ 0x2000      8 KiB  cache-line  ro
    /srv/data/2024/november…/journal.log
· 0x4000     44 KiB  free
█ 0xf000      4 KiB  byte            no path`,
  );
});

Deno.test("drawMap() and drawSource() give a path the room that there is", () => {
  const path = "/srv/data/2024/november/journal/journal.log";
  const details = { ...DETAILS, path };
  assertEquals(
    drawMap(details, { columns: 40, colors: false }).split("\n")[0],
    "Pmem2Map /srv/data/2024/nov…/journal.log",
  );
  const source = { size: 5000, path, fd: 7, anonymous: false };
  for (const columns of [50, 60, 80]) {
    const drawn = drawSource(source, { columns, colors: false });
    assert(drawn.length <= columns, drawn);
    assert(drawn.endsWith("journal.log 5,000 B, descriptor 7"), drawn);
  }
});

Deno.test("drawSource() tells what a source is made of", () => {
  const draw = (details: Partial<SourceDetails>) =>
    drawSource(
      { size: 5000, path: null, fd: null, anonymous: false, ...details },
      { columns: 80, colors: false },
    );
  assertEquals(
    draw({ anonymous: true }),
    "Pmem2Source 5,000 B, anonymous",
  );
  assertEquals(draw({ fd: 7 }), "Pmem2Source 5,000 B, descriptor 7");
  assertEquals(draw({ size: null }), "Pmem2Source of unknown size");
  assertEquals(
    draw({ path: "a b", fd: 7 }),
    'Pmem2Source "a b" 5,000 B, descriptor 7',
  );
});

Deno.test("drawReservation() ends the bar somewhere if the columns don't", () => {
  const drawing = drawReservation(THREE_MAPS, { ...PLAIN, columns: Infinity });
  assertEquals(bar(drawing).length, 200);
});

Deno.test("drawReservation() colors only what colors allows", () => {
  // deno-lint-ignore no-control-regex
  const escapes = /\x1b\[(?:36|39|2|22)m/g;
  for (const layout of [THREE_MAPS, manyMaps(10), manyMaps(500)]) {
    const plain = drawReservation(layout, PLAIN);
    const colored = drawReservation(layout, { ...PLAIN, colors: true });
    assert(!plain.includes("\x1b"));
    assert(colored.includes("\x1b[36m█"));
    assertEquals(colored.replace(escapes, ""), plain);
    for (const line of colored.split("\n")) {
      const codes = line.match(escapes) ?? [];
      assertEquals(codes.length % 2, 0, "each line ends what it starts");
    }
  }
});

/** How one path is drawn, in the columns that are left to it. */
function drawPath(path: string, columns = 80): string {
  const drawing = drawReservation(layout(PAGE, [map(0, PAGE, path)]), {
    ...PLAIN,
    columns,
  });
  const lines = drawing.split("\n");
  assertEquals(lines.length, 3);
  const start = "█ 0x000  4 KiB  page  ";
  assert(lines[2]!.startsWith(start));
  return lines[2]!.slice(start.length);
}

Deno.test("drawReservation() lets no control character through", () => {
  assertEquals(drawPath("\x1b[31mred"), String.raw`"\x1b[31mred"`);
  assertEquals(drawPath("two\nlines\r\t"), String.raw`"two\nlines\r\t"`);
  assertEquals(drawPath("\0\x07\x7f\x9b"), String.raw`"\x00\x07\x7f\x9b"`);
  assertEquals(
    drawPath("\u2028\u2029\ufeff"),
    String.raw`"\u2028\u2029\ufeff"`,
  );
  assertEquals(drawPath("txt.\u202eexe"), String.raw`"txt.\u202eexe"`);
  assertEquals(drawPath("\ud800 \u{e0001}"), String.raw`"\ud800 \u{e0001}"`);
  assertEquals(drawPath("zero\u200bwidth"), String.raw`"zero\u200bwidth"`);
  for (let code = 0; code < 0x3000; code++) {
    const drawn = drawPath(String.fromCodePoint(code));
    assert(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(drawn), code.toString(16));
  }
});

Deno.test("drawReservation() quotes names that could mislead", () => {
  assertEquals(drawPath("no path"), '"no path"');
  assertEquals(drawPath(""), '""');
  assertEquals(drawPath('"'), String.raw`"\""`);
  assertEquals(drawPath("a\\nb"), String.raw`"a\\nb"`);
  assertEquals(drawPath(" x"), '" x"');
  assertEquals(drawPath("no\u00a0break"), String.raw`"no\xa0break"`);
  assertEquals(drawPath("\u0301"), String.raw`"\u0301"`);
  assertEquals(drawPath("dir/\u0301"), String.raw`"dir/\u0301"`);
  assertEquals(drawPath("cafe\u0301.db"), "cafe\u0301.db");
});

Deno.test("drawReservation() shortens paths in the middle", () => {
  // 38 cells are left at 60 columns.
  const path = (length: number) => `/${"d".repeat(length - 9)}/note.db`;
  assertEquals(drawPath(path(38), 60), path(38));
  assertEquals(drawPath(path(39), 60), `/${"d".repeat(28)}…/note.db`);
  assertEquals(
    drawPath(`/srv/${"n".repeat(40)}.db`, 60),
    `${"n".repeat(19)}…${"n".repeat(15)}.db`,
  );
  assertEquals(drawPath(`/srv/${"n".repeat(38)}`, 60), "n".repeat(38));
  assertEquals(
    drawPath(`/${"d".repeat(50)}/`, 60),
    `/${"d".repeat(18)}…${"d".repeat(17)}/`,
  );
});

Deno.test("drawReservation() never tears an escape or a character apart", () => {
  assertEquals(
    drawPath("\x01".repeat(20), 60),
    `"${"\\x01".repeat(4)}…${"\\x01".repeat(4)}"`,
  );
  assertEquals(
    drawPath("e\u0301".repeat(50), 60),
    `${"e\u0301".repeat(19)}…${"e\u0301".repeat(18)}`,
  );
});

Deno.test("drawReservation() counts wide characters twice", () => {
  assertEquals(drawPath("日".repeat(19), 60), "日".repeat(19));
  assertEquals(
    drawPath("日".repeat(20), 60),
    `${"日".repeat(9)}…${"日".repeat(9)}`,
  );
  const cells = new Map(Object.entries({
    "日": 2,
    "ハ": 2,
    "한": 2,
    "Ａ": 2,
    "👍": 2,
    "𠀀": 2,
    "é": 1,
    "я": 1,
    "/": 1,
    "…": 1,
    x: 1,
    "\u0308": 0,
  }));
  const alphabet = [...cells.keys()].filter((char) => char !== "…");
  let random = 1;
  for (let round = 0; round < 500; round++) {
    let name = "x";
    for (let length = round % 60; length > 0; length--) {
      random = (random * 1103515245 + 12345) % 2 ** 31;
      const next = alphabet[(random >> 8) % alphabet.length]!;
      name += next === "\u0308" && name.endsWith("/") ? "x" : next;
    }
    const drawn = drawPath(name, 60);
    const width = [...drawn].reduce((sum, char) => sum + cells.get(char)!, 0);
    assert(width <= 38, `${width} cells: ${drawn}`);
    if (!drawn.includes("…")) assert(name.endsWith(drawn));
  }
});

const DETAILS: MapDetails = {
  address: 0x7f1200002000n,
  size: 5000,
  granularity: "page",
  sharing: "shared",
  path: "/srv/data/2024/november/notes.db",
  sourceOffset: 0,
  readable: true,
  writable: true,
};

Deno.test("drawMap() draws a map on one line", () => {
  assertEquals(
    drawMap(DETAILS, { columns: 100, colors: false }),
    "Pmem2Map /srv/data/2024/november/notes.db 5,000 B at 0x7f1200002000, page, shared",
  );
  assertEquals(
    drawMap(DETAILS, { columns: 80, colors: false }),
    "Pmem2Map /srv/data/2024/novemb…/notes.db 5,000 B at 0x7f1200002000, page, shared",
  );
  assertEquals(
    drawMap(DETAILS, { columns: 60, colors: false }),
    "Pmem2Map /…/notes.db 5,000 B at 0x7f1200002000, page, shared",
  );
  assertEquals(
    drawMap({ ...DETAILS, path: null }, { columns: 60, colors: false }),
    "Pmem2Map 5,000 B at 0x7f1200002000, page, shared",
  );
});

Deno.test("drawMap() wraps what has no room on one line", () => {
  const long: MapDetails = {
    ...DETAILS,
    size: 12_345_678,
    granularity: "cache-line",
    sharing: "private",
    writable: false,
  };
  assertEquals(
    drawMap(long, { columns: 60, colors: false }),
    `\
Pmem2Map …/notes.db ~11.77 MiB at 0x7f1200002000, cache-line,
  private, read-only`,
  );
});

Deno.test("drawMap() tells what sets a map apart", () => {
  const end = (details: Partial<MapDetails>) =>
    drawMap({ ...DETAILS, path: "a", ...details }, {
      columns: 200,
      colors: false,
    }).slice("Pmem2Map a 5,000 B at 0x7f1200002000, page, ".length);
  assertEquals(end({ writable: false }), "shared, read-only");
  assertEquals(end({ readable: false }), "shared, write-only");
  assertEquals(end({ readable: false, writable: false }), "shared, no access");
  assertEquals(end({ sourceOffset: 65_536 }), "shared, from 0x10000");
  assertEquals(
    end({ sharing: "private", writable: false, sourceOffset: 4096 }),
    "private, read-only, from 0x1000",
  );
});

Deno.test("drawReservation() tells what sets its maps apart", () => {
  const windows = layout(20 * KIB, [
    map(0, 4 * KIB, "a.db"),
    map(4 * KIB, 4 * KIB, "a.db", { sourceOffset: 4 * KIB }),
    map(8 * KIB, 4 * KIB, "/srv/data/2024/november/journal/journal.log", {
      sharing: "private",
      sourceOffset: 2 ** 40,
    }),
    map(12 * KIB, 4 * KIB, null, { sharing: "private", writable: false }),
    map(16 * KIB, 4 * KIB, "b.db", { readable: false, writable: false }),
  ]);
  assertEquals(
    drawReservation(windows, PLAIN),
    `\
Pmem2VmReservation 20 KiB at 0x7f1200000000, 5 maps
████████████▒▒▒▒▒▒▒▒▒▒▒▒████████████▒▒▒▒▒▒▒▒▒▒▒▒████████████
█ 0x0000  4 KiB  page              a.db
▒ 0x1000  4 KiB  page              a.db from 0x1000
█ 0x2000  4 KiB  page  private
    /srv/data/2024/november/…/journal.log from 0x10000000000
▒ 0x3000  4 KiB  page  private ro  no path
█ 0x4000  4 KiB  page  no access   b.db`,
  );
});

Deno.test("drawMap() colors the name and escapes it", () => {
  assertEquals(
    drawMap({ ...DETAILS, path: "a\x1b[2J" }, { columns: 80, colors: true }),
    'Pmem2Map \x1b[36m"a\\x1b[2J"\x1b[39m 5,000 B at 0x7f1200002000, page, shared',
  );
});

Deno.test("formatSize() shows exact sizes where they are short", () => {
  const expected = {
    "0 B": 0,
    "1 B": 1,
    "1,000 B": 1000,
    "1 KiB": 1024,
    "1.25 KiB": 1280,
    "5,000 B": 5000,
    "4 KiB": 4096,
    "1,136 KiB": 1136 * KIB,
    "1.5 MiB": 1.5 * 2 ** 20,
    "1,048,577 B": 2 ** 20 + 1,
    "2 GiB": 2 ** 31,
    "128 TiB": 2 ** 47,
  };
  for (const [text, bytes] of Object.entries(expected)) {
    assertEquals(formatSize(bytes), text);
  }
});

Deno.test("formatSize() marks what it rounds", () => {
  assertEquals(formatSize(12_345_678), "~11.77 MiB");
  assertEquals(formatSize(10_000_000_000), "~9.31 GiB");
  assertEquals(formatSize(2 ** 40 - PAGE), "~1 TiB");
  assertEquals(formatSize(2 ** 40 + PAGE), "~1 TiB");
  assertEquals(formatSize(2 ** 47 - 1), "~128 TiB");
  assertEquals(formatSize(Number.MAX_SAFE_INTEGER), "~8 PiB");
});
