import { type EmulatedPmem, testCrashes } from "@pmem2/pmem2/testing";
import { assert, assertEquals } from "@std/assert";
import { RedoList } from "../../examples/redo_list.ts";
import { granularities } from "../support/store_checks.ts";
import { assertOneOf, exists } from "./crash_model.ts";

const SIZE = 32_768;
type Pairs = [bigint, bigint][];

/** What is added, one after the other. */
const changes: Pairs[] = [
  [[50n, 1n]],
  [[20n, 2n], [80n, 3n]],
  // At both ends and in between, and new values.
  [[10n, 4n], [50n, 5n], [90n, 6n], [60n, 7n]],
  Array.from({ length: 5 }, (_, i) => [BigInt(1000 + 7 * i), 8n]),
  [[20n, 9n], [1000n, 10n], [5n, 11n]],
];

function statesOf(changes: readonly Pairs[]): Pairs[] {
  const list = new Map<bigint, bigint>();
  return [
    [],
    ...changes.map((pairs) => {
      for (const [key, value] of pairs) list.set(key, value);
      return [...list].sort(([a], [b]) => a < b ? -1 : 1);
    }),
  ];
}

function open(pmem: EmulatedPmem): RedoList {
  const size = exists(pmem, "list") ? undefined : SIZE;
  return RedoList.open(pmem.path("list"), { size });
}

function contentsOf(pmem: EmulatedPmem, write: boolean): Pairs {
  using list = write ? open(pmem) : RedoList.open(pmem.path("list"), { write });
  assertEquals(list.check(), [...list].length);
  return [...list];
}

for (const granularity of granularities) {
  Deno.test(`RedoList has all of a change or nothing, whenever the power goes, at ${granularity} granularity`, async () => {
    const states = statesOf(changes);
    await testCrashes({
      granularity,
      write(pmem, acknowledge) {
        using list = open(pmem);
        for (const pairs of changes) {
          list.add(pairs);
          acknowledge(pairs);
        }
      },
      check(pmem, acknowledged) {
        if (exists(pmem, "list")) {
          // In a copy first: what reads the list sees the same.
          assertOneOf(contentsOf(pmem, false), states, acknowledged.length);
        }
        const recovered = contentsOf(pmem, true);
        assertOneOf(recovered, states, acknowledged.length);
        pmem.crash();
        assertEquals(contentsOf(pmem, true), recovered);
        {
          using list = open(pmem);
          list.add([[55n, 100n]]);
        }
        pmem.crash();
        assert(
          contentsOf(pmem, true).some(([key, value]) =>
            key === 55n && value === 100n
          ),
        );
      },
    });
  });

  Deno.test(`RedoList stands a power cut while it recovers from one, at ${granularity} granularity`, async () => {
    const [before, after] = statesOf(changes.slice(1, 3)).slice(1);
    let cut = false;
    await testCrashes({
      granularity,
      setup(pmem) {
        {
          using list = open(pmem);
          list.add(changes[1]!);
          list.add(changes[2]!);
        }
        // The last change as it was when its log was durable and nothing else.
        using file = Deno.openSync(pmem.path("list"), {
          read: true,
          write: true,
        });
        const words = new BigUint64Array(SIZE / 8);
        file.readSync(new Uint8Array(words.buffer));
        const count = words.subarray(8).findIndex((word, i) =>
          i % 2 === 0 && word === 0n
        ) / 2;
        words[1] = BigInt(count);
        file.seekSync(0, Deno.SeekMode.Start);
        file.writeSync(new Uint8Array(words.buffer));
      },
      write(pmem) {
        contentsOf(pmem, true);
      },
      check(pmem) {
        assertEquals(contentsOf(pmem, true), after!);
        assert(before!.length < after!.length);
        cut = true;
      },
    });
    assert(cut);
  });
}
