/**
 * What of a file is durable, and what is not yet: what libpmem2 promises of each
 * granularity, and no more.
 *
 * @module
 */

import { PAGE } from "../input/granularity.ts";
import { BLOCK, type Block, type Image, merge, wordsOf } from "./image.ts";

const CACHE_LINE_SIZE = 64;

/** What a store is made of when it's torn. */
const WORD = 8;
const SECTOR = 512;

/** Contents that were flushed and aren't durable yet. */
interface Capture {
  readonly from: number;
  readonly to: number;
  readonly blocks: ReadonlyMap<number, Block>;
  /** What it is waiting for: null for the next drain. */
  readonly ticket: object | null;
}

/** A block of which parts are pending. */
export interface PendingBlock {
  readonly index: number;
  /** The numbers of the units in the block that are, in ascending order. */
  readonly units: readonly number[];
  readonly durable: Block;
  readonly memory: Block;
  /** What else its units may have become, as it was flushed when it was that. */
  readonly others: readonly { from: number; to: number; block: Block }[];
}

/** The state of a file. */
export class FileModel {
  /** The store granularity of its maps. */
  granularity: number;
  /** What is there after a power cut, for sure. */
  readonly durable: Image;
  /** What its maps show. */
  readonly memory: Image;
  readonly #pageSize: number;
  /** Blocks that may differ. */
  readonly #dirty = new Set<number>();
  /** In the order in which they were flushed. */
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

  /** Bytes of what is kept or lost as a whole. */
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

  /** A store has changed a block; or something else, what is durable as well. */
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

  /** The size of a file is durable at once. */
  resize(size: number): void {
    this.durable.resize(size);
    this.memory.resize(size);
    for (const index of [...this.#dirty]) this.#mark(index);
    const last = Math.floor(size / BLOCK);
    this.#mark(last);
  }

  /** The contents of the lines, or pages, that a range lies in are on their way. */
  flush(from: number, to: number): void {
    if (this.granularity === PAGE) this.flushNow(from, to);
    else this.capture(from, to, null);
  }

  /** They are there, whatever else is on its way. */
  flushNow(from: number, to: number): void {
    this.#finish(this.capture(from, to, null));
  }

  /** They are there when {@linkcode FileModel.arrive} says so. */
  capture(from: number, to: number, ticket: object | null): Capture {
    const size = this.granularity === PAGE ? this.#pageSize : CACHE_LINE_SIZE;
    const start = Math.floor(from / size) * size;
    const end = Math.min(Math.ceil(to / size) * size, this.memory.size);
    const blocks = new Map<number, Block>();
    // What is as before, too, if something else is on its way to the same place.
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

  /** What was captured with this ticket is there; null: what was flushed. */
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
      // What is left of a capture may lie in other blocks.
      if (start >= end) continue;
      const durable = this.durable.get(index);
      this.durable.set(index, merge(durable, block, start, end));
      this.#mark(index);
    }
    // What was on its way to the same place before must not arrive later.
    const at = this.#captures.indexOf(capture);
    this.#captures = this.#captures.flatMap((one, i) =>
      i === at ? [] : i < at ? without(one, from, to) : [one]
    );
  }

  /** All that the maps show is durable. */
  settle(): void {
    for (const index of this.#dirty) {
      this.durable.set(index, this.memory.get(index));
    }
    this.#dirty.clear();
    this.#captures = [];
  }

  /** What is not durable yet. */
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

/** What is left of it where something newer is there. */
function without(capture: Capture, from: number, to: number): Capture[] {
  if (capture.to <= from || to <= capture.from) return [capture];
  return [
    { ...capture, to: from },
    { ...capture, from: to },
  ].filter((part) => part.from < part.to);
}

/** The units in which two blocks differ. */
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

/** A block with the bytes that two others differ in. */
function withChanges(block: Block, before: Block, after: Block): Block {
  const changed = block.slice();
  for (let i = 0; i < BLOCK; i++) {
    if (before[i] !== after[i]) changed[i] = after[i]!;
  }
  return changed;
}
