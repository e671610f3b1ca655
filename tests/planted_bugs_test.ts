import { type Granularity, Pmem2Map } from "@pmem2/pmem2";
import {
  CrashError,
  type EmulatedPmem,
  testCrashes,
} from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { PAGE } from "./support/page.ts";
import { granularities } from "./support/store_checks.ts";

const ALL = granularities;
/** Where stores become durable by being flushed alone. */
const FLUSHED: Granularity[] = ["cache-line", "page"];

/** A small structure, right or with a bug. */
interface Structure {
  /** What is wrong with it. */
  readonly bug: string;
  /** Where that is a bug. */
  readonly at: readonly Granularity[];
  setup?(pmem: EmulatedPmem): void;
  write(
    pmem: EmulatedPmem,
    acknowledge: (value: number) => void,
    wrong: boolean,
  ): void | Promise<void>;
  check(pmem: EmulatedPmem, acknowledged: readonly number[]): void;
}

const SIZE = 4 * PAGE;
const LINE = 64;

function open(pmem: EmulatedPmem, name = "file"): Pmem2Map {
  return Pmem2Map.open(pmem.path(name), { create: true, size: SIZE });
}

const words = (map: Pmem2Map) => new BigUint64Array(map.buffer);

/** The number of the word at an offset in bytes. */
const at = (offset: number) => offset / 8;

function read(pmem: EmulatedPmem, name = "file"): BigUint64Array {
  using map = open(pmem, name);
  const bytes = new Uint8Array(SIZE);
  map.read(bytes);
  return new BigUint64Array(bytes.buffer);
}

const last = (acknowledged: readonly number[]) => acknowledged.at(-1) ?? 0;

/** A record of 24 bytes that is whole, or isn't there. */
function assertRecord(memory: BigUint64Array, offset: number): void {
  const [first, ...others] = memory.subarray(at(offset), at(offset) + 3);
  assert(first! > 0n, "there is a record");
  assertEquals(others, [first, first], "the record is whole");
}

const structures: Structure[] = [
  {
    bug: "a persist is missing",
    at: FLUSHED,
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      const memory = words(map);
      for (let i = 1; i < 5; i++) {
        memory[0] = BigInt(i);
        if (!wrong || i !== 3) map.persist(0, 8);
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      assert(read(pmem)[0]! >= last(acknowledged));
    },
  },
  {
    bug: "the mark comes before the data",
    at: ALL,
    write(pmem, _, wrong) {
      using map = open(pmem);
      const memory = words(map);
      const data = () => {
        memory.fill(7n, at(PAGE), at(PAGE) + 3);
        map.persist(PAGE, 24);
      };
      if (!wrong) data();
      memory[0] = 1n;
      map.persist(0, 8);
      if (wrong) data();
    },
    check(pmem) {
      const memory = read(pmem);
      if (memory[0] === 1n) assertRecord(memory, PAGE);
    },
  },
  {
    bug: "one persist for the data and the mark",
    at: FLUSHED,
    write(pmem, _, wrong) {
      using map = open(pmem);
      const memory = words(map);
      memory.fill(7n, at(PAGE), at(PAGE) + 3);
      if (!wrong) map.persist(PAGE, 24);
      memory[0] = 1n;
      map.persist(0, PAGE + 24);
    },
    check(pmem) {
      const memory = read(pmem);
      if (memory[0] === 1n) assertRecord(memory, PAGE);
    },
  },
  {
    bug: "two words are taken for atomic",
    at: ["byte", "cache-line"],
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      for (let i = 1; i < 6; i++) {
        const pair = BigUint64Array.of(BigInt(i), ~BigInt(i));
        const slot = wrong ? 0 : i % 2 * LINE;
        map.write(new Uint8Array(pair.buffer), slot);
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      const memory = read(pmem);
      const whole = [0, LINE].map((offset) => {
        const [value, complement] = memory.subarray(at(offset));
        return BigInt.asUintN(64, ~value!) === complement ? value! : 0n;
      });
      assert(whole.some((value) => value >= last(acknowledged)));
    },
  },
  {
    bug: "the range is one byte short, across a line and a page",
    at: FLUSHED,
    write(pmem, _, wrong) {
      using map = open(pmem);
      map.bytes.fill(7, PAGE - LINE, PAGE + 1);
      map.persist(PAGE - LINE, wrong ? LINE : LINE + 1);
      map.write(Uint8Array.of(1));
    },
    check(pmem) {
      using map = open(pmem);
      const record = map.bytes.subarray(PAGE - LINE, PAGE + 1);
      if (map.bytes[0] === 1) assert(record.every((byte) => byte === 7));
    },
  },
  {
    bug: "the range is one line short",
    at: ["cache-line"],
    write(pmem, _, wrong) {
      using map = open(pmem);
      map.bytes.fill(7, LINE, 2 * LINE + 1);
      map.persist(LINE, wrong ? LINE : LINE + 1);
      map.write(Uint8Array.of(1), PAGE);
    },
    check(pmem) {
      using map = open(pmem);
      const record = map.bytes.subarray(LINE, 2 * LINE + 1);
      if (map.bytes[PAGE] === 1) assert(record.every((byte) => byte === 7));
    },
  },
  {
    bug: "a flush without a drain",
    at: ["cache-line"],
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      const memory = words(map);
      for (let i = 1; i < 4; i++) {
        memory[i * 8] = 1n;
        map.flush(i * LINE, 8);
        if (!wrong) map.drain();
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      const memory = read(pmem);
      for (const i of acknowledged) assertEquals(memory[i * 8], 1n);
    },
  },
  {
    bug: "a drain without a flush",
    at: FLUSHED,
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      map.write(Uint8Array.of(1), 0, { flush: !wrong, drain: false });
      map.drain();
      acknowledge(1);
    },
    check(pmem, acknowledged) {
      assert(read(pmem)[0]! >= last(acknowledged));
    },
  },
  {
    bug: "a redo log is cleared before what it says is durable",
    at: FLUSHED,
    setup(pmem) {
      using map = open(pmem);
      words(map).fill(1n, at(PAGE), at(PAGE) + 3);
      map.persist();
    },
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      const memory = words(map);
      for (let i = 2n; i < 5n; i++) {
        memory[8] = i;
        map.persist(LINE, 8);
        memory[0] = 1n;
        map.persist(0, 8);
        memory.fill(i, at(PAGE), at(PAGE) + 3);
        if (!wrong) map.persist(PAGE, 24);
        memory[0] = 0n;
        map.persist(0, 8);
        acknowledge(Number(i));
      }
    },
    check(pmem, acknowledged) {
      const memory = read(pmem);
      if (memory[0] === 1n) memory.fill(memory[8]!, at(PAGE), at(PAGE) + 3);
      assertRecord(memory, PAGE);
      assert(memory[at(PAGE)]! >= last(acknowledged));
    },
  },
  {
    bug: "both slots are written at once",
    at: FLUSHED,
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      const memory = words(map);
      const slots = [PAGE, 2 * PAGE];
      const store = (slot: number, value: bigint) => {
        // The sum comes last.
        memory.fill(value, at(slot), at(slot) + 100);
      };
      for (let i = 1; i < 4; i++) {
        for (const slot of slots) {
          store(slot, BigInt(i));
          if (!wrong) map.persist(slot, 800);
        }
        if (wrong) map.persist(PAGE, 2 * PAGE);
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      const memory = read(pmem);
      const whole = [PAGE, 2 * PAGE].filter((slot) => {
        const copy = memory.subarray(at(slot), at(slot) + 100);
        return copy.every((word) => word === copy[0]) &&
          copy[0]! >= last(acknowledged);
      });
      assert(whole.length > 0, "one slot is whole");
    },
  },
  {
    bug: "a pointer is durable before the node that it points to",
    at: ALL,
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      const memory = words(map);
      for (let i = 1; i < 4; i++) {
        const node = i * PAGE;
        const link = () => {
          const next = memory[0]!;
          memory[0] = BigInt(node);
          map.persist(0, 8);
          return next;
        };
        const before = wrong ? link() : memory[0]!;
        memory[at(node)] = BigInt(i);
        memory[at(node) + 1] = before;
        map.persist(node, 16);
        if (!wrong) link();
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      const memory = read(pmem);
      const values: number[] = [];
      for (let node = Number(memory[0]); node !== 0;) {
        values.push(Number(memory[at(node)]));
        node = Number(memory[at(node) + 1]);
      }
      assertEquals(
        values,
        Array.from({ length: values.length }, (_, i) => values.length - i),
      );
      assert(values.length >= last(acknowledged));
    },
  },
  {
    bug: "a record is overwritten in place",
    at: ["byte", "cache-line"],
    setup(pmem) {
      using map = open(pmem);
      words(map).fill(1n, 0, 3);
      map.persist();
    },
    write(pmem, _, wrong) {
      using map = open(pmem);
      const record = new Uint8Array(BigUint64Array.of(2n, 2n, 2n).buffer);
      const place = wrong ? 0 : PAGE;
      map.write(record, place);
      words(map)[at(2 * PAGE)] = BigInt(place);
      map.persist(2 * PAGE, 8);
    },
    check(pmem) {
      const memory = read(pmem);
      assertRecord(memory, Number(memory[at(2 * PAGE)]));
    },
  },
  {
    bug: "a cache line is taken for atomic",
    at: ["byte", "cache-line"],
    write(pmem, _, wrong) {
      using map = open(pmem);
      const line = BigUint64Array.of(1n, 7n, 7n, 7n);
      const bytes = new Uint8Array(line.buffer);
      if (!wrong) map.write(bytes.subarray(8), 8);
      map.write(wrong ? bytes : bytes.subarray(0, 8));
    },
    check(pmem) {
      const memory = read(pmem);
      if (memory[0] === 1n) assertRecord(memory, 8);
    },
  },
  {
    bug: "a sector is taken for atomic that the record only begins in",
    at: ALL,
    write(pmem, _, wrong) {
      using map = open(pmem);
      const record = new Uint8Array(BigUint64Array.of(1n, 7n, 7n, 7n).buffer);
      const place = PAGE + 512 - 8;
      if (!wrong) map.write(record.subarray(8), place + 8);
      map.write(wrong ? record : record.subarray(0, 8), place);
    },
    check(pmem) {
      const memory = read(pmem);
      if (memory[at(PAGE + 512 - 8)] === 1n) assertRecord(memory, PAGE + 512);
    },
  },
  {
    bug: "the mark is stored without a drain",
    at: ["cache-line"],
    write(pmem, acknowledge, wrong) {
      using map = open(pmem);
      map.write(Uint8Array.of(7), PAGE);
      map.write(Uint8Array.of(1), 0, { drain: !wrong });
      acknowledge(1);
    },
    check(pmem, acknowledged) {
      assert(read(pmem)[0]! >= last(acknowledged));
    },
  },
  {
    bug: "the other file is persisted",
    at: FLUSHED,
    write(pmem, _, wrong) {
      using data = open(pmem, "data");
      using mark = open(pmem, "mark");
      words(data).fill(7n, 0, 3);
      (wrong ? mark : data).persist();
      mark.write(Uint8Array.of(1));
    },
    check(pmem) {
      if (read(pmem, "mark")[0] === 1n) assertRecord(read(pmem, "data"), 0);
    },
  },
  {
    bug: "an asynchronous persist is not awaited",
    at: FLUSHED,
    async write(pmem, acknowledge, wrong) {
      await using map = open(pmem);
      for (let i = 1; i < 4; i++) {
        map.bytes[0] = i;
        const durable = map.persistAsync(0, 1);
        if (!wrong) await durable;
        acknowledge(i);
      }
    },
    check(pmem, acknowledged) {
      assert(read(pmem)[0]! >= last(acknowledged));
    },
  },
  {
    bug: "a field is changed behind the flush",
    at: FLUSHED,
    write(pmem, _, wrong) {
      using map = open(pmem);
      const memory = words(map);
      memory.fill(7n, at(PAGE), at(PAGE) + 3);
      if (wrong) memory[at(PAGE) + 2] = 6n;
      map.flush(PAGE, 24);
      memory[at(PAGE) + 2] = 7n;
      map.drain();
      map.write(Uint8Array.of(1));
    },
    check(pmem) {
      const memory = read(pmem);
      if (memory[0] === 1n) assertRecord(memory, PAGE);
    },
  },
  {
    bug: "a recovery that does its work twice",
    at: ALL,
    setup(pmem) {
      // A balance, and a payment of 5 that was cut off.
      using map = open(pmem);
      words(map).set([100n, 1n, 95n]);
      map.persist();
    },
    write(pmem, _, wrong) {
      using map = open(pmem);
      recover(map, wrong);
    },
    check(pmem) {
      using map = open(pmem);
      const memory = words(map);
      // It recovers as it did.
      recover(map, memory[3] === 1n);
      assertEquals(memory[0], 95n);
    },
  },
  {
    bug: "room is used again before that it's free is durable",
    at: FLUSHED,
    setup(pmem) {
      // A queue with one place, taken.
      using map = open(pmem);
      const memory = words(map);
      memory[0] = 1n;
      memory.fill(1n, at(PAGE), at(PAGE) + 3);
      map.persist();
    },
    write(pmem, _, wrong) {
      using map = open(pmem);
      const memory = words(map);
      memory[at(2 * PAGE)] = 1n;
      if (!wrong) map.persist(2 * PAGE, 8);
      memory.fill(2n, at(PAGE), at(PAGE) + 3);
      map.persist(PAGE, 24);
      memory[0] = 2n;
      map.persist(0, 8);
    },
    check(pmem) {
      const memory = read(pmem);
      const [written, taken] = [memory[0]!, memory[at(2 * PAGE)]!];
      assert(taken <= written);
      if (taken === written) return;
      assertRecord(memory, PAGE);
      assertEquals(memory[at(PAGE)], written);
    },
  },
];

/** Does what words 1 and 2 say: one of the two ways can be done twice. */
function recover(map: Pmem2Map, wrong: boolean): void {
  const memory = words(map);
  memory[3] = wrong ? 1n : 0n;
  map.persist(24, 8);
  if (memory[1] === 0n) return;
  memory[0] = wrong ? memory[0]! - 5n : memory[2]!;
  map.persist(0, 8);
  memory[1] = 0n;
  map.persist(8, 8);
}

for (const { bug, at, setup, write, check } of structures) {
  for (const granularity of granularities) {
    const test = (wrong: boolean) =>
      testCrashes<number>({
        granularity,
        setup(pmem) {
          open(pmem).close();
          setup?.(pmem);
        },
        write: (pmem, acknowledge) => write(pmem, acknowledge, wrong),
        check,
      });
    const found = at.includes(granularity);
    Deno.test(`testCrashes() ${found ? "finds" : "knows that it's no bug"}, at ${granularity} granularity: ${bug}`, async () => {
      const { moments } = await test(false);
      assert(moments > 1);
      if (found) await assertRejects(() => test(true), CrashError);
      else await test(true);
    });
  }
}
