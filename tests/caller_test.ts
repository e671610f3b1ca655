import {
  libraryInfo,
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { emulatePmem } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { PAGE } from "./support/page.ts";
import { modulesOf } from "./support/modules.ts";
import { Scratch } from "./support/scratch.ts";
import { run } from "./support/subprocess.ts";
import { type Any, Setting } from "./support/setting.ts";

/** Where an error says that it comes from. */
function firstFrame(error: unknown): string {
  const frames = (error as Error).stack!.split("\n    at ").slice(1);
  // The engine's own functions are in no file.
  return frames.find((frame) => !frame.endsWith("(<anonymous>)")) ?? "nowhere";
}

/** What was thrown, by the engine's own functions too. */
async function thrown(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error(`Nothing was thrown by ${call}`);
}

Deno.test("an error's stack begins where the caller called", async () => {
  using all = new Setting();
  using scratch = new Scratch();
  const path = scratch.file("a", 65_536);
  const { source, map, inner, reservation } = all as Any;
  const closed = Pmem2Source.anonymous(65_536);
  closed.close();
  const { persist } = map;
  using anonymous = Pmem2Map.from(Pmem2Source.anonymous(65_536));
  const calls: (() => unknown)[] = [
    // Wrong types and ranges, in options too.
    () => Pmem2Map.open(1 as Any),
    () => Pmem2Map.open(path, { length: -1 }),
    () => Pmem2Map.open(path, { legnth: 1 } as Any),
    () => Pmem2Map.from({} as Any),
    () => Pmem2Source.open(path, { mode: 0o1000 }),
    () => Pmem2Source.anonymous(0),
    () => Pmem2Source.fromFd("0" as Any),
    () => new Pmem2VmReservation(0),
    () => new Pmem2VmReservation(65_536, { address: 1n }),
    () => reservation.find(-1),
    () => reservation.findNext(map),
    () => reservation.maps({ from: "" }),
    () => reservation.shrink(0, 2 ** 40),
    () => reservation.map(source, { at: 2 ** 40 }),
    () => reservation.view(0, 2 ** 40),
    () => reservation.view(5 * PAGE),
    () => reservation.read(new Uint8Array(1), 5 * PAGE),
    () => reservation.write(new Uint8Array(1), -1),
    () => reservation.fill("a"),
    () => reservation.move(0, 0, 5 * PAGE),
    () => reservation.persist(-1),
    () => reservation.persist(new Uint8Array(1)),
    () => reservation.persistAsync(-1),
    () => map.read([]),
    () => map.write(new Uint8Array(1), 2 ** 40),
    () => map.fill(256),
    () => map.move(0, 0, 2 ** 40),
    () => map.persist(0, -1),
    () => map.flush({}),
    () => source.read(new Uint8Array(1), 2 ** 40),
    () => Pmem2Map.unsafeFromExisting(source, 4096n, 1, "byte"),
    // States, and a wrong this.
    () => closed.size,
    () => persist(),
    () => map.write.call({}),
    () => Reflect.get(Pmem2Map.prototype, "address", 1),
    () => new (Pmem2Map as Any)(),
    () => reservation.maps().next.call({}),
    () => reservation[Symbol.dispose].call(inner),
    // Refusals of libpmem2's and of the system's.
    () => Pmem2Map.open(path, { offset: 100 }),
    () => new Pmem2VmReservation(100),
    () => reservation.map(source, { at: 1 }),
    () => reservation.close(),
    () => source.deviceId(),
    () => Pmem2Map.open(scratch.directory),
    () => Pmem2Map.open(scratch.path("none")),
    () => Pmem2Source.open(scratch.path("none/none"), { create: true }),
    // Rejections.
    () => map.persistAsync(-1),
    () => map.deepFlushAsync("0"),
    async () => await anonymous.deepFlushAsync(0, 1),
    // The testing entry point.
    () => emulatePmem("line" as Any),
    () => {
      using pmem = emulatePmem("page");
      pmem.path(1 as Any);
    },
    // Through the engine's own functions.
    () => [1].map(() => map.fill(-1)),
    () => Reflect.apply(map.fill, map, [-1]),
    () => Reflect.construct(Pmem2VmReservation, [0]),
  ];
  for (const call of calls) {
    const error = await thrown(call);
    assert(
      firstFrame(error).includes("caller_test.ts:"),
      `${call}
${(error as Error).stack}`,
    );
  }
});

Deno.test("no file makes errors without the caller's stack", () => {
  const folder = new URL("../ffi/", import.meta.url);
  for (const name of modulesOf(folder)) {
    if (name === "input/caller.ts") continue;
    const text = Deno.readTextFileSync(new URL(name, folder));
    const code = text.replace(/^ *\*.*$/gm, "");
    assertEquals(code.match(/new (Type|Range)Error\(.*/), null, name);
  }
});

Deno.test("an error that is thrown in the caller's own getter is the caller's", () => {
  using all = new Setting();
  const own = new Error("own");
  const { stack } = own;
  try {
    all.map.write(new Uint8Array(1), 0, {
      get flush(): boolean {
        throw own;
      },
    });
  } catch (error) {
    assertEquals(error, own);
  }
  assertEquals(own.stack, stack);
});

Deno.test("an error in a getter that calls begins in the getter", async () => {
  using all = new Setting();
  const error = await thrown(() =>
    all.map.write(new Uint8Array(1), 0, {
      get flush(): boolean {
        all.map.fill(-1);
        return true;
      },
    })
  );
  assertMatch(firstFrame(error), /flush.*caller_test\.ts:/);
});

Deno.test("an error is printed with the caller's line", async () => {
  for (
    const [call, name] of [
      ["Pmem2Map.open(path, { readonly: true })", "TypeError"],
      ["Pmem2Map.open(path, { length: 100 })", "Pmem2Error"],
      ["Pmem2Map.open(`${path}/none`)", "NotADirectory"],
      ["new Pmem2VmReservation(-1)", "RangeError"],
      ["await map.persistAsync(-1)", "RangeError"],
      [
        "await Pmem2Map.from(Pmem2Source.anonymous(1)).deepFlushAsync()",
        "Pmem2Error",
      ],
      [
        "{ using map = Pmem2Map.open(path); structuredClone(0, { transfer: [map.buffer] }); }",
        "TypeError",
      ],
    ]
  ) {
    const { code, stderr } = await run(`
import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
const path = Deno.makeTempFileSync();
Deno.truncateSync(path, 65_536);
const map = Pmem2Map.open(path);
addEventListener("unload", () => Deno.removeSync(path));
${call};
`);
    assertEquals(code, 1);
    const lines = stderr.split("\n");
    assertMatch(lines[0]!, new RegExp(`^error: Uncaught .*${name}: `));
    assertEquals(lines[1], `${call};`, stderr);
    assertMatch(lines[2]!, /^\s*\^$/);
    assertMatch(lines[3]!, /^\s+at .*\.subprocess_/);
    assert(!stderr.includes("/ffi/"), stderr);
  }
});

Deno.test("an error that nobody waits for still tells where it comes from", async () => {
  const { code, stderr } = await run(`
import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
Pmem2Map.from(Pmem2Source.anonymous(65_536)).deepFlushAsync(0, 1);
`);
  assertEquals(code, 1);
  assertMatch(stderr, /Uncaught .*PMEM2_E_NOSUPP/);
  assertMatch(stderr, /at async Pmem2Map\.deepFlushAsync/);
});

Deno.test("a missing library is an error of the line that needs it", async () => {
  const { stderr } = await run(
    `
import { libraryInfo } from "@pmem2/pmem2";
libraryInfo();
`,
    { env: { PMEM2_LIBRARY: "/nowhere" } },
  );
  assert(stderr.includes("\nlibraryInfo();\n^\n"), stderr);
  assert(libraryInfo().path.length > 0);
});

Deno.test("what the caller has made of Error stays as it is", async () => {
  const { code, stdout, stderr } = await run(`
import { Pmem2Map } from "@pmem2/pmem2";
import { assertEquals, assertThrows } from "@std/assert";
const refused = () => assertThrows(() => Pmem2Map.open(1), TypeError, "path must be");
const E = Error;

E.stackTraceLimit = 1;
assertEquals(refused().stack.split("\\n    at ").length, 2);
assertEquals(E.stackTraceLimit, 1);
E.stackTraceLimit = 0;
assertEquals(refused().stack, String(refused()));
E.stackTraceLimit = undefined;
refused();
assertEquals(E.stackTraceLimit, undefined);
E.stackTraceLimit = 10;

const prepare = (error, sites) => [error.message, sites.length];
E.prepareStackTrace = prepare;
const { message, stack } = refused();
assertEquals(stack[0], message);
assertEquals(E.prepareStackTrace, prepare);
delete E.prepareStackTrace;
refused();
assertEquals(Object.hasOwn(E, "prepareStackTrace"), false);

let runs = 0;
Object.defineProperty(E, "prepareStackTrace", {
  configurable: true,
  get: () => void runs++,
  set: () => void runs++,
});
const error = refused();
assertEquals(runs, 0);
delete E.prepareStackTrace;

E.captureStackTrace = () => void runs++;
refused();
assertEquals(runs, 0);
Object.freeze(E);
refused();
console.log("done");
`);
  assertEquals([code, stdout], [0, "done\n"], stderr);
});

Deno.test("an error near the end of the stack is one all the same", () => {
  using source = Pmem2Source.anonymous(65_536);
  let refused = 0;
  const dive = (): void => {
    try {
      source.read("" as Any);
    } catch (error) {
      if (error instanceof TypeError) refused++;
      else if (!(error instanceof RangeError)) throw error;
    }
    dive();
  };
  try {
    dive();
  } catch (error) {
    assert(error instanceof RangeError);
  }
  assert(refused > 100);
  assert(!(new Pmem2Error(-22, "x").stack === undefined));
});
