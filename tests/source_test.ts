import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ForeignCode } from "./support/foreign_code.ts";
import { assertRefused } from "./support/refusal.ts";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;

/** What a descriptor of this process is open on, or null. */
function target(fd: number): string | null {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
}

Deno.test("Pmem2Source.open() owns its descriptor until it is closed", () => {
  using scratch = new Scratch();
  const path = Deno.realPathSync(scratch.file("a", PAGE));
  const source = Pmem2Source.open(path);
  const fd = source.fd!;
  assertEquals(target(fd), path);
  source.close();
  assert(target(fd) !== path);
});

Deno.test("Pmem2Source.open() lets no descriptor through to a child", async () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("a", PAGE));
  const { stdout } = await new Deno.Command("ls", {
    args: ["/proc/self/fd"],
  }).output();
  const fds = new TextDecoder().decode(stdout).trim().split("\n");
  assert(fds.includes("0"));
  assert(!fds.includes(`${source.fd}`));
});

Deno.test("Pmem2Source.fromFd() leaves the descriptor to its owner", () => {
  using scratch = new Scratch();
  const path = Deno.realPathSync(scratch.file("a", 5000));
  using foreign = new ForeignCode();
  const fd = foreign.open(path, O_RDWR);
  const source = Pmem2Source.fromFd(fd);
  assertEquals(source.fd, fd);
  assertEquals(source.path, null);
  assertEquals(source.size, 5000);
  source.close();
  assertEquals(target(fd), path);
  foreign.close(fd);
});

Deno.test("Pmem2Source.fromFd() takes a descriptor for reading alone", () => {
  using scratch = new Scratch();
  using foreign = new ForeignCode();
  const fd = foreign.open(scratch.file("a", PAGE), O_RDONLY);
  using source = Pmem2Source.fromFd(fd);
  assertRefused(() => Pmem2Map.from(source), "PMEM2_E_NO_ACCESS");
  using map = Pmem2Map.from(source, { write: false });
  assertEquals(map.size, PAGE);
  assertEquals(map.path, null);
  foreign.close(fd);
});

Deno.test("Pmem2Source.fromFd() refuses what can't be mapped", () => {
  using scratch = new Scratch();
  using foreign = new ForeignCode();
  const call = "pmem2_source_from_fd";
  const writeOnly = foreign.open(scratch.file("a", PAGE), O_WRONLY);
  assertRefused(
    () => Pmem2Source.fromFd(writeOnly),
    "PMEM2_E_INVALID_FILE_HANDLE",
    call,
  );
  foreign.close(writeOnly);
  const directory = foreign.open(scratch.directory, O_RDONLY);
  assertRefused(
    () => Pmem2Source.fromFd(directory),
    "PMEM2_E_INVALID_FILE_TYPE",
    call,
  );
  foreign.close(directory);
  const device = foreign.open("/dev/null", O_RDWR);
  assertRefused(
    () => Pmem2Source.fromFd(device),
    "PMEM2_E_INVALID_FILE_TYPE",
    call,
  );
  foreign.close(device);
  for (const closed of [device, 2 ** 31 - 1]) {
    assertRefused(
      () => Pmem2Source.fromFd(closed),
      "PMEM2_E_INVALID_FILE_HANDLE",
      call,
    );
  }
});

Deno.test("Pmem2Source.fromFd() checks its argument", () => {
  for (const fd of ["3", 3n, null, undefined, {}, true]) {
    assertThrows(
      () => Pmem2Source.fromFd(fd as number),
      TypeError,
      "Cannot make a source as fd must be a number: received",
    );
  }
  for (const fd of [-1, 0.5, NaN, Infinity, 2 ** 31, 2 ** 32 + 3]) {
    assertThrows(
      () => Pmem2Source.fromFd(fd),
      RangeError,
      `fd must be an integer from 0 to 2147483647: received ${fd}`,
    );
  }
});

Deno.test("Pmem2Source.anonymous() has a size and nothing else", () => {
  for (const size of [1, PAGE, 5000, 2 ** 32, 2 ** 47]) {
    using source = Pmem2Source.anonymous(size);
    assertEquals(source.size, size);
    assertEquals(source.fd, null);
    assertEquals(source.path, null);
    assert(source.alignment >= PAGE);
  }
});

Deno.test("Pmem2Source.anonymous() checks its argument", () => {
  for (const size of ["4096", 4096n, null, undefined, {}]) {
    assertThrows(
      () => Pmem2Source.anonymous(size as number),
      TypeError,
      "Cannot make a source as size must be a number: received",
    );
  }
  for (const size of [0, -1, 0.5, NaN, Infinity, 2 ** 47 + 1, 2 ** 64]) {
    assertThrows(
      () => Pmem2Source.anonymous(size),
      RangeError,
      "Cannot make a source as size must be an integer from 1 to 140737488355328",
    );
  }
});

Deno.test("Pmem2Source.size is the file's at this moment", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  using source = Pmem2Source.open(path);
  assertEquals(source.size, 5000);
  Deno.truncateSync(path, 100_000);
  assertEquals(source.size, 100_000);
  Deno.truncateSync(path, 0);
  assertEquals(source.size, 0);
});

Deno.test("Pmem2Source.alignment is what offsets are a multiple of", () => {
  using scratch = new Scratch();
  using source = Pmem2Source.open(scratch.file("a", 256 * 1024));
  const { alignment } = source;
  assert(Number.isInteger(Math.log2(alignment)), `${alignment}`);
  using map = Pmem2Map.from(source, { offset: alignment });
  assertEquals(map.size, 256 * 1024 - alignment);
  assertRefused(
    () => Pmem2Map.from(source, { offset: alignment / 2 }),
    "PMEM2_E_OFFSET_UNALIGNED",
  );
});

Deno.test("Pmem2Source.close() leaves maps as they are", () => {
  using scratch = new Scratch();
  const path = scratch.file("a", 5000);
  let map: Pmem2Map;
  {
    using source = Pmem2Source.open(path);
    map = Pmem2Map.from(source);
  }
  const bytes = new Uint8Array(1);
  map.read(bytes, 4999);
  assertEquals(bytes[0], 4999 % 251);
  map.bytes[0] = 7;
  map.persist(0, 1);
  map.close();
  assertEquals(Deno.readFileSync(path)[0], 7);
});

Deno.test("Pmem2Source.close() closes once, and then nothing works", () => {
  using scratch = new Scratch();
  for (
    const source of [
      Pmem2Source.open(scratch.file("a", PAGE)),
      Pmem2Source.anonymous(PAGE),
    ]
  ) {
    assertEquals(source.closed, false);
    source.close();
    assertEquals(source.closed, true);
    // The number is somebody else's by now.
    using other = Pmem2Source.open(scratch.file("b", PAGE));
    const { fd } = other;
    source.close();
    source[Symbol.dispose]();
    assertEquals(target(fd!), Deno.realPathSync(scratch.path("b")));
    for (const property of ["size", "alignment", "fd", "path"] as const) {
      assertThrows(
        () => source[property],
        TypeError,
        "as the source is closed",
      );
    }
    assertThrows(
      () => Pmem2Map.from(source),
      TypeError,
      "Cannot map the source as the source is closed",
    );
  }
});

Deno.test("Pmem2Source is closed at the end of a using's block", () => {
  let escaped: Pmem2Source;
  {
    using source = Pmem2Source.anonymous(PAGE);
    escaped = source;
    assertEquals(source.closed, false);
  }
  assertEquals(escaped.closed, true);
});
