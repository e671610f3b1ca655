/**
 * What becomes of a msync that fails. A program of its own: PMEM2_LIBRARY is the
 * recorder, and PMEM2_FORCE_GRANULARITY is PAGE.
 *
 * @module
 */

import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Recorder } from "./recorder.ts";

const [EINTR, EIO, ENOSPC, EDQUOT] = [4, 5, 28, 122];
const [directory] = Deno.args;
const path = `${directory}/file`;
const size = 65_536;
const recorder = new Recorder();

type Action = (map: Pmem2Map) => unknown;

const actions: Record<string, Action> = {
  persist: (map) => map.persist(),
  "persist of a few bytes": (map) => map.persist(100, 8),
  "persist of a view": (map) => map.persist(map.bytes.subarray(1, 2)),
  flush: (map) => map.flush(),
  deepFlush: (map) => map.deepFlush(),
  write: (map) => map.write(Uint8Array.of(1)),
  "write without drain": (map) =>
    map.write(Uint8Array.of(1), 0, { drain: false }),
  "write with a hint": (map) =>
    map.write(Uint8Array.of(1), 0, { temporal: false }),
  move: (map) => map.move(0, 1, 1),
  fill: (map) => map.fill(1),
};
const asyncActions: Record<string, (map: Pmem2Map) => Promise<unknown>> = {
  persistAsync: (map) => map.persistAsync(),
  deepFlushAsync: (map) => map.deepFlushAsync(),
};

function open(): Pmem2Map {
  return Pmem2Map.open(path, { create: true, size });
}

/** Then nobody knows the path. */
let byDescriptor = false;

function assertFailure(error: Pmem2Error, code: string, name: string): void {
  assertEquals([error.code, error.call], [code, "msync"], name);
  if (!byDescriptor) assert(error.message.includes(path), error.message);
}

/** Whatever makes something durable fails, and nothing else does. */
async function assertFailed(map: Pmem2Map, code: string): Promise<void> {
  recorder.take();
  for (const [name, act] of Object.entries(actions)) {
    assertFailure(assertThrows(() => act(map), Pmem2Error), code, name);
  }
  for (const [name, act] of Object.entries(asyncActions)) {
    assertFailure(await assertRejects(() => act(map), Pmem2Error), code, name);
  }
  assertFailure(assertThrows(() => map.drain(), Pmem2Error), code, "drain");
  // Nor is the kernel asked once more.
  assertEquals(recorder.take(), []);
  map.write(Uint8Array.of(7), 3, { flush: false });
  const bytes = new Uint8Array(1);
  map.read(bytes, 3);
  assertEquals(bytes[0], 7);
}

async function checkEachWay(): Promise<void> {
  for (const [name, act] of Object.entries(actions)) {
    using map = open();
    recorder.fail(EIO);
    assertFailure(assertThrows(() => act(map), Pmem2Error), "EIO", name);
    await assertFailed(map, "EIO");
  }
  for (const [name, act] of Object.entries(asyncActions)) {
    {
      // Asked again for the reason, the kernel says that all is well.
      using map = open();
      recorder.fail(EDQUOT);
      const error = await assertRejects(() => act(map), Pmem2Error);
      assertFailure(error, "EIO", name);
      await assertFailed(map, "EIO");
    }
    using map = open();
    recorder.fail(EIO, ENOSPC);
    const error = await assertRejects(() => act(map), Pmem2Error);
    assertFailure(error, "ENOSPC", name);
    await assertFailed(map, "ENOSPC");
  }
}

async function checkOthers(): Promise<void> {
  const source = Pmem2Source.open(path, { create: true, size });
  const [first, second] = [Pmem2Map.from(source), Pmem2Map.from(source)];
  using apart = open();
  recorder.fail(EIO);
  assertThrows(() => first.persist(), Pmem2Error);
  first.close();
  await assertFailed(second, "EIO");
  second.close();
  using third = Pmem2Map.from(source);
  await assertFailed(third, "EIO");
  source.close();
  // What was opened by itself is told by the kernel by itself.
  apart.persist();
  await apart.persistAsync();
  using again = open();
  for (const act of Object.values(actions)) act(again);
  for (const act of Object.values(asyncActions)) await act(again);
}

/** Sources of one descriptor are of one open file. */
async function checkDescriptors(): Promise<void> {
  using owner = Pmem2Source.open(path, { create: true, size });
  const maps: Pmem2Map[] = [];
  for (let i = 0; i < 2; i++) {
    using source = Pmem2Source.fromFd(owner.fd!);
    maps.push(Pmem2Map.from(source));
  }
  maps.push(Pmem2Map.from(owner));
  recorder.fail(EIO);
  assertThrows(() => maps[0]!.persist(), Pmem2Error);
  for (const map of maps) await assertFailed(map, "EIO");

  // One that somebody else has opened: it's the same until all is closed.
  const foreign = Deno.dlopen(Deno.env.get("PMEM2_LIBRARY")!, {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    dup2: { parameters: ["i32", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const { open: openFd, dup2, close } = foreign.symbols;
  const name = (path: string) => new TextEncoder().encode(`${path}\0`);
  const fd = openFd(name(path), 2);
  const fromFd = () => {
    using source = Pmem2Source.fromFd(fd);
    return Pmem2Map.from(source);
  };
  byDescriptor = true;
  const [first, second] = [fromFd(), fromFd()];
  recorder.fail(EIO);
  assertThrows(() => second.persist(), Pmem2Error);
  await assertFailed(first, "EIO");
  second.close();
  // The number has become another file's.
  Deno.writeFileSync(`${path}2`, new Uint8Array(size));
  const other = openFd(name(`${path}2`), 2);
  dup2(other, fd);
  const another = fromFd();
  another.persist();
  await assertFailed(first, "EIO");
  another.close();
  first.close();
  close(fd);
  close(other);
  for (const map of maps) map.close();
  byDescriptor = false;
}

function checkSignals(): void {
  using map = open();
  recorder.take();
  recorder.fail(EINTR, EINTR);
  map.persist();
  assertEquals(recorder.take().length, 3);
  recorder.fail(EINTR, EIO);
  assertFailure(assertThrows(() => map.persist(), Pmem2Error), "EIO", "");
}

/** The failure is told to one of those that run at the same time. */
async function checkAtOnce(): Promise<void> {
  for (const told of [0, 1, 2]) {
    using source = Pmem2Source.open(path, { create: true, size });
    using map = Pmem2Map.from(source);
    using other = Pmem2Map.from(source);
    recorder.hold = true;
    const plan = [0, 0, 0];
    plan[told] = EIO;
    recorder.fail(...plan);
    const flushes = [
      map.persistAsync(0, 10),
      other.persistAsync(5000, 10),
      map.deepFlushAsync(),
    ];
    while (recorder.held < 3) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    recorder.hold = false;
    const results = await Promise.allSettled(flushes);
    assertEquals(results.map(({ status }) => status), [
      "rejected",
      "rejected",
      "rejected",
    ]);
    await assertFailed(map, "EIO");
    await assertFailed(other, "EIO");
  }
}

/** Of several maps all are tried, and the first failure is told. */
async function checkReservation(): Promise<void> {
  const ways: Record<string, (r: Pmem2VmReservation) => unknown> = {
    persist: (r) => r.persist(),
    flush: (r) => r.flush(),
    deepFlush: (r) => r.deepFlush(),
    write: (r) => r.write(new Uint8Array(3 * size).fill(7)),
    move: (r) => r.move(0, 0, 3 * size),
    fill: (r) => r.fill(7),
    persistAsync: (r) => r.persistAsync(),
    deepFlushAsync: (r) => r.deepFlushAsync(),
  };
  for (const [name, act] of Object.entries(ways)) {
    using reservation = new Pmem2VmReservation(3 * size);
    const paths = ["a", "b", "c"].map((name) => `${directory}/${name}`);
    const maps = paths.map((path) =>
      reservation.map(path, { create: true, size })
    );
    reservation.fill(7, 0, 3 * size, { flush: false });
    recorder.take();
    const isAsync = name.endsWith("Async");
    // A flush on another thread that fails is tried once more for the reason.
    if (!isAsync) recorder.fail(EIO, 0, ENOSPC);
    else recorder.fail(EIO, EIO, EIO, EIO, EIO, EIO);
    const error = await assertRejects(async () => {
      await act(reservation);
    }, Pmem2Error);
    assertEquals([error.code, error.call], ["EIO", "msync"], name);
    assert(isAsync || error.message.includes(paths[0]!), error.message);
    assertEquals(recorder.take().length, isAsync ? 6 : 3, name);
    const bytes = new Uint8Array(3 * size);
    reservation.read(bytes);
    assert(bytes.every((byte) => byte === 7), name);
    assertThrows(() => reservation.drain(), Pmem2Error, paths[0]);
    maps[0]!.close();
    assertThrows(
      () => reservation.persist(),
      Pmem2Error,
      isAsync ? "EIO" : "ENOSPC",
    );
    maps[2]!.close();
    if (isAsync) continue;
    reservation.persist();
    reservation.drain();
  }
}

await checkEachWay();
await checkReservation();
await checkOthers();
await checkDescriptors();
checkSignals();
await checkAtOnce();
console.log("checked");
