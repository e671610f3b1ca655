import { Pmem2Map } from "@pmem2/pmem2";
import { type EmulatedPmem, testCrashes } from "@pmem2/pmem2/testing";
import { assert, assertEquals } from "@std/assert";
import { RingBuffer } from "../../examples/ring_buffer.ts";
import { granularities } from "../support/store_checks.ts";

const ENTRY = 40;
/** For four entries, some of which lie on two cache lines. */
const SIZE = 192 + 4 * ENTRY + 7;

const open = (pmem: EmulatedPmem) =>
  new RingBuffer(pmem.path("ring"), ENTRY, { create: true, size: SIZE });

const entry = (value: number) => new Uint8Array(ENTRY).fill(value);

/** The oldest entry's number, if it's whole. */
function oldest(ring: RingBuffer): number | null {
  const found = ring.peek();
  if (found === null) return null;
  assert(found.every((byte) => byte === found[0]), "an entry is torn");
  return found[0]!;
}

function takeAll(ring: RingBuffer): number[] {
  const taken: number[] = [];
  for (let value; (value = oldest(ring)) !== null; ring.drop()) {
    taken.push(value);
  }
  return taken;
}

for (const granularity of granularities) {
  Deno.test(`RingBuffer loses and repeats nothing but what was cut off, whenever the power goes, at ${granularity} granularity`, async () => {
    await testCrashes<"put" | "taken">({
      granularity,
      write(pmem, acknowledge) {
        // As two processes have it.
        using producer = open(pmem);
        using consumer = open(pmem);
        let value = 0;
        const put = () => {
          assert(producer.push(entry(++value)));
          acknowledge("put");
        };
        const take = () => {
          assert(oldest(consumer) !== null);
          consumer.drop();
          acknowledge("taken");
        };
        put();
        take();
        // Full, empty, and around the end.
        for (let i = 0; i < 4; i++) put();
        assertEquals(producer.push(entry(99)), false);
        for (let i = 0; i < 3; i++) take();
        for (let i = 0; i < 3; i++) put();
        for (let i = 0; i < 4; i++) take();
        assertEquals(consumer.peek(), null);
        put();
      },
      check(pmem, acknowledged) {
        const put = acknowledged.filter((what) => what === "put").length;
        const taken = acknowledged.length - put;
        {
          using ring = open(pmem);
          const values = takeAll(ring);
          const first = values[0] ?? put + 1;
          assert(first === taken + 1 || first === taken + 2, "the first one");
          const end = values.at(-1) ?? first - 1;
          assert(end === put || end === put + 1, "the last one");
          assertEquals(values, values.map((_, i) => first + i));
          for (let i = 1; i <= ring.capacity; i++) {
            assert(ring.push(entry(100 + i)));
          }
        }
        pmem.crash();
        using ring = open(pmem);
        assertEquals(takeAll(ring), [101, 102, 103, 104]);
      },
    });
  });

  Deno.test(`RingBuffer makes durable what its other process had not yet when it was killed, at ${granularity} granularity`, async () => {
    await testCrashes<"put" | "taken">({
      granularity,
      setup(pmem) {
        using ring = open(pmem);
        for (let i = 1; i <= 4; i++) ring.push(entry(i));
      },
      write(pmem, acknowledge) {
        using other = Pmem2Map.open(pmem.path("ring"));
        const positions = new BigUint64Array(other.buffer, 0, 24);
        const [WRITTEN, READ] = [8, 16];
        {
          // The consumer has raised its position, and no more.
          positions[READ] = 1n;
          using producer = open(pmem);
          assert(producer.push(entry(5)));
          acknowledge("put");
        }
        {
          using consumer = open(pmem);
          for (let i = 2; i <= 5; i++) {
            assertEquals(oldest(consumer), i);
            consumer.drop();
            acknowledge("taken");
          }
          // And then the producer.
          const slot = 192 + ENTRY;
          other.bytes.fill(6, slot, slot + ENTRY);
          other.persist(slot, ENTRY);
          positions[WRITTEN] = 6n;
          assertEquals(oldest(consumer), 6);
          consumer.drop();
          acknowledge("taken");
        }
      },
      check(pmem, acknowledged) {
        const [put] = acknowledged;
        const taken = acknowledged.slice(1).length;
        using ring = open(pmem);
        const values = takeAll(ring);
        if (put === undefined) {
          assert(["1,2,3,4", "2,3,4", "2,3,4,5"].includes(values.join()));
        } else {
          const left = [2, 3, 4, 5, 6].slice(taken);
          const all = [
            left,
            left.slice(1),
            left.slice(0, -1),
            left.slice(1, -1),
          ];
          assert(all.map((some) => some.join()).includes(values.join()));
        }
        // No position has overtaken the other.
        for (let i = 0; i < ring.capacity; i++) assert(ring.push(entry(9)));
        assertEquals(ring.push(entry(9)), false);
        assertEquals(takeAll(ring), [9, 9, 9, 9]);
      },
    });
  });
}
