import { say } from "./host.ts";
import { buildImage } from "./image.ts";
import { findQemu, Packages } from "./packages.ts";

const MiB = 1024 * 1024;
/** An NVDIMM's size must be a multiple of 16 MiB; the guest tells them apart by size. */
const FSDAX_SIZE = 512 * MiB;
const DEVDAX_SIZE = 64 * MiB;
const DISK_SIZE = 512 * MiB;

/** What every machine is started from. */
export interface Equipment {
  readonly qemu: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly accelerator: "kvm" | "tcg";
}

/** Gathers the packages in `cache` and builds the guest's image in `directory`. */
export async function equip(
  cache: string,
  directory: string,
): Promise<Equipment> {
  using lock = await Deno.open(`${cache}/lock`, { create: true, write: true });
  await lock.lock(true);
  const qemu = await findQemu();
  const packages = await Packages.fetch(`${cache}/packages`);
  const { kernel, release } = packages;
  const accelerator = await hasKvm(qemu, kernel) ? "kvm" : "tcg";
  const initrd = await buildImage(packages, directory, `${cache}/deno_dir`);
  const size = Math.round((await Deno.stat(initrd)).size / MiB);
  say(`Guest image of ${size} MiB, Linux ${release}, QEMU with ${accelerator}`);
  return { qemu, kernel, initrd, accelerator };
}

/** Two NVDIMMs and a disk: files in `directory` that outlive a machine. */
export async function makeMedia(directory: string): Promise<void> {
  const sizes = { fsdax: FSDAX_SIZE, devdax: DEVDAX_SIZE, disk: DISK_SIZE };
  for (const [name, size] of Object.entries(sizes)) {
    const path = `${directory}/${name}.img`;
    await Deno.writeFile(path, new Uint8Array());
    await Deno.truncate(path, size);
  }
}

export interface BootOptions {
  /** The folder with the media. */
  media: string;
  /** The file for what the kernel says. */
  console: string;
  /** The script in guest/ to run. */
  job: string;
  /** Whether the media are new. */
  format?: boolean;
  /** "cpu" promises that the caches are flushed on power failure (eADR). */
  persistence?: "mem-ctrl" | "cpu";
  /** Seconds until the machine is turned off for good. */
  deadline: number;
  /** More variables for the job: no blanks in the values. */
  environment?: Record<string, string>;
}

/** A running machine. Disposing of it cuts the power. */
export class Machine implements AsyncDisposable {
  static readonly #running = new Set<Machine>();
  readonly #options: BootOptions;
  #process: Deno.ChildProcess;
  #timer: ReturnType<typeof setTimeout>;
  #exited = false;
  #timedOut = false;

  constructor(equipment: Equipment, options: BootOptions) {
    this.#options = options;
    this.#process = new Deno.Command(equipment.qemu, {
      args: qemuArguments(equipment, options),
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    Machine.#running.add(this);
    this.#process.status.then(() => {
      this.#exited = true;
      Machine.#running.delete(this);
    });
    this.#timer = setTimeout(() => {
      this.#timedOut = true;
      this.cutPower();
    }, options.deadline * 1000);
  }

  /** Cuts the power of every machine, so that none is left running. */
  static cutAllPower(): void {
    for (const machine of Machine.#running) machine.cutPower();
  }

  /** What the job prints, line by line, until the machine is off. */
  async *lines(): AsyncGenerator<string> {
    const text = this.#process.stdout.pipeThrough(new TextDecoderStream());
    let rest = "";
    for await (const chunk of text) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
    if (this.#timedOut) {
      throw new Error(
        `The machine was not done within ${this.#options.deadline} seconds`,
      );
    }
  }

  /** SIGKILL: as abrupt as pulling the plug. */
  cutPower(): void {
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
    await this.#process.stdout.cancel().catch(() => {});
    await this.#process.status;
  }
}

function qemuArguments(
  equipment: Equipment,
  options: BootOptions,
): string[] {
  const { media, deadline, job } = options;
  const persistence = options.persistence ?? "mem-ctrl";
  const environment = Object.entries({
    JOB: job,
    FORMAT: options.format ? "yes" : "no",
    DEADLINE: String(deadline),
    ...options.environment,
  }).map(([name, value]) => `${name}=${value}`);
  const nvdimm = (name: string, size: number) => [
    "-object",
    `memory-backend-file,id=${name},share=on,mem-path=${media}/${name}.img,size=${size},align=2M`,
    "-device",
    `nvdimm,id=nvdimm-${name},memdev=${name}`,
  ];
  return [
    ...basicArguments(equipment.kernel, equipment.accelerator),
    ...["-machine", `q35,nvdimm=on,nvdimm-persistence=${persistence}`],
    ...["-smp", "1", "-m", "2G,slots=4,maxmem=8G"],
    ...nvdimm("fsdax", FSDAX_SIZE),
    ...nvdimm("devdax", DEVDAX_SIZE),
    "-drive",
    `file=${media}/disk.img,if=none,id=disk,format=raw,cache=writeback`,
    ...["-device", "virtio-blk-pci,drive=disk"],
    ...["-serial", `file:${options.console}`, "-serial", "stdio"],
    ...["-initrd", equipment.initrd],
    "-append",
    `console=ttyS0 quiet panic=-1 ${environment.join(" ")}`,
  ];
}

function basicArguments(kernel: string, accelerator: "kvm" | "tcg"): string[] {
  return [
    ...["-accel", accelerator === "kvm" ? "kvm" : "tcg,thread=multi"],
    // With a smaller CPU model the guest waits for randomness.
    ...["-cpu", "max"],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...["-kernel", kernel],
  ];
}

/**
 * Whether the kernel boots with KVM until it misses its root file system:
 * that /dev/kvm can be opened does not mean that it works.
 */
async function hasKvm(qemu: string, kernel: string): Promise<boolean> {
  try {
    (await Deno.open("/dev/kvm", { read: true, write: true })).close();
  } catch {
    return false;
  }
  const attempt = new Deno.Command(qemu, {
    args: [
      ...basicArguments(kernel, "kvm"),
      ...["-machine", "q35", "-m", "512M", "-append", "panic=-1"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => attempt.kill("SIGKILL"), 10_000);
  const { success } = await attempt.status;
  clearTimeout(timer);
  return success;
}
