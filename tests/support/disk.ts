/**
 * File systems of one's own, for what depends on them: mounted, and gone at the
 * end. They take privileges, and belong in a mount namespace of their own.
 *
 * @module
 */

import { Scratch } from "./scratch.ts";

const MIB = 2 ** 20;

/** What can be mounted, and how. */
export type DiskType =
  | "ext4"
  | "ext2"
  | "xfs"
  | "btrfs"
  | "tmpfs"
  | "ramfs"
  | "fuse";

/** Makes one in an image, of at least so many bytes. */
const images: Partial<Record<DiskType, { least: number; make: string[] }>> = {
  ext4: { least: 8 * MIB, make: ["mkfs.ext4", "-q", "-F"] },
  // Without a journal it goes on where the disk fails.
  ext2: { least: 4 * MIB, make: ["mkfs.ext2", "-q", "-F"] },
  xfs: { least: 320 * MIB, make: ["mkfs.xfs", "-q", "-f"] },
  btrfs: { least: 128 * MIB, make: ["mkfs.btrfs", "-q", "-f"] },
};

function execute(command: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(command, { args })
    .outputSync();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout).trim();
  throw new Error(`${command}: ${decoder.decode(stderr)}`);
}

/** A file system of its own. */
export class Disk implements Disposable {
  readonly #scratch: Scratch;
  readonly #undo = new DisposableStack();
  #server: Deno.ChildProcess | null = null;
  readonly directory: string;

  /**
   * @param size In bytes; not all types have one. 0 for a tmpfs without a limit.
   * @param folder Where the image of a disk lies.
   */
  constructor(type: DiskType, size: number = 320 * MIB, folder?: string) {
    this.#scratch = this.#undo.use(new Scratch());
    this.directory = this.#scratch.path("mounted");
    Deno.mkdirSync(this.directory);
    try {
      this.#mount(type, size, folder ?? this.#scratch.directory);
    } catch (error) {
      this.#undo.dispose();
      throw error;
    }
  }

  #mount(type: DiskType, size: number, folder: string): void {
    const { directory } = this;
    const image = images[type];
    if (type === "fuse") {
      this.#serve();
    } else if (image === undefined) {
      execute("mount", "-t", type, "-o", `size=${size}`, "none", directory);
    } else {
      const path = `${folder}/image`;
      Deno.createSync(path).close();
      this.#undo.defer(() => Deno.removeSync(path));
      Deno.truncateSync(path, Math.max(size, image.least));
      execute(image.make[0]!, ...image.make.slice(1), path);
      execute("mount", "-o", "loop", path, directory);
    }
    this.#undo.defer(() => execute("umount", directory));
  }

  /** Starts the server of a file system in memory, and waits until it's mounted. */
  #serve(): void {
    const program = this.#scratch.path("fuse");
    const source = new URL("fuse.c", import.meta.url).pathname;
    execute("cc", "-O1", "-o", program, source);
    const server = new Deno.Command(program, {
      args: [this.directory],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    server.unref();
    this.#server = server;
    this.#undo.defer(() => server.kill("SIGKILL"));
    const end = Date.now() + 10_000;
    while (!isMounted(this.directory)) {
      if (Date.now() > end) throw new Error("the FUSE server doesn't start");
    }
  }

  /** Whether the FUSE file system stores nothing; it may take a moment. */
  set failing(failing: boolean) {
    this.#server!.kill(failing ? "SIGUSR1" : "SIGUSR2");
  }

  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  /** What statvfs tells of it, in bytes. */
  get room(): number {
    const [size, blocks] = execute("stat", "-f", "-c", "%S %a", this.directory)
      .split(" ").map(Number);
    return size! * blocks!;
  }

  /** Takes all the room but a few MiB, which some need for themselves. */
  fill(): void {
    for (let length = this.room;; length -= MIB) {
      const args = ["-l", `${length}`, this.path("filling")];
      const { success } = new Deno.Command("fallocate", { args }).outputSync();
      if (success) break;
    }
  }

  [Symbol.dispose](): void {
    this.#undo.dispose();
  }
}

function isMounted(directory: string): boolean {
  return Deno.readTextFileSync("/proc/self/mounts").split("\n")
    .some((line) => line.split(" ")[1] === directory);
}

/** Why there can't be a disk of a type here, or null. */
export function diskObstacle(type: DiskType): string | null {
  // What is mounted everybody would see, else.
  if (!Deno.env.has("PMEM2_TEST_MOUNTS")) {
    return "it is part of deno task test:filesystems";
  }
  try {
    new Disk(type)[Symbol.dispose]();
    return null;
  } catch (error) {
    return (error as Error).message.split("\n")[0]!;
  }
}
