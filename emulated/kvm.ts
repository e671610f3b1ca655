/**
 * Whether KVM can run the machine.
 *
 * @module
 */

import type { Architecture } from "./architecture.ts";
import { basicArguments } from "./qemu.ts";
import type { Report } from "./report.ts";

/** What runs the guest's code. */
export interface Accelerator {
  readonly name: "kvm" | "tcg";
  /** Why it's not KVM; empty if it is. */
  readonly reason: string;
}

/** Seconds in which a kernel under KVM has long given up. */
const patience = 15;

/**
 * Boots the kernel with KVM until it misses its root file system: that /dev/kvm
 * can be opened does not mean that it works. The verdict holds until the host
 * boots again.
 */
export async function findAccelerator(
  machine: {
    architecture: Architecture;
    qemu: string;
    qemuVersion: string;
    firmware: string | null;
    kernel: string;
    release: string;
  },
  folder: string,
  report: Report,
): Promise<Accelerator> {
  if (machine.architecture.deno !== Deno.build.arch) {
    return { name: "tcg", reason: "it's another architecture than the host's" };
  }
  try {
    (await Deno.open("/dev/kvm", { read: true, write: true })).close();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "the host has no /dev/kvm"
      : "this user may not open /dev/kvm";
    return { name: "tcg", reason };
  }
  const boot = await Deno.readTextFile("/proc/sys/kernel/random/boot_id");
  const key = [boot.trim(), machine.qemuVersion, machine.release].join(" ");
  const path = `${folder}/kvm`;
  const [known, verdict] = (await Deno.readTextFile(path).catch(() => ""))
    .split("\n");
  let works = verdict === "works";
  if (known !== key) {
    report.progress("Trying KVM");
    works = await boots(machine);
    await Deno.writeTextFile(path, `${key}\n${works ? "works" : "fails"}\n`);
  }
  return works
    ? { name: "kvm", reason: "" }
    : { name: "tcg", reason: "the /dev/kvm of this host can't boot it" };
}

async function boots(machine: Parameters<typeof findAccelerator>[0]) {
  const accelerator: Accelerator = { name: "kvm", reason: "" };
  const attempt = new Deno.Command("setpriv", {
    args: [
      ...["--pdeathsig", "KILL", machine.qemu],
      ...basicArguments({ ...machine, accelerator }),
      ...["-m", "512M", "-append", "panic=-1"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => attempt.kill("SIGKILL"), patience * 1000);
  const { success } = await attempt.status;
  clearTimeout(timer);
  return success;
}
