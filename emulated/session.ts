/**
 * What a run and a series of power cuts have in common.
 *
 * @module
 */

import type { Options } from "./arguments.ts";
import { cacheFolder, RunFolder } from "./cache.ts";
import { equip, type Equipment } from "./equipment.ts";
import type { Task } from "./guest.ts";
import { exists, messageOf, run, UnavailableError } from "./host.ts";
import { BrokenOffError, Machine, TimeoutError } from "./machine.ts";
import { makeMedia } from "./media.ts";
import {
  environmentFor,
  findProject,
  packProject,
  prepareDeno,
  type Project,
  registriesOf,
} from "./project.ts";
import { elapsed, type Report } from "./report.ts";

/** Exit statuses of the tool's own. */
export const status = { timeout: 124, unavailable: 125 } as const;

/** All that machines are started with, and the folder they run in. */
export class Session {
  readonly options: Options;
  readonly report: Report;
  readonly folder: string;
  readonly equipment: Equipment;
  readonly project: Project;

  constructor(
    options: Options,
    report: Report,
    folder: string,
    equipment: Equipment,
    project: Project,
  ) {
    this.options = options;
    this.report = report;
    this.folder = folder;
    this.equipment = equipment;
    this.project = project;
  }

  /** Turns a machine on, for a task. */
  start(task: Pick<Task, "jobs" | "out" | "acknowledged">): Promise<Machine> {
    const { memory, size, eadr, timeout, failingDisk } = this.options;
    this.report.progress("Booting");
    const home = Deno.env.get("HOME") || "/root";
    let npmrc = "";
    if (exists(`${home}/.npmrc`)) {
      npmrc = registriesOf(Deno.readTextFileSync(`${home}/.npmrc`));
    }
    const { folders } = this.project;
    return Machine.start({
      ...{ equipment: this.equipment, folder: this.folder },
      ...{ memory, size, eadr, timeout },
      task: { ...task, failingDisk, folders, home, npmrc },
    });
  }

  /** A job in the project's directory. */
  job(
    command: string[],
    stdout: "stdout" | "acknowledged" = "stdout",
  ): Task["jobs"][number] {
    return {
      command,
      stdout,
      directory: this.project.directory,
      environment: environmentFor(this.options, this.project),
    };
  }

  /** Puts what the guest brought back where it was there. */
  async bringBack(paths: string[]): Promise<void> {
    const archive = `${this.folder}/out.tar`;
    if (paths.length === 0) return;
    await run("tar", [
      ...["-x", "-f", archive, "-C", "/", "--no-same-owner"],
      ...["--no-overwrite-dir", "--", ...paths.map((path) => path.slice(1))],
    ]);
  }
}

/** Fills the cache. */
export async function prepare(
  options: Options,
  report: Report,
): Promise<number> {
  try {
    const equipment = await equip(cacheFolder(), options.architecture, report);
    report.endProgress();
    report.say(`Ready after ${elapsed()} s: ${describe(equipment)}`);
    return 0;
  } catch (error) {
    report.endProgress();
    report.say(
      error instanceof UnavailableError ? error.message : Deno.inspect(error),
    );
    return status.unavailable;
  }
}

/**
 * Gets everything ready for the commands, and gives `body` the session.
 *
 * @returns The exit status of the tool.
 */
export async function runSession(
  options: Options,
  report: Report,
  commands: string[][],
  body: (session: Session) => Promise<number>,
): Promise<number> {
  const cache = cacheFolder();
  using folder = await RunFolder.make(cache);
  const stop = () => {
    Machine.cutAllPower();
    folder[Symbol.dispose]();
    report.endProgress();
    Deno.exit(130);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  try {
    const equipment = await equip(cache, options.architecture, report);
    report.endProgress();
    report.say(describe(equipment));
    for (const command of commands) {
      const code = await prepareDeno(command);
      if (code !== 0) {
        report.say(`exit status ${code}: Deno refused the command on the host`);
        return code;
      }
    }
    report.progress("Packing the project");
    const project = await findProject(options);
    await Promise.all([
      packProject(project, cache, `${folder.path}/project.squashfs`),
      makeMedia(folder.path, { ...options, ...equipment.architecture }),
    ]);
    return await body(
      new Session(options, report, folder.path, equipment, project),
    );
  } catch (error) {
    const expected = error instanceof UnavailableError ||
      error instanceof BrokenOffError || error instanceof TimeoutError;
    report.endProgress();
    report.say(expected ? messageOf(error) : Deno.inspect(error));
    const log = `${folder.path}/console.log`;
    if (exists(log)) {
      const end = Deno.readTextFileSync(log).trim().split("\n").slice(-15);
      for (const line of end) if (line !== "") report.say(`| ${line.trim()}`);
      report.say(`What the kernel said: ${folder.keepLog("console.log")}`);
    }
    const code = error instanceof TimeoutError
      ? status.timeout
      : status.unavailable;
    report.say(`exit status ${code} after ${elapsed()} s`);
    return code;
  } finally {
    Machine.cutAllPower();
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  }
}

function describe({ release, qemuVersion, accelerator }: Equipment): string {
  const how = accelerator.name === "kvm"
    ? "with KVM"
    : `without KVM (${accelerator.reason})`;
  return `Linux ${release} in QEMU ${qemuVersion} ${how}`;
}
