/** The host has no way to run the emulated machine: not the tests' fault. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}

/** Runs a program to its end and returns what it printed. */
export async function run(
  command: string,
  args: string[],
  options: Deno.CommandOptions = {},
): Promise<string> {
  const output = await new Deno.Command(command, {
    ...options,
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  if (!output.success) {
    const complaint = decoder.decode(output.stderr).trim();
    throw new Error(
      `Cannot run "${
        [command, ...args].join(" ")
      }": exit status ${output.code}\n${complaint}`,
    );
  }
  return decoder.decode(output.stdout);
}

/** The first of the paths that exists, or null. */
export function firstExisting(paths: Iterable<string>): string | null {
  for (const path of paths) {
    if (exists(path)) return path;
  }
  return null;
}

export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Where a shell would find the program, the system folders included. */
export function findProgram(name: string): string | null {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  folders.push("/usr/sbin", "/sbin", "/usr/bin", "/bin");
  return firstExisting(folders.map((folder) => `${folder}/${name}`));
}

/** The command line that runs `command` as root, or null if there is no way. */
export async function asRoot(command: string[]): Promise<string[] | null> {
  if (Deno.uid() === 0) return command;
  if (findProgram("sudo") === null) return null;
  try {
    await run("sudo", ["-n", "true"]);
  } catch {
    return null;
  }
  return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive", ...command];
}

const started = performance.now();

/** A line of progress, stamped with the seconds since the start. */
export function say(message: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`[${seconds.padStart(6)} s] ${message}`);
}
