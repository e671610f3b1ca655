/**
 * What a file holds, in blocks that many images can share: none is ever changed,
 * it's replaced.
 *
 * @module
 */

/** Bytes in a block, whatever the system's pages are. */
export const BLOCK = 4096;

/** 4,096 bytes over a buffer of their own, never to be changed. */
export type Block = Uint8Array<ArrayBuffer>;

export const ZEROS: Block = new Uint8Array(BLOCK);

/** A block as integers of 32 bits. */
export function wordsOf(block: Block): Int32Array {
  return new Int32Array(block.buffer);
}

/** The contents of a file. Blocks of zeros take no memory. */
export class Image {
  size: number;
  readonly blocks: Map<number, Block>;

  constructor(size: number, blocks = new Map<number, Block>()) {
    this.size = size;
    this.blocks = blocks;
  }

  copy(): Image {
    return new Image(this.size, new Map(this.blocks));
  }

  get(index: number): Block {
    return this.blocks.get(index) ?? ZEROS;
  }

  set(index: number, block: Block): void {
    if (block === ZEROS) this.blocks.delete(index);
    else this.blocks.set(index, block);
  }

  /** What is past the end is gone, and would be zeros if the file grew again. */
  resize(size: number): void {
    const shorter = size < this.size;
    this.size = size;
    if (!shorter) return;
    const last = Math.floor(size / BLOCK);
    for (const index of [...this.blocks.keys()]) {
      if (index > last) this.blocks.delete(index);
    }
    const rest = size % BLOCK;
    if (rest === 0) this.blocks.delete(last);
    else this.set(last, merge(ZEROS, this.get(last), 0, rest));
  }
}

/** A block that has [`from`, `to`) of another one. */
export function merge(
  block: Block,
  other: Block,
  from: number,
  to: number,
): Block {
  if (from === 0 && to === BLOCK) return other;
  const merged = block.slice();
  merged.set(other.subarray(from, to), from);
  return merged;
}
