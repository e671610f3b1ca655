import { Pmem2Map, Pmem2Source } from "@pmem2/pmem2";
import { assertEquals } from "@std/assert";
import { randomBytes } from "./support/random.ts";
import { assertSameBytes } from "./support/store_checks.ts";
import { PAGE } from "./support/page.ts";

// Copies of more than 2 KiB are made in pieces where the one place is a little
// ahead of the other, not counting whole pages. Where V8 has put an array nobody
// tells: so all distances are tried.

function openMap(
  size: number,
): { map: Pmem2Map; bytes: Uint8Array } & Disposable {
  using source = Pmem2Source.anonymous(size);
  const map = Pmem2Map.from(source);
  return { map, bytes: map.bytes, [Symbol.dispose]: () => map.close() };
}

Deno.test("Pmem2Map.write() and read() copy right at all distances", () => {
  const length = PAGE + 1000;
  using opened = openMap(3 * PAGE);
  const { map, bytes } = opened;
  const data = randomBytes(length);
  const read = new Uint8Array(length);
  for (let offset = 1; offset <= PAGE; offset++) {
    bytes.fill(0xee);
    map.write(data, offset);
    assertSameBytes(
      bytes.subarray(offset, offset + length),
      data,
      `at ${offset}`,
    );
    assertEquals([bytes[offset - 1], bytes[offset + length]], [0xee, 0xee]);
    read.fill(0);
    map.read(read, offset);
    assertSameBytes(read, data, `at ${offset}`);
  }
});

Deno.test("Pmem2Map.write() and read() copy right around what is copied at once", () => {
  using opened = openMap(4 * PAGE);
  const { map, bytes } = opened;
  // 256 bytes are the most that is taken for movable, 2,048 the longest piece.
  for (const length of [255, 256, 257, 2047, 2048, 2049, 4095, 4096, 4097]) {
    const data = randomBytes(length);
    const read = new Uint8Array(length);
    for (let offset = 1; offset < 64; offset++) {
      bytes.fill(0xee);
      map.write(data, offset);
      assertSameBytes(
        bytes.subarray(offset, offset + length),
        data,
        `${length}`,
      );
      assertEquals([bytes[offset - 1], bytes[offset + length]], [0xee, 0xee]);
      map.read(read, offset);
      assertSameBytes(read, data, `${length}`);
    }
  }
});

for (const length of [2049, 5000, 3 * PAGE]) {
  Deno.test(`moving ${length} bytes is right at all small distances`, () => {
    using opened = openMap(8 * PAGE);
    const { map, bytes } = opened;
    const before = randomBytes(8 * PAGE);
    const source = 2 * PAGE;
    for (const pages of [-1, 0, 1]) {
      for (let distance = -66; distance <= 66; distance++) {
        const target = source + pages * PAGE + distance;
        const expected = before.slice();
        expected.copyWithin(target, source, source + length);

        bytes.set(before);
        map.move(target, source, length);
        assertSameBytes(bytes, expected, `move to ${target}`);

        bytes.set(before);
        map.write(bytes.subarray(source, source + length), target);
        assertSameBytes(bytes, expected, `write to ${target}`);
      }
    }
  });
}

Deno.test("Pmem2Map.write() takes from an array what is in it at the time", () => {
  using opened = openMap(2 * PAGE);
  const { map, bytes } = opened;
  // The same array, others in between, and another one on the same buffer.
  const one = new Uint8Array(3000);
  const other = new Uint8Array(one.buffer, 1, 2500);
  const third = new Uint8Array(2500).fill(3);
  for (let i = 1; i < 200; i++) {
    one.fill(i);
    other[0] = 255 - i;
    for (const array of i % 3 === 0 ? [one, third, one] : [one, other, one]) {
      map.write(array, 5);
      assertSameBytes(bytes.subarray(5, 5 + array.length), array, `${i}`);
    }
  }
});

Deno.test("Pmem2Map.write() notices that an array has lost its buffer, or has changed its length", () => {
  using opened = openMap(2 * PAGE);
  const { map, bytes } = opened;
  const data = new Uint8Array(3000).fill(1);
  map.write(data);
  structuredClone(data.buffer, { transfer: [data.buffer] });
  bytes.fill(9);
  map.write(data);
  assertEquals(bytes.indexOf(1), -1);

  const resizable = new ArrayBuffer(3000, { maxByteLength: 6000 });
  const growing = new Uint8Array(resizable).fill(2);
  map.write(growing);
  assertEquals(bytes.lastIndexOf(2), 2999);
  resizable.resize(6000);
  growing.fill(4);
  map.write(growing);
  assertEquals(bytes.lastIndexOf(4), 5999);
  resizable.resize(0);
  bytes.fill(9);
  map.write(growing);
  assertEquals(bytes.findIndex((byte) => byte !== 9), -1);
});

Deno.test("Pmem2Map.move() doesn't ask anybody's Math.min how much to copy", () => {
  using opened = openMap(4 * PAGE);
  const { map, bytes } = opened;
  const before = randomBytes(4 * PAGE);
  bytes.set(before);
  const { min } = Math;
  try {
    Math.min = () => 1;
    map.move(5, 0, 3000);
  } finally {
    Math.min = min;
  }
  assertSameBytes(bytes.subarray(5, 3005), before.subarray(0, 3000), "moved");
});
