/**
 * Writes to persistent memory and a disk in an emulated machine, cuts its power
 * at random moments, and checks that all that was acknowledged is still there.
 *
 * Usage: deno task test:power-cut [ROUNDS]
 */
import { say } from "./host.ts";
import { type Equipment, Machine, makeMedia } from "./machine.ts";
import { runSession } from "./session.ts";

type Mode = "persist" | "forget" | "pretend";

interface Round {
  acknowledged: Map<string, number>;
  /** What the round before left: so many records, and whether that is all. */
  found: Map<string, { intact: number; whole: boolean }>;
}

const DEADLINE = 120;
/** Within so many milliseconds after the first records the power is cut. */
const LATEST_CUT = 2000;

/** A series of rounds on the same media. */
class Series {
  readonly #equipment: Equipment;
  readonly #directory: string;
  readonly #media: string[];
  readonly #mode: Mode;
  #round = 0;

  private constructor(
    equipment: Equipment,
    directory: string,
    media: string[],
    mode: Mode,
  ) {
    this.#equipment = equipment;
    this.#directory = directory;
    this.#media = media;
    this.#mode = mode;
  }

  static async start(
    equipment: Equipment,
    directory: string,
    media: string[],
    mode: Mode,
  ): Promise<Series> {
    const folder = `${directory}/${mode}`;
    await Deno.mkdir(folder);
    await makeMedia(folder);
    return new Series(equipment, folder, media, mode);
  }

  /** Boots, checks what the last round left, writes until the power is cut. */
  async next(options: { last: boolean }): Promise<Round> {
    this.#round++;
    const round: Round = { acknowledged: new Map(), found: new Map() };
    const output: string[] = [];
    const name = `${this.#directory}.${this.#round}`;
    await using machine = new Machine(this.#equipment, {
      media: this.#directory,
      console: `${name}.console.log`,
      job: "power_cut",
      format: this.#round === 1,
      deadline: DEADLINE,
      environment: {
        WRITERS: this.#media.map((medium) => `${medium}:${this.#mode}`).join(),
        ROUND: String(this.#round),
        LAST: options.last ? "yes" : "no",
      },
    });
    let cut: ReturnType<typeof setTimeout> | undefined;
    try {
      for await (const line of machine.lines()) {
        output.push(line);
        this.#note(line, round);
        if (round.acknowledged.size === this.#media.length) {
          cut ??= setTimeout(
            () => machine.cutPower(),
            Math.random() * LATEST_CUT,
          );
        }
      }
    } finally {
      clearTimeout(cut);
      await Deno.writeTextFile(`${name}.log`, output.join("\n"));
    }
    if (round.found.size < this.#media.length || !cut && !options.last) {
      throw new Error(
        `The machine broke off:\n${output.slice(-20).join("\n")}`,
      );
    }
    return round;
  }

  #note(line: string, round: Round): void {
    const [medium, what, count, state] = line.split(" ");
    if (!this.#media.includes(medium!)) return;
    if (what === "acknowledged") {
      round.acknowledged.set(medium!, Number(count));
    } else if (what === "found") {
      round.found.set(medium!, {
        intact: Number(count),
        whole: state === "whole",
      });
    }
  }
}

/** Prints what became of a round's records; true if as expected. */
function judge(
  title: string,
  written: Round,
  checked: Round,
  expected: "kept" | "lost",
): boolean {
  let asExpected = true;
  for (const [medium, acknowledged] of written.acknowledged) {
    const { intact, whole } = checked.found.get(medium)!;
    const kept = intact >= acknowledged && whole;
    const verdict = kept ? "kept" : "lost";
    if (verdict !== expected) asExpected = false;
    say(
      `${title}, ${medium}: ${acknowledged} acknowledged, ${intact} found: ${verdict}` +
        (verdict === expected ? "" : `, expected ${expected}`),
    );
  }
  return asExpected;
}

async function cutRepeatedly(
  equipment: Equipment,
  directory: string,
  rounds: number,
): Promise<boolean> {
  const media = ["fsdax", "devdax", "ext4"];
  const series = await Series.start(equipment, directory, media, "persist");
  let passed = true;
  let written = await series.next({ last: false });
  for (let round = 1; round <= rounds; round++) {
    const checked = await series.next({ last: round === rounds });
    passed = judge(`round ${round}`, written, checked, "kept") && passed;
    written = checked;
  }
  return passed;
}

/** A test that can't see lost data proves nothing: these must lose some. */
async function control(
  equipment: Equipment,
  directory: string,
  mode: Mode,
): Promise<boolean> {
  const series = await Series.start(equipment, directory, ["ext4"], mode);
  const written = await series.next({ last: false });
  const checked = await series.next({ last: true });
  const title = mode === "forget"
    ? "control without persist"
    : "control with a false granularity";
  return judge(title, written, checked, "lost");
}

if (import.meta.main) {
  const rounds = Number(Deno.args[0] ?? 10);
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    console.error("Usage: deno task test:power-cut [ROUNDS]");
    Deno.exit(2);
  }
  await runSession(async (equipment, directory) => {
    let passed = true;
    for (const mode of ["forget", "pretend"] as const) {
      passed = await control(equipment, directory, mode) && passed;
    }
    passed = await cutRepeatedly(equipment, directory, rounds) && passed;
    say(passed ? "Nothing acknowledged was lost" : "Not as expected");
    return passed;
  });
}
