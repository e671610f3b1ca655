/**
 * One command in one machine.
 *
 * @module
 */

import type { Options } from "./arguments.ts";
import { elapsed, type Report, writeAll } from "./report.ts";
import { runSession, type Session } from "./session.ts";

/** Runs the command; the exit status is its own. */
export function runCommand(options: Options, report: Report): Promise<number> {
  return runSession(
    options,
    report,
    [options.command],
    (session) => runInMachine(session, options, report),
  );
}

async function runInMachine(
  session: Session,
  options: Options,
  report: Report,
): Promise<number> {
  const out = options.out.map(absolute);
  await using machine = await session.start({
    jobs: [session.job(options.command)],
    out,
  });
  const streams = [
    forward(machine.read("stdout"), Deno.stdout),
    forward(machine.read("stderr"), Deno.stderr),
  ];
  let code = 0;
  const missing: string[] = [];
  for await (const { kind, text } of machine.messages()) {
    if (kind === "booted") report.tell("The kernel is up");
    else if (kind === "start") {
      report.endProgress();
      report.tell("The command starts");
    } else if (kind === "exit") {
      code = Number(text.split(" ")[1]);
      report.tell("The command has ended");
    } else if (kind === "missing") missing.push(text);
  }
  await Promise.all(streams);
  await session.bringBack(out.filter((path) => !missing.includes(path)));
  for (const path of missing) report.say(`Nothing to bring back: ${path}`);
  report.say(`exit status ${code} after ${elapsed()} s`);
  return code;
}

/** The path from the root on, without "." and "..". */
export function absolute(path: string): string {
  const parts: string[] = [];
  const whole = path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
  for (const part of whole.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** Passes on what the command prints, as it does. */
export async function forward(
  chunks: AsyncIterable<Uint8Array>,
  target: { writeSync(bytes: Uint8Array): number },
): Promise<void> {
  let open = true;
  for await (const chunk of chunks) {
    try {
      if (open) writeAll(target, chunk);
    } catch (error) {
      // Nobody listens any more, as with `| head`.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      open = false;
    }
  }
}
