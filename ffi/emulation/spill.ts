/**
 * A file for blocks that are too many for the memory.
 *
 * @module
 */

import {
  closeDescriptor,
  openDescriptor,
  readBlock,
  writeBlock,
} from "./contents.ts";
import { BLOCK, type Block } from "./image.ts";

/** Blocks in a file without a name, which ends with the process at the latest. */
export class Spill implements Disposable {
  readonly #directory: string;
  #fd = -1;
  #count = 0;

  /** @param directory Where the file is made, once there is something for it. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Puts a block there; its number. */
  put(block: Block): number {
    if (this.#fd === -1) {
      const path = Deno.makeTempFileSync({
        dir: this.#directory,
        prefix: "pmem2_",
      });
      try {
        this.#fd = openDescriptor(path);
      } finally {
        Deno.removeSync(path);
      }
    }
    writeBlock(this.#fd, this.#count, block, (this.#count + 1) * BLOCK);
    return this.#count++;
  }

  get(number: number): Block {
    return readBlock(this.#fd, number);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== -1) closeDescriptor(this.#fd);
    this.#fd = -1;
  }
}
