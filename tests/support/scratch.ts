/**
 * A directory for one test, removed at its end.
 *
 * @module
 */

/**
 * Where tests put their files: the folder named by PMEM2_TEST_DIR, on the medium
 * that is to be tested, or else the system's for temporary files.
 */
export const testDirectory: string | undefined =
  Deno.env.get("PMEM2_TEST_DIR") || undefined;

export class Scratch implements Disposable {
  readonly directory: string;

  /**
   * @param directory An existing one, to be removed at the end; without it, a new
   * one on the medium that is to be tested.
   */
  constructor(
    directory: string = Deno.makeTempDirSync({
      dir: testDirectory,
      prefix: "pmem2_test_",
    }),
  ) {
    this.directory = directory;
  }

  /** The path of a file that may not exist yet. */
  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  /** Makes a file of this size whose byte `i` is `i % 251`; its path. */
  file(name: string, size: number): string {
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i++) bytes[i] = i % 251;
    Deno.writeFileSync(this.path(name), bytes);
    return this.path(name);
  }

  [Symbol.dispose](): void {
    try {
      Deno.removeSync(this.directory, { recursive: true });
    } catch (error) {
      // FUSE keeps what is still mapped under names of its own.
      for (const name of filesIn(this.directory)) {
        if (!name.startsWith(".fuse_hidden")) throw error;
      }
    }
  }
}

/** The names of the files in a directory, and in those in it. */
function filesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(`${directory}/${name}`) : [name]
  );
}
