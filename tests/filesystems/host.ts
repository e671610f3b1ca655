/**
 * The system's own tools.
 *
 * @module
 */

/** Prints a line. */
export function say(line: string): void {
  console.log(line);
}

/** A command, with tools that only root has in its PATH. */
export function command(
  name: string,
  args: string[],
  options: Deno.CommandOptions = {},
): Deno.Command {
  return new Deno.Command(name === "deno" ? Deno.execPath() : name, {
    args,
    stdin: "null",
    ...options,
    env: {
      PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin`,
      ...options.env,
    },
  });
}

/** Runs a tool; what it said if that failed, null if there is no such tool. */
export function tryTo(name: string, ...args: string[]): string | null {
  // Under a PATH that is looked up by whoever calls, not by the command.
  const found = command("sh", ["-c", `command -v ${name}`], {
    stdout: "null",
    stderr: "null",
  }).outputSync();
  if (!found.success) return null;
  const { success, stderr, stdout } = command("sh", [
    "-c",
    'exec "$@"',
    "sh",
    name,
    ...args,
  ]).outputSync();
  const decoder = new TextDecoder();
  return success
    ? ""
    : (decoder.decode(stderr) + decoder.decode(stdout)).trim() || "it failed";
}
