/**
 * Runs a script in a Deno of its own, for what may kill the process or needs
 * other permissions.
 *
 * @module
 */

const root = new URL("../..", import.meta.url);

/**
 * For programs that go where there is no memory for V8 either: it compiles
 * nothing in the background, and has room before it must clean up.
 */
export const frugal =
  "--v8-flags=--no-opt,--no-maglev,--no-sparkplug,--single-threaded,--min-semi-space-size=64";

/** Takes from root what lets it open files that their permissions do not allow. */
export const asOrdinaryUser = Deno.uid() === 0
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
  : [];

/** How a subprocess ended. */
export interface Ended {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  /** Deno's, by default all permissions. */
  flags?: string[];
  /** Added to this process's. */
  env?: Record<string, string>;
  /** The program's. */
  args?: string[];
  /** What starts Deno: a program and its arguments. */
  launcher?: string[];
  /** Milliseconds after which a program that hangs is killed. */
  deadline?: number;
}

/**
 * Runs TypeScript in which `@pmem2/pmem2` and `@std/assert` can be imported.
 *
 * @param script The text of the program.
 */
export async function run(
  script: string,
  options?: RunOptions,
): Promise<Ended> {
  // In the project's folder, so that its imports hold.
  const file = new URL(`.subprocess_${crypto.randomUUID()}.ts`, root);
  Deno.writeTextFileSync(file, script);
  try {
    return await runFile(file.pathname, options);
  } finally {
    Deno.removeSync(file);
  }
}

/**
 * Runs a program of the project.
 *
 * @param file Its path, if relative from the project's folder.
 */
export async function runFile(
  file: string,
  options?: RunOptions,
): Promise<Ended> {
  const child = command(file, options).spawn();
  const { deadline } = options ?? {};
  const timer = deadline === undefined
    ? undefined
    : setTimeout(() => child.kill("SIGKILL"), deadline);
  const output = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  return {
    code: output.code,
    signal: output.signal,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/** The command that {@linkcode runFile} runs, to do otherwise with it. */
export function command(
  file: string,
  { flags = ["-A"], env = {}, args = [], launcher = [], stdin = "null" }:
    & RunOptions
    & { stdin?: "null" | "piped" } = {},
): Deno.Command {
  const [program, ...before] = [...launcher, Deno.execPath()];
  return new Deno.Command(program!, {
    args: [
      ...before,
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      "--cached-only",
      `--config=${new URL("deno.json", root).pathname}`,
      ...flags,
      new URL(file, root).pathname,
      ...args,
    ],
    env: { NO_COLOR: "1", ...env },
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}
