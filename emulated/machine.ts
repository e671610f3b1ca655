/**
 * A running machine.
 *
 * @module
 */

import type { Equipment } from "./equipment.ts";
import { packTask, type Task } from "./guest.ts";
import { exists } from "./host.ts";
import { basicArguments, deviceArguments, ports } from "./qemu.ts";

/** The machine stopped without having done what it was for. */
export class BrokenOffError extends Error {
  override readonly name = "BrokenOffError";
}

/** The command, or the machine, took longer than it may. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
}

export interface MachineOptions {
  equipment: Equipment;
  /** The folder of the media and images, in which QEMU runs. */
  folder: string;
  task: Task;
  memory: number;
  size: number;
  eadr: boolean;
  /** Seconds for the jobs. */
  timeout: number;
}

/** What the guest tells. */
export interface Message {
  kind: "booted" | "start" | "exit" | "missing" | "error" | "done";
  text: string;
}

type Port = typeof ports[number];

/** Seconds until the first job starts, at most: under TCG, on a busy host. */
const bootPatience = 300;
const knownMessage = /^(booted|start|exit|missing|error|done) ?(.*)$/;

/** A running machine. Disposing of it cuts the power. */
export class Machine implements AsyncDisposable {
  static readonly #running = new Set<Machine>();
  readonly #process: Deno.ChildProcess;
  readonly #status: Promise<Deno.CommandStatus>;
  readonly #connections = new Map<Port, Deno.Conn>();
  readonly #timeout: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #late: Error | null = null;
  #cut = false;
  #exited = false;
  #complaint = "";

  private constructor(process: Deno.ChildProcess, timeout: number) {
    this.#process = process;
    this.#timeout = timeout;
    this.#status = process.status.finally(() => {
      this.#exited = true;
      Machine.#running.delete(this);
    });
    Machine.#running.add(this);
  }

  /** Turns a machine on. */
  static async start(options: MachineOptions): Promise<Machine> {
    const { equipment, folder, task, memory, size, eadr, timeout } = options;
    const initrd = `${folder}/initrd.img`;
    await Deno.copyFile(equipment.initrd, initrd);
    await Deno.writeFile(initrd, packTask(task), { append: true });
    for (const name of ports) {
      await Deno.remove(`${folder}/${name}.socket`).catch(() => {});
    }
    if (!exists(`${folder}/system.squashfs`)) {
      await Deno.symlink(equipment.system, `${folder}/system.squashfs`);
    }
    const process = new Deno.Command("setpriv", {
      args: [
        // Should this process be killed, QEMU must not stay behind.
        ...["--pdeathsig", "KILL", equipment.qemu],
        ...basicArguments(equipment, eadr),
        ...deviceArguments(equipment, {
          memory,
          size,
          failingDisk: task.failingDisk,
          initrd: "initrd.img",
        }),
      ],
      cwd: folder,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const machine = new Machine(process, timeout);
    machine.#limit(
      bootPatience,
      new BrokenOffError(
        `The machine has not booted within ${bootPatience} seconds`,
      ),
    );
    void machine.#listen();
    try {
      for (const name of ports) await machine.#connect(name);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** Cuts the power of every machine, so that none is left running. */
  static cutAllPower(): void {
    for (const machine of Machine.#running) machine.cutPower();
  }

  /** What comes out of a port, until the power is cut. */
  async *read(port: Port): AsyncGenerator<Uint8Array> {
    const connection = this.#connections.get(port)!;
    // From here on it's closed at its end, which the end of QEMU brings.
    this.#connections.delete(port);
    try {
      for await (const chunk of connection.readable) yield chunk;
    } catch (error) {
      // QEMU was killed with something unread on its side.
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
  }

  /**
   * What the guest tells, until it's done or the power is cut.
   *
   * @throws {TimeoutError} If it isn't done in time.
   * @throws {BrokenOffError} If it stops without being done.
   */
  async *messages(): AsyncGenerator<Message> {
    for await (const line of lines(this.read("control"))) {
      const [, kind, text] = knownMessage.exec(line) ?? [];
      if (kind === undefined) continue;
      if (kind === "error") throw new BrokenOffError(text);
      if (kind === "start") {
        const seconds = this.#timeout;
        this.#limit(
          seconds,
          new TimeoutError(
            `The command was not done within ${seconds} seconds`,
          ),
        );
      }
      yield { kind: kind as Message["kind"], text: text! };
      if (kind === "done") {
        this.cutPower();
        return;
      }
    }
    if (this.#late !== null) throw this.#late;
    if (this.#cut) return;
    const { code, signal } = await this.#status;
    const how = signal === null ? `exit status ${code}` : signal;
    throw new BrokenOffError(
      `The machine went off (QEMU: ${how})${
        this.#complaint && `: ${this.#complaint.trim()}`
      }`,
    );
  }

  /** SIGKILL: as abrupt as pulling the plug. */
  cutPower(): void {
    this.#cut = true;
    if (this.#exited) return;
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      // It has ended by itself, at this very moment.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.cutPower();
    await this.#status;
    for (const connection of this.#connections.values()) connection.close();
  }

  #limit(seconds: number, error: Error): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#late = error;
      this.cutPower();
    }, seconds * 1000);
  }

  /** QEMU's own words. */
  async #listen(): Promise<void> {
    const text = this.#process.stderr.pipeThrough(new TextDecoderStream());
    for await (const chunk of text) this.#complaint += chunk;
  }

  async #connect(port: Port): Promise<void> {
    // The path by way of QEMU's working directory is short enough for a socket.
    const path = `/proc/${this.#process.pid}/cwd/${port}.socket`;
    for (;;) {
      try {
        const connection = await Deno.connect({ transport: "unix", path });
        this.#connections.set(port, connection);
        return;
      } catch (error) {
        if (this.#exited) {
          throw new BrokenOffError(
            `QEMU has not started: ${this.#complaint.trim()}`,
          );
        }
        const early = error instanceof Deno.errors.NotFound ||
          error instanceof Deno.errors.ConnectionRefused;
        if (!early) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

/** The complete lines of a stream. */
export async function* lines(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const found = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = found.pop()!;
    yield* found;
  }
}
