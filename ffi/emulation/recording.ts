/**
 * Records what happens to the files of an emulation, and replays it moment by moment.
 *
 * @module
 */

import { BLOCK, type Block } from "./image.ts";
import type { EmulatedFile, Journal, Medium } from "./medium.ts";
import type { FileModel } from "./model.ts";
import { operate, type Operation } from "./operation.ts";
import { Spill } from "./spill.ts";
import { type Entry, TreeReader } from "./tree.ts";

/** A moment at which the power may go. */
export interface Moment {
  /** The stack of the call that made something durable next; null at the end. */
  readonly stack: Error | null;
  readonly tree: readonly Entry[];
  /** How many values had been acknowledged. */
  readonly acknowledged: number;
}

/** A block that was changed. */
interface Change {
  readonly kind: "changed";
  readonly file: EmulatedFile;
  readonly index: number;
  /** Its number, where it was put out of the memory. */
  block: Block | number;
  readonly durableToo: boolean;
}

type Event =
  | Change
  | {
    readonly kind: "tracked";
    readonly file: EmulatedFile;
    readonly model: FileModel;
  }
  | {
    readonly kind: "resized";
    readonly file: EmulatedFile;
    readonly size: number;
  }
  | { readonly kind: "crashed"; readonly file: EmulatedFile }
  | { readonly kind: "moment"; readonly moment: Moment }
  | {
    readonly kind: "operated";
    readonly file: EmulatedFile;
    readonly operation: Operation;
  };

/** So many changed blocks are held in memory, before they go to a file. */
const MOST_HELD = 64 * 1024 ** 2 / BLOCK;

/**
 * A record of what happened.
 *
 * It contains the files at the start, and each block that was changed. What was pending
 * at a moment is determined by the replay: recording it for each moment would take far
 * more memory.
 */
export class Recording implements Journal, Disposable {
  readonly #events: Event[] = [];
  readonly #spill: Spill;
  #held: Change[] = [];
  readonly #reader: TreeReader;
  readonly #known: (key: string) => boolean;
  readonly #acknowledged: () => number;
  #moments = 0;

  constructor(medium: Medium, acknowledged: () => number) {
    this.#reader = new TreeReader(medium.directory);
    // Beside the directory, where nobody looks.
    const { directory } = medium;
    this.#spill = new Spill(directory.slice(0, directory.lastIndexOf("/")));
    this.#acknowledged = acknowledged;
    const keys = new Set<string>();
    this.#known = (key) => {
      if (keys.size !== medium.files.size) {
        for (const file of medium.files) keys.add(file.key);
      }
      return keys.has(key);
    };
    medium.record(this);
  }

  /** The number of moments. */
  get moments(): number {
    return this.#moments;
  }

  tracked(file: EmulatedFile): void {
    this.#events.push({ kind: "tracked", file, model: file.model!.copy() });
  }

  changed(
    file: EmulatedFile,
    index: number,
    block: Block,
    durableToo: boolean,
  ): void {
    const change: Change = { kind: "changed", file, index, block, durableToo };
    this.#events.push(change);
    this.#held.push(change);
    if (this.#held.length < MOST_HELD) return;
    for (const one of this.#held) {
      if (typeof one.block !== "number") one.block = this.#spill.put(one.block);
    }
    this.#held = [];
  }

  resized(file: EmulatedFile, size: number): void {
    this.#events.push({ kind: "resized", file, size });
  }

  crashed(file: EmulatedFile): void {
    this.#events.push({ kind: "crashed", file });
  }

  moment(stack: Error | null): void {
    this.#moments++;
    const moment = {
      stack,
      tree: this.#reader.read(this.#known),
      acknowledged: this.#acknowledged(),
    };
    this.#events.push({ kind: "moment", moment });
  }

  operated(file: EmulatedFile, operation: Operation): void {
    this.#events.push({ kind: "operated", file, operation });
  }

  /** Lets go of what is in no memory. */
  [Symbol.dispose](): void {
    this.#spill[Symbol.dispose]();
  }

  /** Lists each moment, with the models of the mapped files at that moment. */
  *replay(): Generator<[Moment, ReadonlyMap<string, FileModel>]> {
    const models = new Map<string, FileModel>();
    for (const event of this.#events) {
      if (event.kind === "moment") {
        yield [event.moment, models];
        continue;
      }
      const { key } = event.file;
      if (event.kind === "tracked") {
        models.set(key, event.model.copy());
        continue;
      }
      const model = models.get(key)!;
      switch (event.kind) {
        case "changed": {
          const { index, block, durableToo } = event;
          model.change(
            index,
            typeof block === "number" ? this.#spill.get(block) : block,
            durableToo,
          );
          break;
        }
        case "resized":
          model.resize(event.size);
          break;
        case "crashed":
          model.settle();
          break;
        case "operated":
          operate(event.operation, model, models.values());
      }
    }
  }
}
