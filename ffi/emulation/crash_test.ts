/**
 * Runs a program once, and checks what a power cut at each moment would have left.
 *
 * @module
 */

import { rangeError, typeError } from "../input/caller.ts";
import { callersStack, CrashError } from "./crash_error.ts";
import {
  arbitraryFates,
  blocksAfter,
  countUnits,
  keepEarlier,
  KEPT,
  listFates,
  type PendingFile,
  Random,
} from "./fate.ts";
import type { Image } from "./image.ts";
import type { Medium } from "./medium.ts";
import type { FileModel } from "./model.ts";
import { type Moment, Recording } from "./recording.ts";
import { type Entry, TreeWriter } from "./tree.ts";

/** What to run, and what to check. */
export interface CrashTest<T> {
  readonly setup: () => unknown;
  readonly write: (acknowledge: (value: T) => void) => unknown;
  readonly check: (acknowledged: readonly T[]) => unknown;
  readonly states: number;
  readonly seed: number;
  readonly only: { readonly moment: number; readonly state: number } | null;
}

/** Runs a test in the directory of a medium, which nobody else uses. */
export async function runCrashTest<T>(
  medium: Medium,
  test: CrashTest<T>,
): Promise<{ moments: number; states: number }> {
  await test.setup();
  requireEmulation(medium, "setup");
  await flushesEnd(medium);
  medium.settle();
  const acknowledged: T[] = [];
  using recording = new Recording(medium, () => acknowledged.length);
  try {
    await test.write((value) => {
      acknowledged.push(value);
    });
    requireEmulation(medium, "write");
    medium.look();
    recording.moment(null);
    await flushesEnd(medium);
  } finally {
    medium.record(null);
    close(medium);
  }
  return await new Checks(medium, test, recording, acknowledged).run();
}

/** Throws if one of the test's functions has ended the emulation, as `using` does. */
function requireEmulation(medium: Medium, name: string): void {
  if (!medium.ended) return;
  throw typeError(
    `Cannot test crashes as ${name} has disposed of the emulation: leave that to testCrashes`,
  );
}

/** Waits for asynchronous flushes that were not awaited. */
async function flushesEnd(medium: Medium): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (medium.maps().every(({ pendingFlushes }) => pendingFlushes === 0)) {
      return;
    }
    await undefined;
  }
}

/**
 * Closes what was left open.
 *
 * @returns Whether nothing was open. Code that leaves a map open may also leave a lock on
 * the file, or may have transferred the memory.
 */
function close(medium: Medium): boolean {
  const none = medium.maps().length === 0;
  if (!none) medium.closeMaps((map) => map.closeObstacle === null);
  medium.forgetFiles();
  return none;
}

/** How many ranges a CrashError lists. */
const TOLD = 100;

class Checks<T> {
  readonly #medium: Medium;
  readonly #test: CrashTest<T>;
  readonly #recording: Recording;
  readonly #acknowledged: readonly T[];
  readonly #writer: TreeWriter;
  #states = 0;
  /** Whether the files must be made anew, since someone may still hold the existing ones. */
  #fresh = false;

  constructor(
    medium: Medium,
    test: CrashTest<T>,
    recording: Recording,
    acknowledged: readonly T[],
  ) {
    this.#medium = medium;
    this.#test = test;
    this.#recording = recording;
    this.#acknowledged = acknowledged;
    this.#writer = new TreeWriter(medium.directory);
  }

  async run(): Promise<{ moments: number; states: number }> {
    const { moments } = this.#recording;
    const { only, states } = this.#test;
    if (only !== null && only.moment >= moments) {
      throw rangeError(
        `Cannot test crashes as only.moment must be less than ${moments}, the number of moments: received ${only.moment}`,
      );
    }
    this.#medium.hasty = true;
    let number = 0;
    try {
      for (const [moment, models] of this.#recording.replay()) {
        if (only === null) {
          const pending = pendingOf(moment.tree, models);
          for (let state = 0; state < states; state++) {
            await this.#check(moment, number, state, models, pending);
          }
        } else if (only.moment === number) {
          const pending = pendingOf(moment.tree, models);
          await this.#check(moment, number, only.state, models, pending);
        }
        number++;
      }
    } finally {
      this.#writer.end();
    }
    return { moments, states: this.#states };
  }

  async #check(
    moment: Moment,
    number: number,
    state: number,
    models: ReadonlyMap<string, FileModel>,
    pending: readonly PendingFile<Entry>[],
  ): Promise<void> {
    const fates = this.#fates(pending, number, state);
    this.#prepare(moment, pending, fates, models);
    this.#states++;
    const acknowledged = this.#acknowledged.slice(0, moment.acknowledged);
    try {
      await this.#test.check(acknowledged);
    } catch (cause) {
      const { stack } = moment;
      const list = listFates(pending, fates, TOLD);
      throw new CrashError({
        moment: number,
        moments: this.#recording.moments,
        state,
        seed: this.#test.seed,
        at: stack === null ? "" : callersStack(stack),
        pending: list.map(({ file, ...fate }) => ({
          path: file.path,
          ...fate,
        })),
        cause,
      });
    } finally {
      await flushesEnd(this.#medium);
      this.#fresh = !close(this.#medium);
    }
    requireEmulation(this.#medium, "check");
  }

  /** Decides what is kept: nothing in the first state, everything in the second. */
  #fates(
    pending: readonly PendingFile<Entry>[],
    moment: number,
    state: number,
  ): Uint8Array {
    const { seed, states } = this.#test;
    const count = countUnits(pending);
    if (state === 0) return new Uint8Array(count);
    if (state === 1) return new Uint8Array(count).fill(KEPT);
    const random = new Random(seed, moment, state);
    // If there are few enough states, each of them is checked.
    const mask = state - 1;
    const fates = 2 ** count <= states && mask < 2 ** count - 1
      ? Uint8Array.from({ length: count }, (_, i) => mask >> i & 1)
      : arbitraryFates(count, state - 2, random);
    keepEarlier(pending, fates, random);
    return fates;
  }

  #prepare(
    moment: Moment,
    pending: readonly PendingFile<Entry>[],
    fates: Uint8Array,
    models: ReadonlyMap<string, FileModel>,
  ): void {
    const after = blocksAfter(pending, fates);
    const expected = new Map<string, Image>();
    const writer = this.#writer;
    const imageOf = (entry: Entry & { kind: "file" }) => {
      let { image } = entry;
      const changed = after.get(entry);
      if (image === null) {
        image = models.get(entry.key)!.durable;
        if (changed !== undefined && changed.size > 0) {
          image = image.copy();
          for (const [index, block] of changed) image.set(index, block);
        }
      }
      expected.set(`${this.#medium.directory}/${entry.path}`, image);
      return image;
    };
    writer.write(moment.tree, imageOf, this.#fresh);
    this.#medium.expected = (path) => {
      const image = expected.get(path);
      return image === undefined
        ? null
        : { image, sure: writer.isUntouched(path) };
    };
  }
}

/** Returns what was pending in the files that exist. */
function pendingOf(
  tree: readonly Entry[],
  models: ReadonlyMap<string, FileModel>,
): PendingFile<Entry>[] {
  const pending: PendingFile<Entry>[] = [];
  const seen = new Set<string>();
  for (const entry of tree) {
    if (entry.kind !== "file" || entry.image !== null || seen.has(entry.key)) {
      continue;
    }
    seen.add(entry.key);
    const model = models.get(entry.key)!;
    pending.push({ file: entry, unit: model.unit, blocks: model.pending() });
  }
  return pending;
}
