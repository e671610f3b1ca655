/**
 * Models what is durable in a file, and what is not yet: exactly what libpmem2 guarantees
 * for each granularity.
 *
 * @module
 */

import { PAGE } from "../input/granularity.ts";
import { BLOCK, type Block, type Image, merge, wordsOf } from "./image.ts";

const CACHE_LINE_SIZE = 64;

/** The units in which stores are kept or lost, in bytes. */
const WORD = 8;
const SECTOR = 512;

/** Contents that were flushed and are not durable yet. */
interface Capture {
  readonly from: number;
  readonly to: number;
  readonly blocks: ReadonlyMap<number, Block>;
  /** The asynchronous flush that makes it durable, or null for the next drain. */
  readonly ticket: object | null;
}

/** A block with parts that are pending. */
export interface PendingBlock {
  readonly index: number;
  /** The numbers of the pending units in the block, in ascending order. */
  readonly units: readonly number[];
  readonly durable: Block;
  readonly memory: Block;
  /** Earlier contents that were flushed, and that a power cut may leave as well. */
  readonly others: readonly { from: number; to: number; block: Block }[];
}

/** The state of a file. */
export class FileModel {
  /** The store granularity of its maps. */
  granularity: number;
  /** What is certain to be there after a power cut. */
  readonly durable: Image;
  /** What the maps show. */
  readonly memory: Image;
  readonly #pageSize: number;
  /** Blocks that may differ. */
  readonly #dirty = new Set<number>();
  /** The captures, in the order in which they were flushed. */
  #captures: Capture[] = [];

  constructor(
    granularity: number,
    durable: Image,
    memory: Image,
    pageSize: number,
  ) {
    this.granularity = granularity;
    this.durable = durable;
    this.memory = memory;
    this.#pageSize = pageSize;
    for (const image of [durable, memory]) {
      for (const index of image.blocks.keys()) this.#mark(index);
    }
  }

  copy(): FileModel {
    const { granularity, durable, memory } = this;
    const model = new FileModel(
      granularity,
      durable.copy(),
      memory.copy(),
      this.#pageSize,
    );
    model.#captures = [...this.#captures];
    return model;
  }

  /** How many bytes are kept or lost as a whole. */
  get unit(): number {
    return this.granularity === PAGE ? SECTOR : WORD;
  }

  #mark(index: number): void {
    if (this.durable.get(index) !== this.memory.get(index)) {
      this.#dirty.add(index);
    } else {
      this.#dirty.delete(index);
    }
  }

  /** Records that a block has changed. With `durableToo`, the change is durable. */
  change(index: number, block: Block, durableToo: boolean): void {
    const before = this.memory.get(index);
    this.memory.set(index, block);
    if (durableToo) {
      const durable = this.durable.get(index);
      this.durable.set(
        index,
        durable === before ? block : withChanges(durable, before, block),
      );
    }
    this.#mark(index);
  }

  /** Changes the size, which is durable at once. */
  resize(size: number): void {
    this.durable.resize(size);
    this.memory.resize(size);
    for (const index of [...this.#dirty]) this.#mark(index);
    const last = Math.floor(size / BLOCK);
    this.#mark(last);
  }

  /** Flushes the cache lines of a range, or makes its pages durable. */
  flush(from: number, to: number): void {
    if (this.granularity === PAGE) this.flushNow(from, to);
    else this.capture(from, to, null);
  }

  /** Makes the cache lines or pages of a range durable. */
  flushNow(from: number, to: number): void {
    this.#finish(this.capture(from, to, null));
  }

  /** Captures cache lines or pages, which {@linkcode FileModel.arrive} makes durable. */
  capture(from: number, to: number, ticket: object | null): Capture {
    const size = this.granularity === PAGE ? this.#pageSize : CACHE_LINE_SIZE;
    const start = Math.floor(from / size) * size;
    const end = Math.min(Math.ceil(to / size) * size, this.memory.size);
    const blocks = new Map<number, Block>();
    // Unchanged blocks are included if an earlier capture covers them.
    for (
      const index of [
        ...this.#dirty,
        ...this.#captures.flatMap((one) => [...one.blocks.keys()]),
      ]
    ) {
      if (index * BLOCK < end && start < (index + 1) * BLOCK) {
        blocks.set(index, this.memory.get(index));
      }
    }
    const capture = { from: start, to: end, blocks, ticket };
    this.#captures.push(capture);
    return capture;
  }

  /** Makes the captures with this ticket durable; null stands for those of flushes. */
  arrive(ticket: object | null): void {
    for (
      const capture of this.#captures.filter((one) => one.ticket === ticket)
    ) {
      this.#finish(capture);
    }
  }

  #finish(capture: Capture): void {
    const { from, to, blocks } = capture;
    for (const [index, block] of blocks) {
      const start = Math.max(from - index * BLOCK, 0);
      const end = Math.min(to - index * BLOCK, BLOCK);
      // The rest of a capture may lie in other blocks.
      if (start >= end) continue;
      const durable = this.durable.get(index);
      this.durable.set(index, merge(durable, block, start, end));
      this.#mark(index);
    }
    // Earlier captures of the same range must not arrive after this one.
    const at = this.#captures.indexOf(capture);
    this.#captures = this.#captures.flatMap((one, i) =>
      i === at ? [] : i < at ? without(one, from, to) : [one]
    );
  }

  /** Makes everything durable that the maps show. */
  settle(): void {
    for (const index of this.#dirty) {
      this.durable.set(index, this.memory.get(index));
    }
    this.#dirty.clear();
    this.#captures = [];
  }

  /** Lists what is not durable yet. */
  pending(): PendingBlock[] {
    const pending: PendingBlock[] = [];
    for (const index of [...this.#dirty].sort((a, b) => a - b)) {
      const durable = this.durable.get(index);
      const memory = this.memory.get(index);
      const units = differing(durable, memory, this.unit);
      if (units.length === 0) {
        this.#dirty.delete(index);
        this.memory.set(index, durable);
        continue;
      }
      const others = this.#captures.filter(({ blocks }) => blocks.has(index))
        .map(({ from, to, blocks }) => ({
          from: from - index * BLOCK,
          to: to - index * BLOCK,
          block: blocks.get(index)!,
        })).filter(({ block }) => block !== memory);
      pending.push({ index, units, durable, memory, others });
    }
    return pending;
  }
}

/** Returns what is left of a capture without a range. */
function without(capture: Capture, from: number, to: number): Capture[] {
  if (capture.to <= from || to <= capture.from) return [capture];
  return [
    { ...capture, to: from },
    { ...capture, from: to },
  ].filter((part) => part.from < part.to);
}

/** Returns the units in which two blocks differ. */
function differing(one: Block, other: Block, unit: number): number[] {
  const [a, b] = [wordsOf(one), wordsOf(other)];
  const units: number[] = [];
  const step = unit / 4;
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue;
    units.push(Math.floor(i / step));
    i += step - 1 - i % step;
  }
  return units;
}

/** Returns a block with the changes from `before` to `after`. */
function withChanges(block: Block, before: Block, after: Block): Block {
  const changed = block.slice();
  for (let i = 0; i < BLOCK; i++) {
    if (before[i] !== after[i]) changed[i] = after[i]!;
  }
  return changed;
}
