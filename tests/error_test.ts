import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { constants } from "node:os";
import { codeOf, errnoOf } from "../ffi/c/error_code.ts";
import { check, clearMessage, failure } from "../ffi/c/error.ts";
import { assertRefused } from "./support/refusal.ts";

Deno.test("Pmem2Error tells code, errno, call and libpmem2's message", () => {
  const error = assertRefused(
    () => new Pmem2VmReservation(100),
    "PMEM2_E_LENGTH_UNALIGNED",
    "pmem2_vm_reservation_new",
  );
  assertInstanceOf(error, Error);
  assertEquals(error.name, "Pmem2Error");
  assertEquals(error.errno, -100015);
  assertEquals(
    error.message,
    "pmem2_vm_reservation_new failed with PMEM2_E_LENGTH_UNALIGNED (-100015): reservation size 100 is not a multiple of 4096",
  );
});

Deno.test("Pmem2Error can be made without a message", () => {
  const error = new Pmem2Error(-12, "mmap");
  assertEquals(error.message, "mmap failed with ENOMEM (-12)");
  assertEquals(error.code, "ENOMEM");
  assertEquals(error.errno, -12);
  assertEquals(error.call, "mmap");
});

Deno.test("Pmem2Error names the system's errors as the system does", () => {
  const names = Object.entries(constants.errno)
    // Second names, which the first one goes before.
    .filter(([name]) => name !== "EWOULDBLOCK" && name !== "EOPNOTSUPP");
  assert(names.length > 70);
  for (const [name, errno] of names) {
    const code = new Pmem2Error(-errno, "x").code;
    assertEquals(name === "ENOTSUP" ? "EOPNOTSUPP" : name, code);
  }
});

Deno.test("Pmem2Error names all of libpmem2's errors, each differently", () => {
  const codes = Array.from({ length: 38 }, (_, i) => codeOf(-100_000 - i));
  // libpmem2.h has no 100,002.
  assertEquals(codes.splice(2, 1), ["PMEM2_E_UNKNOWN"]);
  assertEquals(new Set(codes).size, 37);
  for (const code of codes) assert(code.startsWith("PMEM2_E_"), code);
  assertEquals(codes[0], "PMEM2_E_UNKNOWN");
  assertEquals(codes[36], "PMEM2_E_IO_FAIL");
});

Deno.test("Pmem2Error takes a number that has no name for unknown", () => {
  for (const errno of [-100_038, -99_999, -41, -134, 0, 1, -0.5, NaN]) {
    assertEquals(new Pmem2Error(errno, "x").code, "PMEM2_E_UNKNOWN");
  }
});

Deno.test("errnoOf() is the number of a name", () => {
  assertEquals(errnoOf("ENOENT"), 2);
  assertEquals(errnoOf("ESTALE"), constants.errno.ESTALE);
});

Deno.test("a message is never an earlier error's", () => {
  assertRefused(() => new Pmem2VmReservation(100), "PMEM2_E_LENGTH_UNALIGNED");
  clearMessage();
  // EEXIST is one that libpmem2 leaves no message for.
  assertEquals(
    failure(-17, "pmem2_map_new").message,
    "pmem2_map_new failed with EEXIST (-17)",
  );
});

Deno.test("a message is taken away with its error", () => {
  assertRefused(() => new Pmem2VmReservation(100), "PMEM2_E_LENGTH_UNALIGNED");
  assertEquals(
    failure(-17, "pmem2_map_new").message,
    "pmem2_map_new failed with EEXIST (-17)",
  );
});

Deno.test("check() lets 0 through alone", () => {
  check(0, "x");
  for (const result of [-1, 1, -100_016]) {
    clearMessage();
    assertEquals(
      assertRefused(() => check(result, "x"), codeOf(result), "x").errno,
      result,
    );
  }
});

Deno.test("errors that follow each other have each its own message", () => {
  using source = Pmem2Source.anonymous(8192);
  using reservation = new Pmem2VmReservation(8192);
  reservation.map(source, { length: 4096 });
  for (let round = 0; round < 3; round++) {
    const unaligned = assertRefused(
      () => Pmem2Map.from(source, { length: 100 }),
      "PMEM2_E_LENGTH_UNALIGNED",
      "pmem2_map_new",
    );
    assertStringIncludes(unaligned.message, "100");
    const exists = assertRefused(
      () => reservation.map(source, { at: 0 }),
      "PMEM2_E_MAPPING_EXISTS",
      "pmem2_map_new",
    );
    assert(!exists.message.includes("100 "), exists.message);
    const size = 12_289 + round;
    const { message } = assertRefused(
      () => new Pmem2VmReservation(size),
      "PMEM2_E_LENGTH_UNALIGNED",
    );
    assertStringIncludes(message, `${size}`);
  }
});
