/**
 * The contents of a file, in blocks that images can share. A block is never changed, only
 * replaced.
 *
 * @module
 */

/** The size of a block in bytes, whatever the page size is. */
export const BLOCK = 4096;

/** A block of 4,096 bytes with a buffer of its own. It must not be changed. */
export type Block = Uint8Array<ArrayBuffer>;

export const ZEROS: Block = new Uint8Array(BLOCK);

/** Returns a block as integers of 32 bits. */
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

  /** Changes the size. What was past the new end becomes zeros if the file grows again. */
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

/** Makes a block with the range [`from`, `to`) of another one. */
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
