/**
 * Runs a program on a terminal of its own, as a user would.
 *
 * @module
 */

import type { Ended } from "./subprocess.ts";

/** Why there is no terminal to be had here, or null. */
export const noTerminal: string | null = hasScript()
  ? null
  : "needs script(1) of util-linux";

function hasScript(): boolean {
  try {
    const { stdout } = new Deno.Command("script", {
      args: ["--version"],
      stderr: "null",
    }).outputSync();
    return new TextDecoder().decode(stdout).includes("util-linux");
  } catch {
    return false;
  }
}

/** What a terminal showed, without colors and cursor movements. */
function plain(text: string): string {
  return text
    // deno-lint-ignore no-control-regex
    .replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "")
    .replaceAll("\r", "");
}

const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * Runs a command on a terminal.
 *
 * @param answer What to type at each question, without the newline; it gets what
 * was shown since the last one.
 * @returns What was shown, and how the command ended.
 */
export async function runOnTerminal(
  command: readonly string[],
  { columns = 80, cwd, env = {}, answer }: {
    columns?: number;
    cwd?: string;
    env?: Record<string, string>;
    answer?: (question: string) => string;
  } = {},
): Promise<Pick<Ended, "code" | "stdout">> {
  const line = `stty columns ${columns} rows 40 && exec ${
    command.map(quote).join(" ")
  }`;
  const child = new Deno.Command("script", {
    args: ["--quiet", "--return", "--command", line, "/dev/null"],
    cwd,
    env: { TERM: "xterm", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  // Nothing waits for ever.
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const keyboard = child.stdin.getWriter();
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];
  let shown = "";
  let asked = 0;
  let typing: ReturnType<typeof setInterval> | undefined;
  for await (const part of child.stdout) {
    shown += decoder.decode(part, { stream: true });
    const news = plain(shown.slice(asked));
    if (typing !== undefined && /^\S* (Granted|Denied) /m.test(news)) {
      clearInterval(typing);
      typing = undefined;
    }
    if (!/\(y = yes, allow; .*\) > $/.test(news)) continue;
    asked = shown.length;
    const keys = encoder.encode(`${answer?.(news) ?? "n"}\n`);
    // What is typed before Deno is ready for it, Deno throws away.
    clearInterval(typing);
    typing = setInterval(() => keyboard.write(keys).catch(() => {}), 300);
  }
  clearInterval(typing);
  clearTimeout(timer);
  const { code } = await child.status;
  await keyboard.close().catch(() => {});
  return { code, stdout: plain(shown) };
}
