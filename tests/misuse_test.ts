import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type Any, Setting } from "./support/setting.ts";
import { PAGE } from "./support/page.ts";

/** All methods and accessors of a class, each as a call on a given `this`. */
function members(Class: Any): [string, (self: unknown) => unknown][] {
  const list: [string, (self: unknown) => unknown][] = [];
  for (const key of Reflect.ownKeys(Class.prototype)) {
    if (key === "constructor" || key === Symbol.toStringTag) continue;
    const { get, value } = Object.getOwnPropertyDescriptor(
      Class.prototype,
      key,
    )!;
    const call = get ?? value;
    // Arguments that are right, so that `this` is all that is wrong.
    const args: Record<string, unknown[]> = {
      read: [new Uint8Array(1)],
      write: [new Uint8Array(1)],
      move: [0, 0, 0],
      fill: [0],
      find: [0],
      extend: [PAGE],
      shrink: [0, PAGE],
      map: ["/nowhere"],
    };
    list.push([
      `${Class.name}.${String(key)}`,
      (self) => Reflect.apply(call, self, args[String(key)] ?? []),
    ]);
  }
  return list;
}

/** What a call throws, or its promise rejects with. */
async function thrown(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
}

const CLASSES: Any[] = [Pmem2Source, Pmem2Map, Pmem2VmReservation];

Deno.test("a wrong this is a TypeError that says so", async () => {
  using all = new Setting();
  const { source, map, reservation } = all;
  for (const Class of CLASSES) {
    const wrong = [
      ...[undefined, null, {}, 1, "a", globalThis, Class, Class.prototype],
      ...[Object.create(Class.prototype), new Proxy(source, {})],
      ...[new Proxy(map, {}), new Proxy(reservation, {})],
      ...[source, map, reservation].filter((it) => !(it instanceof Class)),
    ];
    for (const [name, call] of members(Class)) {
      for (const self of wrong) {
        if (name.endsWith("customInspect)")) {
          assertEquals(call(self), `${Class.name} {}`);
          continue;
        }
        const error = await thrown(() => call(self));
        const text =
          `as \`this\` is not a ${Class.name}: call it as a method of one`;
        assertInstanceOf(error, TypeError, name);
        assertStringIncludes((error as Error).message, text, name);
      }
    }
  }
  assertEquals([source.closed, map.closed, reservation.closed], [
    false,
    false,
    false,
  ]);
});

Deno.test("a walk's next() needs its walk", () => {
  using all = new Setting();
  const { next } = all.reservation.maps();
  for (const self of [undefined, null, {}, all.reservation.gaps()]) {
    assertThrows(
      () => next.call(self),
      TypeError,
      "Cannot walk the reservation as `this` is not an iterator over its maps",
    );
  }
});

Deno.test("everything on a closed object is a TypeError that says so", async () => {
  for (const [i, Class] of CLASSES.entries()) {
    const all = new Setting();
    all[Symbol.dispose]();
    const closed = [all.source, all.map, all.reservation][i];
    const works = [
      "closed",
      "close",
      "Symbol(Symbol.dispose)",
      "Symbol(Symbol.asyncDispose)",
    ];
    for (const [name, call] of members(Class)) {
      const member = name.slice(Class.name.length + 1);
      if (works.includes(member)) {
        assertEquals(
          await call(closed),
          member === "closed" ? true : undefined,
        );
      } else if (member === "Symbol(Deno.customInspect)") {
        assertEquals(call(closed), `${Class.name} (closed)`);
      } else {
        const error = await thrown(() => call(closed));
        assertInstanceOf(error, TypeError, name);
        const what = ["source", "map", "reservation"][i];
        assertStringIncludes(
          (error as Error).message,
          ` as the ${what} is closed`,
          name,
        );
      }
    }
  }
});

Deno.test("a closed source or map is refused where one is wanted", () => {
  using all = new Setting();
  const { source, inner, reservation } = all;
  source.close();
  inner.close();
  for (
    const [use, what] of [
      [() => Pmem2Map.from(source), "source"],
      [() => reservation.map(source), "source"],
      [
        () => Pmem2Map.unsafeFromExisting(source, 4096n, PAGE, "byte"),
        "source",
      ],
      [() => reservation.findNext(inner), "map"],
      [() => reservation.findPrev(inner), "map"],
    ] as const
  ) {
    assertThrows(use, TypeError, `as the ${what} is closed`);
  }
});

Deno.test("the asynchronous methods reject and do not throw", async () => {
  using all = new Setting();
  const { map } = all;
  for (const method of ["persistAsync", "deepFlushAsync"]) {
    for (
      const [args, Class] of [
        [["0"], TypeError],
        [[new Uint8Array(1)], TypeError],
        [[0, null], TypeError],
        [[-1], RangeError],
        [[0, 4 * PAGE + 1], RangeError],
        [[4 * PAGE + 1], RangeError],
      ] as const
    ) {
      const promise = map[method](...args);
      assertInstanceOf(promise, Promise);
      await assertRejects(() => promise, Class as typeof TypeError, "Cannot ");
    }
    await assertRejects(() => map[method].call({}), TypeError, "`this`");
  }
});

Deno.test("close() while an asynchronous flush is pending changes nothing", async () => {
  using all = new Setting();
  const { map, inner, reservation } = all;
  for (const method of ["persistAsync", "deepFlushAsync"]) {
    const pending = [map[method](), inner[method](0, 1)];
    for (
      const close of [
        () => map.close(),
        () => map[Symbol.dispose](),
        () => inner.close(),
        () => reservation.close({ maps: true }),
        () => reservation[Symbol.dispose](),
      ]
    ) {
      assertThrows(close, TypeError, "an asynchronous flush is pending");
    }
    assertEquals([map.closed, inner.closed, reservation.closed], [
      false,
      false,
      false,
    ]);
    await Promise.all(pending);
  }
  map.close();
  inner.close();
});

Deno.test("a map that can't be written to refuses to be", () => {
  using all = new Setting();
  using map = Pmem2Map.from(all.source, { write: false });
  for (
    const store of [
      () => map.write(new Uint8Array(1)),
      () => map.write(new Uint8Array(0)),
      () => map.fill(0),
      () => map.move(0, 0, 1),
    ]
  ) {
    assertThrows(store, TypeError, "as the map is not writable");
  }
});

Deno.test("a map that can't be read refuses to be", async () => {
  using all = new Setting();
  using map = Pmem2Map.from(all.source, { read: false });
  assertThrows(() => map.read(new Uint8Array(1)), TypeError, "not readable");
  assertThrows(() => map.move(0, 0, 1), TypeError, "not readable");
  using neither = Pmem2Map.from(all.source, { read: false, write: false });
  const why = "as the map is neither readable nor writable";
  for (const flush of ["persist", "flush", "deepFlush"] as const) {
    assertThrows(() => neither[flush](), TypeError, why);
  }
  for (const flush of ["persistAsync", "deepFlushAsync"] as const) {
    await assertRejects(() => neither[flush](), TypeError, why);
  }
});

Deno.test("a view on another buffer can't be persisted", () => {
  using all = new Setting();
  const { map, inner } = all;
  const { bytes } = inner;
  for (const method of ["persist", "flush", "deepFlush"]) {
    for (const view of [new Uint8Array(8), bytes, new DataView(bytes.buffer)]) {
      assertThrows(
        () => map[method](view),
        TypeError,
        "as the view must be on the map's own buffer",
      );
    }
  }
});

Deno.test("Pmem2Error is for what libpmem2 refuses alone", () => {
  using all = new Setting();
  const { reservation, source } = all;
  assertThrows(() => reservation.map(source, { at: 0 }), Pmem2Error);
  assertThrows(() => reservation.close(), Pmem2Error);
  assertThrows(() => new Pmem2VmReservation(1), Pmem2Error);
  assertThrows(() => Pmem2Source.open("/nowhere"), Deno.errors.NotFound);
});
