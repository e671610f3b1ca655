/**
 * Cuts the power while a command writes, and lets another look for what was
 * acknowledged.
 *
 * @module
 */

import type { Options } from "./arguments.ts";
import { forward } from "./command.ts";
import { acknowledgedPath } from "./guest.ts";
import { elapsed, type Report } from "./report.ts";
import { runSession, type Session } from "./session.ts";

/** What became of a boot. */
interface Round {
  /** Of the checker, if it ran. */
  checked: number | undefined;
  /** Of the writer, if it ended before the power was cut. */
  written: number | undefined;
  /** The complete lines that the writer printed. */
  acknowledged: Uint8Array;
  /** Seconds from the first line to the cut. */
  seconds: number;
}

const newline = 10;

function shell(line: string): string[] {
  return ["sh", "-c", line];
}

/**
 * Writes, cuts the power, boots and checks, as often as the options say; the exit
 * status is 0 if every check passed.
 */
export function cutPowerRepeatedly(
  options: Options,
  report: Report,
): Promise<number> {
  const commands = [options.writer, options.checker].map(shell);
  return runSession(options, report, commands, async (session) => {
    const code = await cutAndCheck(session, options, report);
    report.say(`exit status ${code} after ${elapsed()} s`);
    return code;
  });
}

async function cutAndCheck(
  session: Session,
  { rounds }: Options,
  report: Report,
): Promise<number> {
  let acknowledged: Uint8Array | undefined;
  for (let round = 1; round <= rounds + 1; round++) {
    const { checked, written, ...cut } = await boot(session, {
      acknowledged,
      write: round <= rounds,
    });
    report.endProgress();
    if (checked !== undefined) {
      const verdict = checked === 0 ? "all is kept" : `exit status ${checked}`;
      report.say(`round ${round - 1}: the checker says: ${verdict}`);
      if (checked !== 0) return 1;
    }
    if (round > rounds) break;
    const lines = cut.acknowledged.filter((byte) => byte === newline).length;
    if (written !== undefined && (written !== 0 || lines === 0)) {
      report.say(
        `round ${round}: the writer ended with exit status ${written} and ${lines} lines`,
      );
      return 1;
    }
    report.say(
      `round ${round}: power cut after ${
        cut.seconds.toFixed(2)
      } s, ${lines} lines acknowledged`,
    );
    acknowledged = cut.acknowledged;
  }
  return 0;
}

/** Boots, checks what the last round left, writes until the power is cut. */
async function boot(
  session: Session,
  { acknowledged, write }: { acknowledged?: Uint8Array; write: boolean },
): Promise<Round> {
  const { writer, checker, within } = session.options;
  const jobs = [];
  if (acknowledged !== undefined) {
    const job = session.job(shell(checker));
    job.environment.set("PMEM_ACKNOWLEDGED", acknowledgedPath);
    jobs.push(job);
  }
  const writing = jobs.length + 1;
  if (write) jobs.push(session.job(shell(writer), "acknowledged"));
  await using machine = await session.start({ jobs, out: [], acknowledged });

  let first = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const round: Round = {
    checked: undefined,
    written: undefined,
    acknowledged: new Uint8Array(),
    seconds: 0,
  };
  const collect = async () => {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of machine.read("acknowledged")) {
      chunks.push(chunk.slice());
      if (timer === undefined && chunk.includes(newline)) {
        first = performance.now();
        timer = setTimeout(
          () => machine.cutPower(),
          Math.random() * within * 1000,
        );
      }
    }
    const all = await new Blob(chunks).bytes();
    round.acknowledged = all.subarray(0, all.lastIndexOf(newline) + 1);
    if (first > 0) round.seconds = (performance.now() - first) / 1000;
  };
  const streams = [
    collect(),
    forward(machine.read("stdout"), Deno.stdout),
    forward(machine.read("stderr"), Deno.stderr),
  ];
  try {
    for await (const { kind, text } of machine.messages()) {
      if (kind === "start") session.report.endProgress();
      if (kind !== "exit") continue;
      const [job, code] = text.split(" ").map(Number);
      if (job === writing) {
        round.written = code;
        machine.cutPower();
      } else round.checked = code;
    }
    await Promise.all(streams);
  } finally {
    clearTimeout(timer);
  }
  return round;
}
