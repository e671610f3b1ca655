import { assertEquals } from "@std/assert";
import { Scratch } from "./support/scratch.ts";

const root = new URL("..", import.meta.url).pathname;

/** All that TypeScript can be strict about, as a user's project may have it. */
const compilerOptions = {
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  erasableSyntaxOnly: true,
  exactOptionalPropertyTypes: true,
  noFallthroughCasesInSwitch: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noPropertyAccessFromIndexSignature: true,
  noUncheckedIndexedAccess: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  strict: true,
  verbatimModuleSyntax: true,
};

const program = `
import {
  type Granularity,
  Pmem2Map,
  type Pmem2Memory,
  Pmem2Source,
  Pmem2VmReservation,
  type Sharing,
} from "@pmem2/pmem2";
import { emulatePmem, testCrashes } from "@pmem2/pmem2/testing";

declare const maybe: {
  readonly number: number | undefined;
  readonly boolean: boolean | undefined;
  readonly granularity: Granularity | undefined;
  readonly sharing: Sharing | undefined;
  readonly address: bigint | undefined;
  readonly text: string | undefined;
};
const opening = {
  write: maybe.boolean,
  create: maybe.boolean,
  createNew: maybe.boolean,
  size: maybe.number,
  mode: maybe.number,
};
const mapping = {
  offset: maybe.number,
  length: maybe.number,
  granularity: maybe.granularity,
  sharing: maybe.sharing,
  read: maybe.boolean,
  write: maybe.boolean,
  exec: maybe.boolean,
};
const storing = {
  flush: maybe.boolean,
  drain: maybe.boolean,
  temporal: maybe.boolean,
  writeCombining: maybe.boolean,
};
using source = Pmem2Source.open("a", opening);
using map = Pmem2Map.open("a", { ...opening, ...mapping });
Pmem2Map.from(source, mapping);
map.write(new Uint8Array(1), maybe.number, storing);
map.fill(0, maybe.number, maybe.number, storing);
map.move(0, 0, 0, storing);
map.read(new Uint8Array(1), maybe.number);
map.persist(maybe.number, maybe.number);
using reservation = new Pmem2VmReservation(1, { address: maybe.address });
reservation.map(source, { ...mapping, at: maybe.number });
reservation.map("a", { ...opening, ...mapping, at: maybe.number });
reservation.find(0, maybe.number);
reservation.view(maybe.number, maybe.number);
reservation.read(new Uint8Array(1), maybe.number);
reservation.write(new Uint8Array(1), maybe.number, storing);
reservation.fill(0, maybe.number, maybe.number, storing);
reservation.persist(maybe.number, maybe.number);
reservation.maps({
  from: maybe.number,
  to: maybe.number,
  reverse: maybe.boolean,
});
reservation.view(maybe.number, maybe.number).fill(0);
for (const memory of [map, reservation] satisfies Pmem2Memory[]) {
  memory.write(new Uint8Array(1), maybe.number, storing);
  memory.fill(0, maybe.number, maybe.number, storing);
  memory.move(0, 0, 0, storing);
  memory.read(new Uint8Array(1), maybe.number);
  memory.persist(maybe.number, maybe.number);
  memory.persist(map.bytes);
  memory.persistAsync(maybe.number, maybe.number);
  memory.deepFlushAsync(new DataView(map.buffer));
}
export async function waits(memory: Pmem2Memory): Promise<void> {
  await using opened = memory;
  opened.drain();
}
reservation.close({ maps: maybe.boolean });
const pmem = emulatePmem("page", { directory: maybe.text });
pmem.crash({ pending: maybe.number });
await testCrashes({
  granularity: maybe.granularity,
  directory: maybe.text,
  setup: undefined,
  write() {},
  check() {},
  states: maybe.number,
  seed: maybe.number,
  only: undefined,
});
`;

Deno.test("the types hold in a project that is as strict as can be", async () => {
  using scratch = new Scratch(Deno.makeTempDirSync());
  Deno.writeTextFileSync(
    scratch.path("deno.json"),
    JSON.stringify({
      compilerOptions,
      imports: {
        "@pmem2/pmem2": `${root}mod.ts`,
        "@pmem2/pmem2/testing": `${root}ffi/testing.ts`,
      },
    }),
  );
  Deno.writeTextFileSync(scratch.path("program.ts"), program);
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--quiet", "--no-lock", "program.ts"],
    cwd: scratch.directory,
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals({ code, stderr: new TextDecoder().decode(stderr) }, {
    code: 0,
    stderr: "",
  });
});

/** A signature as `deno doc` shows it. */
async function signatures(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "mod.ts"],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("deno doc shows what may be left out", async () => {
  const text = await signatures();
  for (
    const signature of [
      "read(target: Uint8Array, offset?: number): void",
      "write(data: Uint8Array, offset?: number, options?: StoreOptions): void",
      "write(data: Uint8Array, offset?: number): void",
      "fill(value: number, offset?: number, length?: number, options?: StoreOptions): void",
      "view(offset?: number, length?: number): Uint8Array<ArrayBuffer>",
      "find(offset: number, length?: number): Pmem2Map | null",
    ]
  ) {
    assertEquals(text.includes(signature), true, signature);
  }
  for (const needed of [/(read|write)\(\w+: Uint8Array, offset: number/]) {
    assertEquals(text.match(needed), null);
  }
});
