/**
 * libpmem2's `struct pmem2_badblock`, and the context that finds them.
 *
 * @module
 */

import { Number } from "./input/intrinsics.ts";
import { cell, cellWith, received } from "./c/cell.ts";
import { check, clearMessage, failure } from "./c/error.ts";
import { numberOf } from "./c/error_code.ts";
import { rasFunctions } from "./c/functions.ts";
import type { BadBlockContextPointer, SourcePointer } from "./c/pointer.ts";
import { isObject, wrongThis } from "./input/argument.ts";
import { callable } from "./input/caller.ts";

const PMEM2_E_NO_BAD_BLOCK_FOUND = numberOf("PMEM2_E_NO_BAD_BLOCK_FOUND");

/** A range of a source that cannot be read. C's `struct pmem2_badblock`. */
export interface Pmem2BadBlock {
  /** The offset of the first byte in the source. */
  readonly offset: number;
  /** The length in bytes. */
  readonly length: number;
  /**
   * Makes the range readable again, filled with zeros. The data in it is lost. A
   * block that is no longer bad is left as it is. C's `pmem2_badblock_clear`.
   */
  clear(): void;
}

/** Returns what this file needs of the source; throws if the source is closed. */
export type LiveSource = (
  action: string,
) => { readonly pointer: SourcePointer; readonly path: string | null };

/** struct pmem2_badblock { size_t offset; size_t length; } */
const block = new BigUint64Array(new ArrayBuffer(128));

function newContext(
  { pointer, path }: ReturnType<LiveSource>,
): BadBlockContextPointer {
  clearMessage();
  const result = rasFunctions().pmem2_badblock_context_new(cell(), pointer);
  check(result, "pmem2_badblock_context_new", path);
  return received();
}

/** Writes the next bad block to {@linkcode block}. Returns false if there is none. */
function next(context: BadBlockContextPointer, path: string | null): boolean {
  clearMessage();
  const result = rasFunctions().pmem2_badblock_next(context, block);
  if (result === 0) return true;
  if (result === PMEM2_E_NO_BAD_BLOCK_FOUND) return false;
  throw failure(result, "pmem2_badblock_next", path);
}

/**
 * Lists the bad blocks that a source has at this moment: all at once, so that a loop
 * that ends early leaves no native context behind.
 */
export function listBadBlocks(source: LiveSource): Pmem2BadBlock[] {
  const live = source("list the bad blocks");
  const context = newContext(live);
  try {
    const blocks: Pmem2BadBlock[] = [];
    while (next(context, live.path)) {
      blocks.push(new BadBlock(source, block[0]!, block[1]!));
    }
    return blocks;
  } finally {
    rasFunctions().pmem2_badblock_context_delete(cellWith(context));
  }
}

class BadBlock implements Pmem2BadBlock {
  readonly offset: number;
  readonly length: number;
  readonly #source: LiveSource;
  /** libpmem2's values, even if a caller changes the public ones. */
  readonly #offset: bigint;
  readonly #length: bigint;

  static {
    // SAFETY: nobody can make a block of their own, with a pointer of their own, from
    // a block that they have.
    Reflect.deleteProperty(this.prototype, "constructor");
  }

  constructor(source: LiveSource, offset: bigint, length: bigint) {
    this.offset = Number(offset);
    this.length = Number(length);
    this.#source = source;
    this.#offset = offset;
    this.#length = length;
  }

  /**
   * Clears the block, if it is still bad. libpmem2 would zero any range, even of good
   * blocks, so the block is looked up once more: data that was written after an
   * earlier clear stays.
   */
  clear(): void {
    const action = "clear the bad block";
    if (!(isObject(this) && #source in this)) {
      throw wrongThis(action, "a Pmem2BadBlock");
    }
    const live = this.#source(action);
    const context = newContext(live);
    try {
      while (next(context, live.path)) {
        if (block[0] !== this.#offset || block[1] !== this.#length) continue;
        clearMessage();
        const result = rasFunctions().pmem2_badblock_clear(context, block);
        check(result, "pmem2_badblock_clear", live.path);
        return;
      }
    } finally {
      rasFunctions().pmem2_badblock_context_delete(cellWith(context));
    }
  }
}

callable(import.meta.url, BadBlock);
