/**
 * The machine that the tool runs on: its programs, and how to become root.
 *
 * @module
 */

/** The host has no way to run the machine: not the command's fault. */
export class UnavailableError extends Error {
  override readonly name = "UnavailableError";
}

/**
 * Runs a program of the host to its end and returns what it printed.
 *
 * @throws {UnavailableError} If it fails.
 */
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
    const line = [command, ...args].join(" ");
    throw new UnavailableError(
      `Cannot run "${line}": exit status ${output.code}\n${complaint}`,
    );
  }
  return decoder.decode(output.stdout);
}

export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The first of the paths that exists, or null. */
export function firstExisting(paths: Iterable<string>): string | null {
  for (const path of paths) {
    if (exists(path)) return path;
  }
  return null;
}

/** Where a shell would find the program, the system folders included. */
export function findProgram(name: string): string | null {
  if (name.includes("/")) return exists(name) ? name : null;
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter(Boolean);
  folders.push("/usr/sbin", "/sbin", "/usr/bin", "/bin");
  return firstExisting(folders.map((folder) => `${folder}/${name}`));
}

/**
 * Installs the packages of those programs that are missing: what the guest is
 * made of is never installed, only what makes and runs it.
 *
 * @param programs Names of programs, each with the package that has it.
 * @param say Is told what gets installed.
 */
export async function installPrograms(
  programs: Record<string, string>,
  say: (message: string) => void,
): Promise<void> {
  const missing = Object.keys(programs).filter((name) =>
    findProgram(name) === null
  );
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((name) => programs[name]!))];
  const line = `sudo apt-get install --no-install-recommends ${
    packages.join(" ")
  }`;
  const root = await becomeRoot();
  if (findProgram("apt-get") === null || root === null) {
    throw new UnavailableError(
      `Cannot find ${missing.join(", ")}. On Debian and Ubuntu: ${line}`,
    );
  }
  say(`Installing ${packages.join(", ")}`);
  const apt = async (...args: string[]) => {
    const [command, ...rest] = [
      ...root,
      ...["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"],
      ...["--yes", "-o", "DPkg::Lock::Timeout=120", ...args],
    ];
    await run(command!, rest);
  };
  const install = ["install", "--no-install-recommends", ...packages];
  try {
    await apt(...install).catch(async () => {
      // The lists may be absent or stale; one broken source may not matter.
      await apt("update").catch(() => {});
      await apt(...install);
    });
  } catch (error) {
    throw new UnavailableError(`${messageOf(error)}\nTry: ${line}`);
  }
}

/** What makes a command line run as root, or null if there is no way. */
async function becomeRoot(): Promise<string[] | null> {
  if (Deno.uid() === 0) return [];
  if (findProgram("sudo") === null) return null;
  try {
    await run("sudo", ["-n", "true"]);
    return ["sudo", "-n"];
  } catch {
    return null;
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
