import { assertEquals } from "@std/assert";
import { add, toBigInt } from "../ffi/c/pointer.ts";

Deno.test("toBigInt() is BigInt() for every size there is", () => {
  const edges = [0, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 47, 2 ** 52]
    .flatMap((edge) => [edge - 1, edge, edge + 1])
    .concat(5_000_000_123, Number.MAX_SAFE_INTEGER)
    .filter((size) => size >= 0);
  // Often enough for V8 to compile it, with small integers first.
  for (let round = 0; round < 20_000; round++) {
    for (const size of edges) {
      if (toBigInt(size) !== BigInt(size)) assertEquals(toBigInt(size), 0n);
    }
  }
  assertEquals(toBigInt(-0), 0n);
});

Deno.test("add() adds as C's pointers do", () => {
  assertEquals(add(0x7fff_ffff_f000n, 2 ** 40 + 1), 0x80ff_ffff_f001n);
  assertEquals(add(2n ** 64n - 1n, 2), 1n);
});
