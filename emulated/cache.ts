/**
 * What is kept from one run to the next, and what a run needs for itself.
 *
 * @module
 */

import { exists } from "./host.ts";

/** How many logs of failures are kept. */
const logsKept = 10;

/** The folder that holds everything: `~/.cache/pmem2-emulated`, as a rule. */
export function cacheFolder(): string {
  const home = Deno.env.get("HOME") || "/tmp";
  const base = Deno.env.get("XDG_CACHE_HOME") || `${home}/.cache`;
  Deno.mkdirSync(`${base}/pmem2-emulated`, { recursive: true, mode: 0o700 });
  return Deno.realPathSync(`${base}/pmem2-emulated`);
}

/** Takes a lock, waiting for others, until disposed of. */
export async function lock(path: string): Promise<Disposable> {
  const file = await Deno.open(path, { create: true, write: true });
  await file.lock(true);
  return file;
}

/** A folder for one run's files, which goes away with it. */
export class RunFolder implements Disposable {
  readonly path: string;
  readonly #cache: string;
  readonly #lock: Deno.FsFile;

  private constructor(cache: string, path: string, lock: Deno.FsFile) {
    this.#cache = cache;
    this.path = path;
    this.#lock = lock;
  }

  /** Makes one, and removes those whose process was killed. */
  static async make(cache: string): Promise<RunFolder> {
    const runs = `${cache}/runs`;
    await Deno.mkdir(runs, { recursive: true });
    using _lock = await lock(`${cache}/runs.lock`);
    for await (const { name } of Deno.readDir(runs)) {
      await removeIfLeft(`${runs}/${name}`);
    }
    const path = await Deno.makeTempDir({ dir: runs });
    const file = await Deno.open(`${path}/lock`, { create: true, write: true });
    await file.lock(true);
    return new RunFolder(cache, path, file);
  }

  /** Keeps a log, and returns where. */
  keepLog(name: string): string {
    const logs = `${this.#cache}/logs`;
    Deno.mkdirSync(logs, { recursive: true });
    const date = new Date().toISOString().replaceAll(/[:.]/g, "-");
    const target = `${logs}/${date}-${Deno.pid}.log`;
    Deno.copyFileSync(`${this.path}/${name}`, target);
    const old = [...Deno.readDirSync(logs)].map(({ name }) => name).sort();
    for (const name of old.slice(0, -logsKept)) {
      Deno.removeSync(`${logs}/${name}`);
    }
    return target;
  }

  [Symbol.dispose](): void {
    if (exists(this.path)) Deno.removeSync(this.path, { recursive: true });
    this.#lock.close();
  }
}

async function removeIfLeft(folder: string): Promise<void> {
  using file = await Deno.open(`${folder}/lock`, { create: true, write: true });
  // The lock goes with the process, however it ends.
  if (await file.tryLock(true)) await Deno.remove(folder, { recursive: true });
}
