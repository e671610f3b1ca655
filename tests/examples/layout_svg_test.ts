import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import {
  type DrawnMap,
  type DrawnReservation,
  layoutSvg,
} from "../../examples/layout_svg.ts";

const KIB = 1024;
const PAGE = 4096;

function reservation(size: number, maps: DrawnMap[]): DrawnReservation {
  const gaps: { offset: number; size: number }[] = [];
  let end = 0;
  for (const { offset, size } of maps) {
    if (offset > end) gaps.push({ offset: end, size: offset - end });
    end = offset + Math.ceil(size / PAGE) * PAGE;
  }
  if (size > end) gaps.push({ offset: end, size: size - end });
  return {
    address: 0x7f1200000000n,
    size,
    gaps: () => gaps,
    [Symbol.iterator]: () => maps.values(),
  };
}

function map(
  offset: number,
  size: number,
  path: string | null,
  granularity = "page",
): DrawnMap {
  return {
    offset,
    size,
    path,
    granularity,
    sourceOffset: 0,
    sharing: "shared",
    readable: true,
    writable: true,
  };
}

const KINDS = ["page", "cache-line", "byte"];

/** Maps of one to four pages, some side by side, some apart. */
function manyMaps(count: number): DrawnReservation {
  const maps: DrawnMap[] = [];
  let offset = 0;
  let random = count;
  for (let index = 0; index < count; index++) {
    random = (random * 1103515245 + 12345) % 2 ** 31;
    const pages = 1 + (random >> 8) % 4;
    const path = `/srv/${"d".repeat(index % 50)}/segment-${index}.db`;
    maps.push(map(offset, pages * PAGE - index % 7, path, KINDS[index % 3]));
    offset += (pages + (random >> 16) % 2 * pages) * PAGE;
  }
  return reservation(offset + PAGE, maps);
}

Deno.test("layoutSvg() tells what sets a map apart", () => {
  const plain = map(0, PAGE, "a.db");
  const svg = layoutSvg(reservation(5 * PAGE, [
    plain,
    { ...plain, offset: PAGE, sourceOffset: 65_536 },
    { ...plain, offset: 2 * PAGE, sharing: "private", writable: false },
    { ...plain, offset: 3 * PAGE, readable: false },
    { ...plain, offset: 4 * PAGE, readable: false, writable: false },
  ]));
  const names = [...svg.matchAll(/<text class="name"[^>]*>([^<]*)</g)]
    .map(([, name]) => name);
  const expected = [
    "a.db",
    "a.db, from 0x10000",
    "a.db, private, read-only",
    "a.db, write-only",
    "a.db, no access",
  ];
  assertEquals(names, expected);
  const titles = [...svg.matchAll(/<rect [^>]*><title>([^<]*)</g)]
    .map(([, title]) => title);
  assertEquals(
    titles,
    expected.map((name, i) =>
      `0x${(i * PAGE).toString(16)} a.db, 4 KiB, page${name.slice(4)}`
    ),
  );
});

/** Tiny maps in two places that are far apart. */
function clusters(count: number, first = 0): DrawnReservation {
  const size = 2 ** 40;
  const maps = Array.from({ length: count }, (_, index) => {
    const offset = 2 * PAGE * (index < first ? index : index - count) +
      (index < first ? 0 : size);
    return map(offset, PAGE, `${index}.db`);
  });
  return reservation(size, maps);
}

const SIZES = [0, 1, 3, 10, 24, 25, 100, 500];
const ALL = [
  ...SIZES.map((count) => ({ name: `${count} maps`, of: manyMaps(count) })),
  ...[2, 10, 500].flatMap((count) =>
    [0, count / 2, count].map((first) => ({
      name: `${first} of ${count} tiny maps first`,
      of: clusters(count, first),
    }))
  ),
  {
    name: "tiny maps in the middle",
    of: reservation(
      2 ** 40,
      [0, 2, 4].map((page) => map(2 ** 39 + page * PAGE, PAGE, `${page}.db`)),
    ),
  },
];

interface Element {
  readonly name: string;
  readonly attributes: Record<string, string>;
  /** Of the element's coordinates. */
  readonly x: number;
  readonly y: number;
  readonly font: number;
  text: string;
}

/** A tag, or text up to the next one. Nothing else is let through. */
const TOKEN =
  /<(?<open>[a-z]+)(?<attributes>(?:\s+[A-Za-z][\w:-]*="(?:[^"<&]|&\w+;|&#\d+;)*")*)\s*(?<empty>\/?)>|<\/(?<close>[a-z]+)>|(?<text>(?:[^<>&]|&\w+;|&#\d+;)+)/y;
const ENTITIES: Record<string, string> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function decoded(text: string): string {
  return text.replace(/&(#?)(\w+);/g, (entity, number, name) => {
    const character = number ? String.fromCodePoint(+name) : ENTITIES[name];
    if (character === undefined) throw new Error(`Unknown entity ${entity}`);
    return character;
  });
}

function attributesOf(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/([\w:-]+)="([^"]*)"/g)) {
    assert(!Object.hasOwn(attributes, name!), `Two attributes ${name}`);
    attributes[name!] = decoded(value!);
  }
  return attributes;
}

/** The elements, placed where their groups move them. Throws if ill-formed. */
function parse(svg: string): Element[] {
  // deno-lint-ignore no-control-regex
  assert(!/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(svg));
  assert(svg.isWellFormed());
  const elements: Element[] = [];
  const open: Element[] = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; at < svg.length; at = TOKEN.lastIndex) {
    const token = TOKEN.exec(svg)?.groups;
    if (token === undefined) {
      throw new Error(`Ill-formed: ${svg.slice(at, at + 80)}`);
    }
    if (token.text !== undefined) {
      const text = decoded(token.text);
      // Outside the root there is white space alone.
      if (open.length === 0) assertEquals(text.trim(), "");
      for (const element of open) element.text += text;
    } else if (token.close !== undefined) {
      assertEquals(open.pop()?.name, token.close);
    } else {
      const attributes = attributesOf(token.attributes!);
      const parent = open.at(-1);
      if (parent === undefined) {
        assertEquals(elements, [], "a second root");
        assertEquals(attributes.xmlns, "http://www.w3.org/2000/svg");
      }
      const [, x = "0", y = "0"] =
        /^translate\((\S+) (\S+)\)$/.exec(attributes.transform ?? "") ?? [];
      const element = {
        name: token.open!,
        attributes,
        x: (parent?.x ?? 0) + Number(x),
        y: (parent?.y ?? 0) + Number(y),
        font: Number(attributes["font-size"] ?? parent?.font ?? 12),
        text: "",
      };
      elements.push(element);
      if (token.empty === "") open.push(element);
    }
  }
  assertEquals(open, []);
  return elements;
}

Deno.test("what is ill-formed is not taken for a drawing", () => {
  const root = '<svg xmlns="http://www.w3.org/2000/svg">';
  assertEquals(parse(`${root}<g/></svg>`).length, 2);
  for (
    const svg of [
      `${root}<g></svg>`,
      `${root}</svg><svg/>`,
      `${root}a & b</svg>`,
      `${root}<g a="<"/></svg>`,
      `${root}<g a="1" a="2"/></svg>`,
      `${root}<g a=1/></svg>`,
      `${root}&unknown;</svg>`,
      `${root}\u0001</svg>`,
      `${root}\ud800</svg>`,
      "<svg></svg>",
      root,
    ]
  ) {
    assertThrows(() => parse(svg), Error, undefined, svg);
  }
});

function titled(elements: Element[], title: string): Element {
  const index = elements.findIndex(({ name, text }) =>
    name === "title" && text === title
  );
  assert(index > 0, `Nothing is titled ${title}`);
  return elements[index - 1]!;
}

interface Box {
  readonly text: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function boxOf(element: Element): Box {
  const { attributes, text } = element;
  const fonts: Record<string, number> = { title: 20, summary: 14 };
  const font = fonts[attributes.class!] ?? element.font;
  const width = text.length * font * 0.61;
  const shift: Record<string, number> = { size: 1, number: 0.5 };
  const left = element.x + Number(attributes.x) -
    width * (shift[attributes.class!] ?? 0);
  const base = element.y + Number(attributes.y);
  return {
    text,
    left,
    right: left + width,
    top: base - font * 0.8,
    bottom: base + font * 0.2,
  };
}

Deno.test("layoutSvg() writes well-formed SVG", () => {
  for (const { of } of ALL) {
    const elements = parse(layoutSvg(of));
    assertEquals(elements[0]!.name, "svg");
    const ids = elements.map(({ attributes }) => attributes.id)
      .filter((id) => id !== undefined);
    assertEquals(new Set(ids).size, ids.length);
  }
});

Deno.test("layoutSvg() needs nothing from elsewhere", () => {
  const svg = layoutSvg(manyMaps(500));
  for (const { name, attributes } of parse(svg)) {
    assert(!["script", "image", "use", "foreignObject"].includes(name), name);
    for (const [key, value] of Object.entries(attributes)) {
      assert(!/href|^on/.test(key), key);
      if (key !== "xmlns") assert(!value.includes("://"), value);
    }
  }
  assert(!/@import|@font-face|url\((?!#)/.test(svg.replaceAll('"url(#', "")));
});

Deno.test("layoutSvg() has a title, a description and both color schemes", () => {
  const svg = layoutSvg(reservation(64 * KIB, [
    map(0, 5000, "notes.db"),
    map(60 * KIB, PAGE, null, "byte"),
  ]));
  const elements = parse(svg);
  assertEquals(elements[0]!.attributes.role, "img");
  assertEquals(
    elements[0]!.attributes["aria-labelledby"],
    "layout-title layout-desc",
  );
  const text = (id: string) =>
    elements.find(({ attributes }) => attributes.id === id)?.text;
  assertEquals(text("layout-title"), "Reservation of 64 KiB at 0x7f1200000000");
  assertEquals(
    text("layout-desc"),
    "2 maps, 52 KiB free: 0x0 notes.db, 5,000 B, page; 0x2000 free, 52 KiB; 0xf000 no path, 4 KiB, byte.",
  );
  const background = elements.find(({ attributes }) =>
    attributes.class === "background"
  );
  assertEquals(background?.attributes.width, "100%");
  assert(svg.includes("@media (prefers-color-scheme: dark)"));
});

Deno.test("layoutSvg() draws to scale", () => {
  const elements = parse(layoutSvg(reservation(64 * KIB, [
    map(0, 5000, "a"),
    map(8 * KIB, 8 * KIB, "b"),
    map(60 * KIB, 4 * KIB, "c"),
  ])));
  const blocks = [
    { title: "0x0 a, 5,000 B, page", offset: 0, pages: 2 },
    { title: "0x2000 b, 8 KiB, page", offset: 2, pages: 2 },
    { title: "0x4000 free, 44 KiB", offset: 4, pages: 11 },
    { title: "0xf000 c, 4 KiB, page", offset: 15, pages: 1 },
  ];
  const last = titled(elements, blocks[3]!.title).attributes;
  const scale = Number(last.y) / 15;
  for (const { title, offset, pages } of blocks) {
    const { y, height } = titled(elements, title).attributes;
    assertAlmostEquals(Number(y), offset * scale, 0.01);
    // Neighbors are a pixel apart.
    assertAlmostEquals(Number(height), pages * scale - 1, 0.01);
  }
});

Deno.test("layoutSvg() lets no map vanish", () => {
  for (const { of } of ALL) {
    const elements = parse(layoutSvg(of));
    let count = 0;
    for (const { name, attributes } of elements) {
      if (name !== "rect" || !attributes.class?.includes("shade-")) continue;
      assert(Number(attributes.width) >= 0.5, attributes.width);
      assert(Number(attributes.height) >= 1, attributes.height);
    }
    for (const { name, attributes } of elements) {
      if (name === "text" && attributes.class === "name") count++;
    }
    assertEquals(count, [...of].length, "each map has a label");
  }
});

Deno.test("layoutSvg() draws neighboring maps in different shades", () => {
  const maps = Array.from(
    { length: 500 },
    (_, index) => map(index * PAGE, PAGE, String(index)),
  );
  const elements = parse(layoutSvg(reservation(500 * PAGE, maps)));
  const shades = maps.map(({ offset, path }) =>
    titled(elements, `0x${offset.toString(16)} ${path}, 4 KiB, page`)
      .attributes.class
  );
  for (const [index, shade] of shades.entries()) {
    assertEquals(shade, `page shade-${index % 2}`);
  }
});

Deno.test("layoutSvg() lets no labels overlap or leave the picture", () => {
  for (const { name, of } of ALL) {
    const elements = parse(layoutSvg(of));
    const width = Number(elements[0]!.attributes.width);
    const height = Number(elements[0]!.attributes.height);
    const boxes = elements.filter(({ name }) => name === "text").map(boxOf)
      .sort((a, b) => a.top - b.top);
    for (const [index, box] of boxes.entries()) {
      assert(box.left >= 0 && box.right <= width, `${name}: ${box.text}`);
      assert(box.top >= 0 && box.bottom <= height, `${name}: ${box.text}`);
      for (const other of boxes.slice(index + 1)) {
        if (other.top >= box.bottom) break;
        assert(
          other.left >= box.right || other.right <= box.left,
          `${name}: ${box.text} and ${other.text}`,
        );
      }
    }
  }
});

Deno.test("layoutSvg() places labels beside what they name where it can", () => {
  const elements = parse(layoutSvg(reservation(64 * KIB, [
    map(0, 32 * KIB, "a"),
    map(32 * KIB, 32 * KIB, "b"),
  ])));
  const block = titled(elements, "0x8000 b, 32 KiB, page").attributes;
  const label = elements.find(({ attributes, text }) =>
    attributes.class === "name" && text === "b"
  )!;
  const center = Number(block.y) + (Number(block.height) + 1) / 2;
  assertAlmostEquals(Number(label.attributes.y), center, label.font / 2);
});

Deno.test("layoutSvg() escapes names", () => {
  const hostile = "</title><script>\"&'\x1b\0\u202e\ud800\uffff";
  const svg = layoutSvg(reservation(PAGE, [map(0, PAGE, hostile)]));
  const elements = parse(svg);
  const shown = "</title><script>\"&'\\u{1b}\\u{0}\\u{202e}\\u{d800}\\u{ffff}";
  titled(elements, `0x0 ${shown}, 4 KiB, page`);
  assertEquals(
    elements.find(({ attributes }) => attributes.class === "name")?.text,
    shown,
  );
});

Deno.test("layoutSvg() shortens paths but for the file's name", () => {
  const label = (path: string) =>
    parse(layoutSvg(reservation(PAGE, [map(0, PAGE, path)])))
      .find(({ attributes }) => attributes.class === "name")!.text;
  const directory = `/${"d".repeat(200)}`;
  const shortened = label(`${directory}/notes.db`);
  assert(/^\/d+…\/notes\.db$/.test(shortened), shortened);
  assertEquals(label(`${directory}/${"日".repeat(20)}`).at(-1), "日");
  const long = label(`/srv/${"n".repeat(200)}.db`);
  assert(/^n+…n+\.db$/.test(long), long);
  assertEquals(long.length, shortened.length);
});
