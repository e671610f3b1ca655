/**
 * Runs a script in a Deno of its own, for what may kill the process or needs
 * other permissions.
 *
 * @module
 */

const root = new URL("..", import.meta.url);

/** How a subprocess ended. */
export interface Ended {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs TypeScript in which `@pmem2/pmem2` and `@std/assert` can be imported.
 *
 * @param script The text of the program.
 * @param options `flags`: Deno's, by default all permissions. `env`: added to this
 * process's. `args`: the program's.
 */
export async function run(
  script: string,
  { flags = ["-A"], env = {}, args = [] }: {
    flags?: string[];
    env?: Record<string, string>;
    args?: string[];
  } = {},
): Promise<Ended> {
  // In the project's folder, so that its imports hold.
  const file = new URL(`.subprocess_${crypto.randomUUID()}.ts`, root);
  Deno.writeTextFileSync(file, script);
  try {
    const output = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-check",
        "--cached-only",
        `--config=${new URL("deno.json", root).pathname}`,
        ...flags,
        file.pathname,
        ...args,
      ],
      env: { NO_COLOR: "1", ...env },
    }).output();
    const decoder = new TextDecoder();
    return {
      code: output.code,
      signal: output.signal,
      stdout: decoder.decode(output.stdout),
      stderr: decoder.decode(output.stderr),
    };
  } finally {
    Deno.removeSync(file);
  }
}
