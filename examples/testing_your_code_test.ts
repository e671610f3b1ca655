// How to test code that uses persistent memory on machines that have none. emulatePmem
// makes maps of ordinary files report each granularity, cuts the power, and cleans up;
// testCrashes finds what a power cut breaks.
//
//   deno test --allow-ffi=/usr/lib/x86_64-linux-gnu/libpmem2.so.1 \
//     --allow-read=/tmp --allow-write=/tmp \
//     examples/testing_your_code_test.ts
//
// The two permissions for /tmp are for the files of the emulation. Code that uses
// zero-copy views (`bytes`, `buffer`) requires --allow-ffi without a path.

import { Pmem2Error, Pmem2Map } from "@pmem2/pmem2";
import { emulatePmem, testCrashes } from "@pmem2/pmem2/testing";
import { assert, assertEquals, assertThrows } from "@std/assert";

/** The code to test: a number that survives a crash at any moment. */
class Counter implements Disposable {
  // There are two slots, and the older one is overwritten, so one of them is always
  // complete. Each has a cache line of its own, with the number and its complement.
  static readonly #slots = [0, 64];
  readonly #map: Pmem2Map;

  constructor(path: string) {
    this.#map = Pmem2Map.open(path, {
      create: true,
      size: 4096,
      granularity: "cache-line",
    });
  }

  get value(): bigint {
    return this.#read().value;
  }

  increment(): void {
    const { value, older } = this.#read();
    this.#map.write(
      new Uint8Array(BigUint64Array.of(value + 1n, ~(value + 1n)).buffer),
      older,
    );
  }

  #read(): { value: bigint; older: number } {
    const [first, second] = Counter.#slots.map((offset) => {
      const bytes = new Uint8Array(16);
      this.#map.read(bytes, offset);
      const [value, complement] = new BigUint64Array(bytes.buffer);
      const whole = BigInt.asUintN(64, ~value!) === complement!;
      return { offset, value: whole ? value! : 0n };
    });
    const [newer, older] = first!.value > second!.value
      ? [first!, second!]
      : [second!, first!];
    return { value: newer.value, older: older.offset };
  }

  [Symbol.dispose](): void {
    this.#map.close();
  }
}

for (const granularity of ["byte", "cache-line"] as const) {
  Deno.test(`a counter goes on where it was, at ${granularity} granularity`, () => {
    using pmem = emulatePmem(granularity);
    for (let run = 0; run < 3; run++) {
      using counter = new Counter(pmem.path("counter"));
      assertEquals(counter.value, BigInt(2 * run));
      counter.increment();
      counter.increment();
    }
  });
}

for (const granularity of ["byte", "cache-line"] as const) {
  // testCrashes runs `write` once, and then checks what a power cut at each moment would
  // have left. An increment that was acknowledged must be there, and one that was
  // interrupted may be there.
  Deno.test(`a counter stands a power cut at any moment, at ${granularity} granularity`, async () => {
    await testCrashes<bigint>({
      granularity,
      write(pmem, acknowledge) {
        using counter = new Counter(pmem.path("counter"));
        for (let i = 0; i < 5; i++) {
          counter.increment();
          acknowledge(counter.value);
        }
      },
      check(pmem, acknowledged) {
        using counter = new Counter(pmem.path("counter"));
        const { value } = counter;
        const last = acknowledged.at(-1) ?? 0n;
        assert(value === last || value === last + 1n, `${value}: ${last}`);
        // The counter still works.
        counter.increment();
        assertEquals(counter.value, value + 1n);
      },
    });
  });
}

Deno.test("a counter is durable when increment() returns", () => {
  using pmem = emulatePmem("cache-line");
  const path = pmem.path("counter");
  new Counter(path).increment();
  pmem.crash(); // what was not durable is gone
  using counter = new Counter(path);
  assertEquals(counter.value, 1n);
});

Deno.test("a counter refuses what would be slow: ordinary disks", () => {
  using pmem = emulatePmem("page");
  const error = assertThrows(
    () => new Counter(pmem.path("counter")),
    Pmem2Error,
  );
  assertEquals(error.code, "PMEM2_E_GRANULARITY_NOT_SUPPORTED");
});
