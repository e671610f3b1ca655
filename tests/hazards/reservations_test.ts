import { testUnless } from "../support/test_unless.ts";
import { assertSurvives } from "./survival.ts";

Deno.test("H5: no offset wraps around to the page before a reservation", () =>
  assertSurvives(`
    const address = process.freeAddress(2 ** 23, 2 ** 21) + 2n ** 21n;
    using before = new process.ForeignMemory(4096, address - 4096n);
    using reservation = new Pmem2VmReservation(2 ** 21, { address });
    using behind = new process.ForeignMemory(4096, address + 2n ** 22n);
    using source = Pmem2Source.anonymous(8192);
    using scratch = new Scratch();
    const path = scratch.file("file", 8192);
    for (const at of [
      -4096, -8192, 2 ** 21, 2 ** 21 - 4096, 2 ** 53 - 4096, 2 ** 53, 2 ** 64 - 4096, 2 ** 64,
    ]) {
      for (const from of [source, path]) {
        assertThrows(() => reservation.map(from, { at }), RangeError);
        assertThrows(() => reservation.map(from, { at, length: 4096 * 2 }), RangeError);
      }
    }
    assertThrows(() => reservation.map(source, { at: 0, length: 2 ** 53 - 1 }), RangeError);
    assert(before.intact && behind.intact);
    assertEquals([...reservation], []);
  `));

Deno.test("H6: no size of a reservation wraps around", () =>
  assertSurvives(`
    const before = process.memory("VmSize");
    for (const size of [-4096, -(2 ** 30), 2 ** 64 - 4096, 2 ** 64, 2 ** 53, 2 ** 47 + 4096, 0]) {
      assertThrows(() => new Pmem2VmReservation(size), RangeError);
      const address = 2n ** 40n;
      assertThrows(() => new Pmem2VmReservation(size, { address }), RangeError);
    }
    // Allowed, and more than the kernel has.
    assertRefused(() => new Pmem2VmReservation(2 ** 47), "ENOMEM");
    assert(process.memory("VmSize") - before < 2 ** 20, "nothing was reserved");
  `));

Deno.test("H7: extending never shrinks", () =>
  assertSurvives(`
    using reservation = new Pmem2VmReservation(2 ** 21);
    const { address } = reservation;
    for (const size of [-4096, -(2 ** 21), 2 ** 64 - 4096, 2 ** 64, 2 ** 53, 2 ** 47, 2 ** 47 - 4096]) {
      assertThrows(() => reservation.extend(size), RangeError);
    }
    assertEquals([reservation.address, reservation.size], [address, 2 ** 21]);
    assertEquals(process.mappedBytes(address, 2n ** 21n), 2n ** 21n);
    reservation.extend(4096);
    assertEquals(reservation.size, 2 ** 21 + 4096);
  `));

Deno.test("H8: an address that libpmem2 would misalign is refused", () =>
  assertSurvives(`
    const MIB = 2 ** 20, GIB = 2 ** 30;
    for (const [size, alignment] of [[4 * MIB, 2 * MIB], [2 * GIB - 4096, 2 * MIB], [2 * GIB, GIB], [4 * GIB, GIB]]) {
      const address = process.freeAddress(size + alignment, alignment) + BigInt(alignment);
      for (const off of [4096, 2 ** 16, alignment / 2, alignment - 4096, 1]) {
        assertThrows(
          () => new Pmem2VmReservation(size, { address: address + BigInt(off) }),
          RangeError,
          \`a multiple of \${alignment}n\`,
        );
      }
      // Cut at both ends, it leaves its neighbors alone.
      using below = new process.ForeignMemory(8192, address - 8192n);
      const reservation = new Pmem2VmReservation(size, { address });
      reservation.shrink(size - 8192, 8192);
      reservation.shrink(0, 4096);
      reservation.shrink(0, 8192);
      assert(below.intact);
      reservation.close();
      assert(below.intact);
      assertEquals(process.mappedBytes(address, BigInt(size)), 0n);
    }
  `));

Deno.test("H9: reservations give back all that libpmem2 has taken", () =>
  assertSurvives(`
    const KIB = 2 ** 10, MIB = 2 ** 20, GIB = 2 ** 30, TIB = 2 ** 40;
    // Somebody else may be behind it, or the end of the address space.
    const extend = (rsv, size) => {
      try { rsv.extend(size); } catch ({ code }) {
        assert(["PMEM2_E_MAPPING_EXISTS", "ENOMEM"].includes(code), code);
      }
    };
    const ways = [
      (rsv) => rsv,
      (rsv) => rsv.shrink(0, 4096),
      (rsv) => rsv.shrink(rsv.size - 4096, 4096),
      (rsv) => extend(rsv, 4096),
      (rsv) => { extend(rsv, 2 * MIB); rsv.shrink(0, 8192); },
      (rsv) => { rsv.shrink(0, 4096); rsv.shrink(rsv.size - 4096, 4096); },
      (rsv) => { rsv.shrink(rsv.size - 4096, 4096); rsv.shrink(0, 4096); extend(rsv, 8192); },
      (rsv) => { rsv.shrink(0, rsv.size / 2); rsv.shrink(0, rsv.size / 2); extend(rsv, rsv.size); },
      (rsv) => { rsv.shrink(rsv.size / 2, rsv.size / 2); },
    ];
    const cycle = (size) => {
      for (const way of ways) {
        const reservation = new Pmem2VmReservation(size);
        way(reservation);
        reservation.close();
      }
    };
    for (const size of [64 * KIB, 16 * MIB, 2 * GIB, TIB]) {
      cycle(size);
      const before = process.memory("VmSize");
      const count = process.mappings().length;
      for (let i = 0; i < 100; i++) cycle(size);
      const grown = process.memory("VmSize") - before;
      assert(grown < 64 * KIB, \`\${grown} KiB of addresses were lost at \${size}\`);
      assert(process.mappings().length - count < 20);
    }
  `));

Deno.test("H9: reservations give back nothing that is somebody else's", () =>
  assertSurvives(`
    const MIB = 2 ** 20;
    const size = 4 * MIB;
    for (const way of [
      () => {},
      (rsv) => rsv.shrink(0, MIB),
      (rsv) => rsv.shrink(0, 3 * MIB),
      (rsv) => rsv.shrink(MIB, 3 * MIB),
      (rsv) => { rsv.shrink(0, 3 * MIB); rsv.extend(2 * MIB); rsv.shrink(0, MIB); },
      (rsv) => { rsv.shrink(3 * MIB, MIB); rsv.shrink(0, MIB); rsv.shrink(0, MIB); },
    ]) {
      const address = process.freeAddress(size * 4, size) + BigInt(size);
      const reservation = new Pmem2VmReservation(size, { address });
      way(reservation);
      // Whatever is free around it by now, somebody else takes.
      const neighbors = [];
      for (let at = address - 2n ** 21n; at < address + 12n * 2n ** 20n; at += 65536n) {
        try { neighbors.push(new process.ForeignMemory(65536, at)); } catch {}
      }
      assert(neighbors.length >= 32);
      using source = Pmem2Source.anonymous(4096);
      reservation.map(source);
      reservation[Symbol.dispose]();
      for (const neighbor of neighbors) {
        assert(neighbor.intact);
        neighbor[Symbol.dispose]();
      }
    }
  `));

/** A file that can be opened and not be mapped. */
const unmappable = "/sys/kernel/vmcoreinfo";
const obstacle = (() => {
  try {
    Deno.openSync(unmappable).close();
    return Deno.statSync(unmappable).size >= 4096
      ? null
      : `${unmappable} is empty`;
  } catch {
    return `${unmappable} can't be opened`;
  }
})();

testUnless(
  obstacle,
  "H13: a map that fails leaves no hole behind",
  () =>
    assertSurvives(`
    using reservation = new Pmem2VmReservation(2 ** 21);
    using memory = Pmem2Source.anonymous(4096);
    const { address } = reservation;
    const neighbors = [0, 8192].map((at) => reservation.map(memory, { at }));
    const options = { write: false, at: 4096 };
    for (let i = 0; i < 100; i++) {
      const error = assertThrows(
        () => reservation.map("${unmappable}", options),
        Pmem2Error,
      );
      assertEquals([error.code, error.call], ["ENODEV", "pmem2_map_new"]);
    }
    // More than there is, unless the system promises more than it has.
    using huge = Pmem2Source.anonymous(2 ** 45);
    using vast = new Pmem2VmReservation(2 ** 45);
    try { vast.map(huge); } catch (error) { assertEquals(error.code, "ENOMEM"); }
    assertEquals(process.mappedBytes(vast.address, 2n ** 45n), 2n ** 45n);

    assertEquals(process.mappedBytes(address, 2n ** 21n), 2n ** 21n);
    assertThrows(() => new process.ForeignMemory(4096, address + 4096n));
    const [gap] = reservation.gaps();
    assertEquals(gap, { offset: 4096, size: 4096 });
    const map = reservation.map(memory, { at: 4096 });
    map.fill(1);
    assertEquals([...reservation], [neighbors[0], map, neighbors[1]]);
  `),
);

testUnless(
  obstacle,
  "H13: memory that landed in the hole is neither mapped over nor unmapped",
  () =>
    assertSurvives(`
    using scratch = new Scratch();
    const reservation = new Pmem2VmReservation(2 ** 21);
    const address = reservation.address + 4096n;
    Deno.writeTextFileSync(scratch.path("squatter.ts"), \`
      const { mmap, memset } = Deno.dlopen("\${(await import("@pmem2/pmem2")).libraryInfo().path}", {
        mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "i64"], result: "u64" },
        memset: { parameters: ["u64", "i32", "u64"], result: "u64" },
      }).symbols;
      self.onmessage = () => {
        for (let i = 0; i < 2000; i++) {
          if (mmap(\${address}n, 4096n, 3, 0x100022, -1, 0n) !== \${address}n) continue;
          memset(\${address}n, 0x77, 4096n);
          return postMessage(true);
        }
        postMessage(false);
      };
    \`);
    const worker = new Worker(new URL("file://" + scratch.path("squatter.ts")), { type: "module" });
    let landed = false, answered = true;
    worker.onmessage = ({ data }) => { landed = data; answered = true; };
    const fail = () => assertThrows(
      () => reservation.map("${unmappable}", { write: false, at: 4096 }),
      Error,
    );
    while (!landed) {
      if (answered) { answered = false; worker.postMessage(0); }
      for (let i = 0; i < 20 && !landed; i++) fail();
      await new Promise((resolve) => setTimeout(resolve));
    }
    worker.terminate();
    const { memcmp } = process.native();
    const intact = () => memcmp(address, new Uint8Array(4096).fill(0x77), 4096n) === 0;
    // The last failure may have been before it landed, or found it there.
    using memory = Pmem2Source.anonymous(4096);
    const refusal = assertThrows(
      () => reservation.map(memory, { at: 4096 }), RangeError, "other native code");
    assert(intact());
    const maps = [1, 2, 3].map(() => reservation.map(memory));
    assertEquals(maps.map(({ offset }) => offset), [0, 8192, 12288]);
    assertEquals([...reservation.gaps()], [{ offset: 16384, size: 2 ** 21 - 16384 }]);
    assertThrows(() => reservation.shrink(0, 4096));
    for (const map of maps) map.close();
    reservation.close();
    assert(intact());
  `),
);

Deno.test("a walk stands what happens between its steps", () =>
  assertSurvives(`
    using source = Pmem2Source.anonymous(4096);
    for (const reverse of [false, true]) {
      for (const act of [
        (rsv) => rsv.close({ maps: true }),
        (rsv) => { for (const map of [...rsv]) map.close(); },
        (rsv, map) => { map.close(); rsv.map(source); },
        (rsv) => { for (const map of [...rsv].slice(0, 4)) map.close(); rsv.shrink(0, 8192); },
        (rsv) => rsv.extend(2 ** 21),
      ]) {
        const reservation = new Pmem2VmReservation(2 ** 21);
        for (let i = 0; i < 8; i++) reservation.map(source);
        let steps = 0;
        for (const map of reservation.maps({ reverse })) {
          if (steps++ === 2) act(reservation, map);
        }
        if (!reservation.closed) reservation.close({ maps: true });
      }
    }
  `));
