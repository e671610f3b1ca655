// A sorted linked list in persistent memory whose changes are all-or-nothing;
// examples/redo.ts is a program for it.
//
// A change consists of stores to several places. They are recorded in a redo log before
// the first one is made, and are made again when the list is opened after a crash.

import { Pmem2Map } from "@pmem2/pmem2";

const SIGNATURE = 0x5245_444f_4c49_5354n;
const MAX_CHANGES = 1024;
/** File systems and partition tables have their signatures in this many bytes. */
const BLANK = 2 ** 20;

// Offsets in the pool, in words of 64 bits.
const MARK = 1; // how many changes of the log are to be made; 0: none
const LOG = 8; // a place and its new value for each change
const COUNT = LOG + 2 * MAX_CHANGES;
const HEAD = COUNT + 1;
const NODES = COUNT + 8; // for each: next, key, value

/** A list of keys and values, sorted by key. */
export class RedoList implements Disposable, Iterable<[bigint, bigint]> {
  readonly #map: Pmem2Map;
  readonly #words: BigUint64Array;
  readonly #changes = new Map<number, bigint>();
  #resources = new DisposableStack();

  private constructor(map: Pmem2Map) {
    this.#map = map;
    this.#words = new BigUint64Array(map.buffer, 0, Math.floor(map.size / 8));
  }

  /** Opens a list. With `write: false`, it opens a private copy of the memory. */
  static open(path: string, { write = true, size }: {
    write?: boolean;
    size?: number;
  } = {}): RedoList {
    using resources = new DisposableStack();
    const map = resources.use(Pmem2Map.open(path, {
      sharing: write ? "shared" : "private",
      ...(size === undefined ? {} : { createNew: true, size }),
    }));
    // Held by one writer or by several readers. The lock is released with the process.
    const file = resources.use(Deno.openSync(path));
    file.lockSync(write);
    if (map.size < NODES * 8) {
      throw new RangeError(
        `Cannot open ${path} as it has only ${map.size} bytes`,
      );
    }
    const list = new RedoList(map);
    list.#recover(path);
    list.#resources = resources.move();
    return list;
  }

  /** Adds pairs, or replaces the values of their keys: all of them or none. */
  add(pairs: Iterable<readonly [bigint, bigint]>): void {
    try {
      for (const [key, value] of pairs) this.#insert(key, value);
      this.#commit();
    } finally {
      this.#changes.clear();
    }
  }

  *[Symbol.iterator](): Generator<[bigint, bigint], undefined> {
    for (const node of this.#nodes()) {
      yield [this.#words[node + 1]!, this.#words[node + 2]!];
    }
  }

  /** Throws unless the list is sorted and has all of its nodes. */
  check(): number {
    let [count, last] = [0, -1n];
    for (const [key] of this) {
      if (key <= last) throw new Error(`The list is not sorted at key ${key}`);
      last = key;
      if (++count > this.#words.length) throw new Error("The list is a circle");
    }
    const expected = Number(this.#words[COUNT]);
    if (count === expected) return count;
    throw new Error(`The list has ${count} nodes of ${expected}`);
  }

  /** Lists everything in the pool, even what is no longer in use. */
  *dump(): Generator<string, undefined> {
    const words = this.#words;
    yield `mark ${words[MARK]}, count ${words[COUNT]}, head ${words[HEAD]}`;
    for (let at = LOG; at < COUNT && words[at] !== 0n; at += 2) {
      yield `log: ${words[at]} becomes ${words[at + 1]}`;
    }
    for (const node of this.#nodes()) {
      yield `node ${node}: ${words.subarray(node, node + 3).join(", ")}`;
    }
  }

  close(): void {
    this.#resources.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  *#nodes(): Generator<number, undefined> {
    for (let node = Number(this.#get(HEAD)); node !== 0;) {
      yield node;
      node = Number(this.#get(node));
    }
  }

  /** Returns a word as it will be after the change. */
  #get(place: number): bigint {
    return this.#changes.get(place) ?? this.#words[place]!;
  }

  #insert(key: bigint, value: bigint): void {
    let before = HEAD;
    for (const node of this.#nodes()) {
      const order = this.#get(node + 1) - key;
      if (order === 0n) return void this.#changes.set(node + 2, value);
      if (order > 0n) break;
      before = node;
    }
    const count = this.#get(COUNT);
    const node = NODES + 3 * Number(count);
    if (node + 3 > this.#words.length) throw new RangeError("The list is full");
    this.#changes.set(node, this.#get(before)).set(node + 1, key)
      .set(node + 2, value).set(before, BigInt(node)).set(COUNT, count + 1n);
  }

  #commit(): void {
    if (this.#changes.size > MAX_CHANGES) {
      throw new RangeError(
        `Cannot make more than ${MAX_CHANGES} changes at once`,
      );
    }
    let end = LOG;
    for (const [place, value] of this.#changes) {
      this.#words[end++] = BigInt(place);
      this.#words[end++] = value;
    }
    this.#map.persist(this.#words.subarray(LOG, end));
    // The log is durable, so from here on the changes are certain to be made.
    this.#setMark(this.#changes.size);
    this.#apply();
  }

  #setMark(count: number): void {
    this.#words[MARK] = BigInt(count);
    this.#map.persist(this.#words.subarray(MARK, MARK + 1));
  }

  /** Makes the changes of the log. Making some of them twice does no harm. */
  #apply(): void {
    const words = this.#words;
    for (let i = 0; i < Number(words[MARK]); i++) {
      const place = Number(words[LOG + 2 * i]);
      words[place] = words[LOG + 2 * i + 1]!;
      this.#map.flush(words.subarray(place, place + 1));
    }
    this.#map.drain();
    this.#setMark(0);
  }

  #recover(path: string): void {
    const words = this.#words;
    if (words[0] !== SIGNATURE) {
      if (words.subarray(0, BLANK / 8).some((word) => word !== 0n)) {
        throw new Error(`Cannot open ${path} as it is something else`);
      }
      words[0] = SIGNATURE;
      this.#map.persist(words.subarray(0, 1));
    }
    if (words[MARK]! > MAX_CHANGES) {
      throw new Error(`Cannot open ${path} as it is damaged`);
    }
    if (words[MARK] !== 0n) this.#apply();
  }
}
