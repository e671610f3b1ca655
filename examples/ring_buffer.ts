// A ring buffer in persistent memory between two processes: one adds entries, and the
// other one takes them out; examples/ringbuf.ts is a program for it.

import { type OpenOptions, Pmem2Map } from "@pmem2/pmem2";

const SIGNATURE = 0x5249_4e47n;
/** File systems and partition tables have their signatures in this many bytes. */
const BLANK = 2 ** 20;

// Offsets in words of 64 bits. The sizes are valid once the signature is there. Each
// position has a cache line of its own: otherwise the two processes would wait for each
// other's stores.
const SIGN = 0;
const ENTRY_SIZE = 1;
const CAPACITY = 2;
const WRITTEN = 8;
const READ = 16;
const ENTRIES = 192; // bytes

/** A ring buffer of entries of one size. */
export class RingBuffer implements Disposable {
  readonly entrySize: number;
  readonly capacity: number;
  readonly #map: Pmem2Map;
  readonly #words: BigUint64Array;
  /** The positions that are known to be durable. */
  readonly #durable = new Map<number, bigint>();

  constructor(path: string, entrySize: number, options?: OpenOptions) {
    using resources = new DisposableStack();
    this.#map = resources.use(Pmem2Map.open(path, options));
    this.entrySize = entrySize;
    this.capacity = Math.floor((this.#map.size - ENTRIES) / entrySize);
    if (this.capacity < 1) {
      throw new RangeError(
        `Cannot use ${path} as it is too small for an entry`,
      );
    }
    this.#words = new BigUint64Array(this.#map.buffer, 0, ENTRIES / 8);
    this.#claim(path);
    resources.move();
  }

  /** Adds an entry. Returns false if there is no room. */
  push(entry: Uint8Array): boolean {
    if (entry.length > this.entrySize) {
      throw new RangeError(
        `Cannot put ${entry.length} bytes in as an entry has ${this.entrySize}`,
      );
    }
    const written = Atomics.load(this.#words, WRITTEN);
    // An entry may be overwritten only if it cannot be read again after a crash.
    const used = written - this.#durablePosition(READ);
    if (used === BigInt(this.capacity)) return false;
    const slot = this.#slot(written);
    slot.fill(0).set(entry);
    this.#map.persist(slot);
    this.#move(WRITTEN, written + 1n);
    return true;
  }

  /** Returns a view on the oldest entry, valid until it is dropped, or null if empty. */
  peek(): Uint8Array | null {
    const read = Atomics.load(this.#words, READ);
    // After a crash, an entry that is not durable may be gone.
    return read === this.#durablePosition(WRITTEN) ? null : this.#slot(read);
  }

  /** Takes the oldest entry out. */
  drop(): void {
    if (this.peek() === null) return;
    this.#move(READ, Atomics.load(this.#words, READ) + 1n);
  }

  [Symbol.dispose](): void {
    this.#map.close();
  }

  #slot(position: bigint): Uint8Array {
    const index = Number(position % BigInt(this.capacity));
    const at = ENTRIES + index * this.entrySize;
    return this.#map.bytes.subarray(at, at + this.entrySize);
  }

  /**
   * Reads the position of the other process. It is visible before it is durable, but may
   * not be relied upon before that. So this process makes it durable as well.
   */
  #durablePosition(place: number): bigint {
    const position = Atomics.load(this.#words, place);
    if (this.#durable.get(place) !== position) {
      this.#map.persist(this.#words.subarray(place, place + 1));
      this.#durable.set(place, position);
    }
    return position;
  }

  #move(place: number, position: bigint): void {
    Atomics.store(this.#words, place, position);
    this.#map.persist(this.#words.subarray(place, place + 1));
  }

  /** Makes a ring buffer of blank memory, or checks that the existing one fits. */
  #claim(path: string): void {
    // If two processes start at once, the sizes of the first one are used.
    using file = Deno.openSync(path);
    file.lockSync(true);
    const words = this.#words;
    if (words[SIGN] === 0n && this.#isBlank()) {
      words[ENTRY_SIZE] = BigInt(this.entrySize);
      words[CAPACITY] = BigInt(this.capacity);
      this.#map.persist(words.subarray(ENTRY_SIZE, CAPACITY + 1));
      // Only now: with only one of the sizes, it could never be opened again.
      words[SIGN] = SIGNATURE;
      this.#map.persist(words.subarray(SIGN, SIGN + 1));
    }
    if (words[SIGN] !== SIGNATURE) {
      throw new Error(`Cannot use ${path} as it is something else`);
    }
    if (Number(words[ENTRY_SIZE]) !== this.entrySize) {
      throw new Error(
        `Cannot use ${path} as its entries have ${
          words[ENTRY_SIZE]
        } bytes: asked for ${this.entrySize}`,
      );
    }
    if (Number(words[CAPACITY]) !== this.capacity) {
      throw new Error(
        `Cannot use ${path} as it was made for ${
          words[CAPACITY]
        } entries: now it is for ${this.capacity}`,
      );
    }
  }

  /** Whether there are only sizes, from an attempt that was interrupted. */
  #isBlank(): boolean {
    const sizes = 8 * (CAPACITY + 1);
    return this.#map.bytes.subarray(sizes, BLANK).every((byte) => byte === 0);
  }
}
