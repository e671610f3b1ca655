/**
 * QEMU's command line.
 *
 * @module
 */

import type { Architecture } from "./architecture.ts";
import type { Accelerator } from "./kvm.ts";
import { devdaxSize } from "./media.ts";

const MiB = 1024 * 1024;

/** The streams between guest and host, each a socket of this name. */
export const ports = ["control", "stdout", "stderr", "acknowledged"] as const;

/** What the machine is made of but for its devices. */
export interface BasicOptions {
  readonly architecture: Architecture;
  readonly accelerator: Accelerator;
  readonly firmware: string | null;
  readonly kernel: string;
}

export interface DeviceOptions {
  /** Bytes of the memory, and of the persistent memory. */
  memory: number;
  size: number;
  failingDisk: boolean;
  /** The first root file system, with the job. */
  initrd: string;
}

/** The arguments but for the devices. */
export function basicArguments(
  { architecture, accelerator, firmware, kernel }: BasicOptions,
  eadr = false,
): string[] {
  const machine = architecture.debian === "amd64"
    ? `q35,nvdimm=on,nvdimm-persistence=${eadr ? "cpu" : "mem-ctrl"}`
    : "virt,nvdimm=on,gic-version=max";
  return [
    ...["-machine", machine],
    ...["-accel", accelerator.name === "kvm" ? "kvm" : "tcg,thread=multi"],
    ...["-cpu", accelerator.name === "kvm" ? "max" : architecture.cpu],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...firmware === null ? [] : ["-bios", firmware],
    ...["-kernel", kernel],
  ];
}

/**
 * The arguments for the devices. All of their files lie in the working directory
 * of QEMU: so no path has a comma that would have to be doubled, and none is
 * longer than what a socket may have.
 */
export function deviceArguments(
  basic: BasicOptions,
  { memory, size, failingDisk, initrd }: DeviceOptions,
): string[] {
  const nvdimm = (name: string, size: number) => [
    "-object",
    `memory-backend-file,id=${name},share=on,mem-path=${name}.img,size=${size},align=2M`,
    ...["-device", `nvdimm,id=nvdimm-${name},memdev=${name}`],
  ];
  const disk = (name: string, file: string, filter: string) => [
    ...["-blockdev", `node-name=${name}-file,driver=file,filename=${file}`],
    ...["-blockdev", `node-name=${name},${filter}=${name}-file`],
    "-device",
    `virtio-blk-pci,drive=${name},serial=${name},werror=report,rerror=report`,
  ];
  const image = (name: string) =>
    disk(
      name,
      `${name}.squashfs,read-only=on`,
      "driver=raw,read-only=on,file",
    );
  const largest = memory + size + devdaxSize + 1024 * MiB;
  return [
    ...["-smp", "1", "-m"],
    `${memory / MiB}M,slots=4,maxmem=${Math.ceil(largest / MiB)}M`,
    ...nvdimm("pmem", size),
    ...nvdimm("devdax", devdaxSize),
    ...image("system"),
    ...image("project"),
    ...disk("disk", "disk.img", "driver=raw,file"),
    ...failingDisk
      ? disk(
        "failing",
        "failing.img",
        "driver=blkdebug,config=failing.conf,image",
      )
      : [],
    ...["-device", "virtio-serial-pci"],
    ...ports.flatMap((name) => [
      ...[
        "-chardev",
        `socket,id=${name},path=${name}.socket,server=on,wait=off`,
      ],
      ...["-device", `virtserialport,chardev=${name},name=${name}`],
    ]),
    ...["-chardev", "file,id=out,path=out.tar"],
    ...["-device", "virtserialport,chardev=out,name=out"],
    ...["-serial", "file:console.log"],
    ...["-initrd", initrd],
    ...["-append", kernelArguments(basic)],
  ];
}

function kernelArguments(
  { architecture, accelerator }: BasicOptions,
): string {
  return [
    `console=${architecture.console}`,
    "quiet",
    "panic=-1",
    // Without it the timer's check fails now and then on a busy host.
    ...architecture.debian === "amd64" ? ["no_timer_check"] : [],
    ...accelerator.name === "tcg" ? ["mitigations=off"] : [],
    "random.trust_cpu=on",
  ].join(" ");
}
