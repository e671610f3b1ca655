/**
 * The media that the benchmark measures on, by their names.
 *
 * @module
 */

import { benchDirectory, fastDirectory } from "./peers.ts";

export interface Medium {
  /** The file system: "tmpfs", "ext4". */
  readonly name: string;
  /** A directory on it. */
  readonly directory: string;
  readonly onDisk: boolean;
}

function fileSystemOf(directory: string): string {
  const { stdout } = new Deno.Command("stat", {
    args: ["--file-system", "--format=%T", directory],
  }).outputSync();
  const name = new TextDecoder().decode(stdout).trim();
  // ext2, 3 and 4 have the same number.
  return name === "ext2/ext3" ? "ext4" : name;
}

/** Memory alone, and the disk that the repository is on. */
export function media(): readonly Medium[] {
  return [
    { directory: fastDirectory, onDisk: false },
    { directory: benchDirectory, onDisk: true },
  ].map((medium) => ({ ...medium, name: fileSystemOf(medium.directory) }));
}

/** A directory on a medium, removed with all that is in it. */
export class Directory implements Disposable {
  readonly #path: string;

  constructor({ directory }: Medium) {
    this.#path = Deno.makeTempDirSync({ dir: directory });
  }

  path(name: string): string {
    return `${this.#path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#path, { recursive: true });
  }
}
