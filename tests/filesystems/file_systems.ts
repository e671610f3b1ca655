/**
 * The file systems that the tests are run on, each made when it's its turn.
 *
 * @module
 */

import { tryTo } from "./host.ts";

/** Why a file system can't be had here. */
export class Unavailable extends Error {}

export interface FileSystem {
  readonly name: string;
  /** Mounts it; the directory. What is to be undone goes onto the stack. */
  mount(stack: DisposableStack): string;
}

/** Sparse: what is not written takes no disk. */
const IMAGE_SIZE = 768 * 2 ** 20;

function run(name: string, ...args: string[]): void {
  const failure = tryTo(name, ...args);
  if (failure === "") return;
  throw new Unavailable(
    failure === null
      ? `there is no ${name}`
      : `${name}: ${failure.split("\n").at(-1)}`,
  );
}

function requireKernel(type: string): void {
  const known = () =>
    Deno.readTextFileSync("/proc/filesystems").split(/\s+/).includes(type);
  if (known()) return;
  tryTo("modprobe", type);
  if (!known()) throw new Unavailable(`the kernel has no ${type}`);
}

/** A directory, gone at the end. */
export function temporary(stack: DisposableStack): string {
  const directory = Deno.makeTempDirSync({ prefix: "pmem2_fs_" });
  stack.defer(() => Deno.removeSync(directory, { recursive: true }));
  return directory;
}

function mountAt(
  stack: DisposableStack,
  target: string,
  ...args: string[]
): string {
  Deno.mkdirSync(target);
  run("mount", ...args, target);
  // Memory that is about to be unmapped may keep it busy.
  stack.defer(() => {
    if (tryTo("umount", target) !== "") tryTo("umount", "--lazy", target);
  });
  return target;
}

/** One that lies on an image. */
function onImage(type: string, ...mkfs: string[]): FileSystem["mount"] {
  return (stack) => {
    requireKernel(type);
    const directory = temporary(stack);
    const image = `${directory}/image`;
    Deno.createSync(image).close();
    Deno.truncateSync(image, IMAGE_SIZE);
    run(`mkfs.${type}`, ...mkfs, image);
    return mountAt(
      stack,
      `${directory}/mounted`,
      "-t",
      type,
      "-o",
      "loop",
      image,
    );
  };
}

export const fileSystems: readonly FileSystem[] = [
  { name: "ext4", mount: onImage("ext4", "-q", "-F") },
  { name: "xfs", mount: onImage("xfs", "-q") },
  { name: "btrfs", mount: onImage("btrfs", "-q") },
  {
    name: "tmpfs",
    mount(stack) {
      requireKernel("tmpfs");
      const directory = temporary(stack);
      return mountAt(
        stack,
        `${directory}/mounted`,
        "-t",
        "tmpfs",
        "-o",
        `size=${IMAGE_SIZE}`,
        "tmpfs",
      );
    },
  },
  { name: "ext2", mount: onImage("ext2", "-q", "-F") },
  {
    name: "overlayfs",
    mount(stack) {
      requireKernel("overlay");
      const below = onImage("ext4", "-q", "-F")(stack);
      const [lower, upper, work] = ["lower", "upper", "work"].map((name) => {
        Deno.mkdirSync(`${below}/${name}`);
        return `${below}/${name}`;
      });
      return mountAt(
        stack,
        `${temporary(stack)}/mounted`,
        "-t",
        "overlay",
        "-o",
        `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
        "overlay",
      );
    },
  },
  {
    name: "FUSE",
    mount(stack) {
      requireKernel("fuse");
      if (tryTo("test", "-e", "/dev/fuse") !== "") {
        throw new Unavailable("there is no /dev/fuse");
      }
      const below = onImage("ext4", "-q", "-F")(stack);
      const target = `${temporary(stack)}/mounted`;
      Deno.mkdirSync(target);
      run("bindfs", below, target);
      stack.defer(() => {
        if (tryTo("umount", target) !== "") tryTo("umount", "--lazy", target);
      });
      return target;
    },
  },
];
