/**
 * Decides which pending stores a power cut keeps.
 *
 * @module
 */

import { BLOCK, type Block, wordsOf } from "./image.ts";
import type { PendingBlock } from "./model.ts";

export const LOST = 0;
export const KEPT = 1;
/** Kept as it was when it was flushed, although it was stored to again. */
const KEPT_EARLIER = 2;

/** What is pending in one file. */
export interface PendingFile<File> {
  readonly file: File;
  /** How many bytes are kept or lost as a whole. */
  readonly unit: number;
  readonly blocks: readonly PendingBlock[];
}

export function countUnits(files: readonly PendingFile<unknown>[]): number {
  let count = 0;
  for (const { blocks } of files) {
    for (const { units } of blocks) count += units.length;
  }
  return count;
}

/** A generator of numbers from 0 to 2^32 − 1: Marsaglia's xorshift128. */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(...seeds: readonly number[]) {
    let mixed = 0x9e3779b9;
    for (const seed of seeds) {
      // The halves of a number of up to 53 bits.
      for (const half of [seed % 2 ** 32, Math.floor(seed / 2 ** 32)]) {
        mixed = Math.imul(mixed ^ half, 0x85ebca6b);
        mixed ^= mixed >>> 13;
        mixed = Math.imul(mixed, 0xc2b2ae35) + 0x165667b1 | 0;
        mixed ^= mixed >>> 16;
      }
    }
    this.#state.set([mixed, ~mixed, mixed ^ 0x5bd1e995, 1]);
    for (let i = 0; i < 16; i++) this.next();
  }

  next(): number {
    const state = this.#state;
    let t = state[3]!;
    const s = state[0]!;
    state[3] = state[2]!;
    state[2] = state[1]!;
    state[1] = s;
    t ^= t << 11;
    t ^= t >>> 8;
    state[0] = t ^ s ^ (s >>> 19);
    return state[0]!;
  }

  /** An integer from 0 to `limit` − 1. */
  below(limit: number): number {
    return Math.floor(this.next() / 2 ** 32 * limit);
  }
}

/**
 * Decides for each unit, in the order of the files. States that lose or keep nearly
 * everything find most mistakes, so they come first and most often.
 *
 * @param state The number of the arbitrary state, from 0.
 */
export function arbitraryFates(
  count: number,
  state: number,
  random: Random,
): Uint8Array {
  const fates = new Uint8Array(count);
  if (count === 0) return fates;
  switch (state % 4) {
    case 0:
    case 1: {
      const [most, few] = state % 4 === 0 ? [KEPT, LOST] : [LOST, KEPT];
      fates.fill(most);
      for (let i = random.below(2); i >= 0; i--) {
        fates[random.below(count)] = few;
      }
      break;
    }
    case 2: {
      // Everything before a random place, or everything after it.
      const cut = random.below(count);
      if (random.below(2) === 0) fates.fill(KEPT, 0, cut);
      else fates.fill(KEPT, cut);
      break;
    }
    default: {
      const share = 1 + random.below(3);
      for (let i = 0; i < count; i++) {
        if (random.below(4) < share) fates[i] = KEPT;
      }
    }
  }
  return fates;
}

/** Lets some units be kept as they were when they were flushed, if that differs. */
export function keepEarlier(
  files: readonly PendingFile<unknown>[],
  fates: Uint8Array,
  random: Random,
): void {
  let i = 0;
  for (const { blocks } of files) {
    for (const { units, others } of blocks) {
      if (others.length > 0) {
        for (let j = 0; j < units.length; j++) {
          if (fates[i + j] === KEPT && random.below(2) === 0) {
            fates[i + j] = KEPT_EARLIER;
          }
        }
      }
      i += units.length;
    }
  }
}

/** Returns the blocks of each file that differ from the durable ones after the power cut. */
export function blocksAfter<File>(
  files: readonly PendingFile<File>[],
  fates: Uint8Array,
): Map<File, Map<number, Block>> {
  const result = new Map<File, Map<number, Block>>();
  let i = 0;
  for (const { file, unit, blocks } of files) {
    const changed = new Map<number, Block>();
    for (const block of blocks) {
      const { length } = block.units;
      const after = blockAfter(block, unit, fates.subarray(i, i + length));
      if (after !== block.durable) changed.set(block.index, after);
      i += length;
    }
    result.set(file, changed);
  }
  return result;
}

function blockAfter(
  block: PendingBlock,
  unit: number,
  fates: Uint8Array,
): Block {
  const { units, durable, memory, others } = block;
  const [first] = fates;
  if (first !== KEPT_EARLIER && isAll(fates, first!)) {
    return first === LOST ? durable : memory;
  }
  const after = durable.slice();
  const [to, from] = [wordsOf(after), wordsOf(memory)];
  const step = unit / 4;
  for (let i = 0; i < units.length; i++) {
    if (fates[i] === LOST) continue;
    const number = units[i]!;
    const earlier = fates[i] === KEPT
      ? undefined
      : others.find((other) =>
        other.from <= number * unit && (number + 1) * unit <= other.to
      );
    const words = earlier === undefined ? from : wordsOf(earlier.block);
    const end = (number + 1) * step;
    for (let word = number * step; word < end; word++) to[word] = words[word]!;
  }
  return after;
}

function isAll(fates: Uint8Array, fate: number): boolean {
  for (let i = 0; i < fates.length; i++) if (fates[i] !== fate) return false;
  return true;
}

/** A range of a file that was pending, and whether it was kept. */
export interface Fate<File> {
  readonly file: File;
  readonly offset: number;
  readonly length: number;
  readonly kept: boolean;
}

/** Lists what was kept and lost in ranges, up to `limit` of them. */
export function listFates<File>(
  files: readonly PendingFile<File>[],
  fates: Uint8Array,
  limit: number,
): Fate<File>[] {
  const list: Fate<File>[] = [];
  let i = 0;
  for (const { file, unit, blocks } of files) {
    for (const { index, units } of blocks) {
      for (const number of units) {
        const offset = index * BLOCK + number * unit;
        const kept = fates[i++] !== LOST;
        const last = list.at(-1);
        if (
          last?.file === file && last.kept === kept &&
          last.offset + last.length === offset
        ) {
          list[list.length - 1] = { ...last, length: last.length + unit };
        } else if (list.length < limit) {
          list.push({ file, offset, length: unit, kept });
        } else {
          return list;
        }
      }
    }
  }
  return list;
}
