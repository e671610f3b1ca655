import {
  asRoot,
  exists,
  findProgram,
  firstExisting,
  run,
  say,
  UnavailableError,
} from "./host.ts";

/** Metapackages that depend on the newest small kernel: Debian's, Ubuntu's. */
const KERNELS = ["linux-image-cloud-amd64", "linux-image-virtual"];
const TOOLS = ["busybox-static", "kmod", "ndctl", "e2fsprogs", "libpmem2-dev"];
const MODULES = [
  "nfit",
  "nd_pmem",
  "dax_pmem",
  "device_dax",
  "virtio_pci",
  "virtio_blk",
  "ext4",
];
/** ext4 asks for it by a name that some kernels build in under another. */
const OPTIONAL_MODULES = ["crc32c_generic"];
const QEMU = "qemu-system-x86_64";

/** What the guest is made of, unpacked below `root` or installed on the host. */
export class Packages {
  readonly root: string;
  readonly release: string;

  private constructor(root: string) {
    this.root = root;
    const releases = [...Deno.readDirSync(`${root}/lib/modules`)];
    if (releases.length !== 1) {
      throw new Error(`Expected one kernel in ${root}/lib/modules`);
    }
    this.release = releases[0]!.name;
  }

  /** Downloads and unpacks what is not in `directory` from an earlier time. */
  static async fetch(directory: string): Promise<Packages> {
    const root = `${directory}/root`;
    const complete = `${directory}/complete`;
    if (exists(complete)) return new Packages(root);
    if (findProgram("apt-get") === null) {
      throw new UnavailableError(
        "The guest is put together from packages of Debian or Ubuntu: apt-get is missing",
      );
    }
    await Deno.remove(directory, { recursive: true }).catch(() => {});
    await Deno.mkdir(root, { recursive: true });

    const kernel = await kernelPackage();
    const release = kernel.replace("linux-image-", "");
    const names = [kernel, ...await missingTools()];
    // Debian's kernel package holds its modules, Ubuntu's doesn't.
    const modules = `linux-modules-${release}`;
    if (await isKnown(modules)) names.push(modules);
    await unpack(names, directory);

    const packages = new Packages(root);
    const extra = `linux-modules-extra-${release}`;
    try {
      await packages.moduleFiles();
    } catch (error) {
      if (!await isKnown(extra)) throw error;
      await unpack([extra], directory);
      await packages.moduleFiles();
    }
    await Deno.writeTextFile(complete, "");
    return packages;
  }

  get kernel(): string {
    return `${this.root}/boot/vmlinuz-${this.release}`;
  }

  /** An unpacked or installed program. */
  program(name: string): string {
    const folders = ["usr/bin", "bin", "usr/sbin", "sbin"];
    const path = firstExisting(
      folders.map((folder) => `${this.root}/${folder}/${name}`),
    ) ?? findProgram(name);
    if (path === null) {
      throw new UnavailableError(`Cannot find the program "${name}"`);
    }
    return path;
  }

  /** Folders with unpacked libraries. */
  get libraryFolders(): string[] {
    const triplet = "x86_64-linux-gnu";
    return [`${this.root}/usr/lib/${triplet}`, `${this.root}/lib/${triplet}`];
  }

  /** An unpacked or installed library, by its soname. */
  async library(soname: string): Promise<string | null> {
    const unpacked = firstExisting(
      this.libraryFolders.map((folder) => `${folder}/${soname}`),
    );
    if (unpacked !== null) return unpacked;
    const installed = await run(findProgram("ldconfig") ?? "ldconfig", ["-p"]);
    for (const line of installed.split("\n")) {
      const [name, path] = line.trim().split(" => ");
      if (name?.startsWith(`${soname} (`) && name.includes("x86-64")) {
        return path ?? null;
      }
    }
    return null;
  }

  /** The modules to bring along, with those they depend on. */
  async moduleFiles(): Promise<Set<string>> {
    await this.#kmod("depmod", ["-b", this.root, this.release]);
    const files = new Set<string>();
    for (const module of [...MODULES, ...OPTIONAL_MODULES]) {
      const args = ["-d", this.root, "-S", this.release, "--show-depends"];
      try {
        const depends = await this.#kmod("modprobe", [...args, module]);
        for (const [, file] of depends.matchAll(/^insmod (\S+)/gm)) {
          files.add(file!);
        }
      } catch (error) {
        if (!OPTIONAL_MODULES.includes(module)) throw error;
      }
    }
    return files;
  }

  /** kmod is one program that goes by the name it is called with. */
  async #kmod(name: string, args: string[]): Promise<string> {
    const link = `${this.root}/${name}`;
    if (!exists(link)) await Deno.symlink(this.program("kmod"), link);
    return await run(link, args);
  }
}

/** QEMU's path; it is the one package that gets installed. */
export async function findQemu(): Promise<string> {
  const found = findProgram(QEMU);
  if (found !== null) return found;
  const install = [
    "apt-get",
    "install",
    "--yes",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=120",
    "qemu-system-x86",
  ];
  const command = await asRoot(install);
  if (findProgram("apt-get") === null || command === null) {
    throw new UnavailableError(
      `${QEMU} is missing. On Debian and Ubuntu: sudo apt-get install --no-install-recommends qemu-system-x86`,
    );
  }
  say(`Installing qemu-system-x86, as ${QEMU} is missing`);
  await updatingIfNeeded(() =>
    run(command[0]!, command.slice(1), {
      env: { DEBIAN_FRONTEND: "noninteractive" },
    })
  );
  return findProgram(QEMU) ?? QEMU;
}

async function kernelPackage(): Promise<string> {
  return await updatingIfNeeded(async () => {
    for (const metapackage of KERNELS) {
      if (!await isKnown(metapackage)) continue;
      const depends = await run("apt-cache", ["depends", metapackage]);
      const kernel = /Depends: (linux-image-\d\S*)/.exec(depends)?.[1];
      if (kernel !== undefined) return kernel;
    }
    throw new UnavailableError(
      `No kernel package found: none of ${KERNELS.join(", ")} is known to apt`,
    );
  });
}

/** The tools and libraries that an installation would fetch. */
async function missingTools(): Promise<string[]> {
  const plan = await updatingIfNeeded(() =>
    run("apt-get", [
      "install",
      "--simulate",
      "--no-install-recommends",
      "--no-upgrade",
      ...TOOLS,
    ])
  );
  return [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name!);
}

async function isKnown(name: string): Promise<boolean> {
  const policy = await run("apt-cache", ["policy", name]);
  return /Candidate: (?!\(none\))/.test(policy);
}

/** Downloads the packages and unpacks them; nothing gets installed. */
async function unpack(names: string[], directory: string): Promise<void> {
  const archives = await Deno.makeTempDir({ dir: directory });
  say(`Downloading ${names.join(", ")}`);
  await updatingIfNeeded(() =>
    run("apt-get", ["download", "--quiet", ...names], { cwd: archives })
  );
  const root = `${directory}/root`;
  for await (const archive of Deno.readDir(archives)) {
    await run("dpkg", ["-x", `${archives}/${archive.name}`, root]);
  }
  await Deno.remove(archives, { recursive: true });
  // Which of the two a distribution packs and its kmod searches varies.
  if (!exists(`${root}/lib/modules`)) {
    await Deno.mkdir(`${root}/lib`, { recursive: true });
    await Deno.symlink("../usr/lib/modules", `${root}/lib/modules`);
  } else if (!exists(`${root}/usr/lib/modules`)) {
    await Deno.mkdir(`${root}/usr/lib`, { recursive: true });
    await Deno.symlink("../../lib/modules", `${root}/usr/lib/modules`);
  }
}

/** Package lists may be absent or stale: refreshes them once, then retries. */
async function updatingIfNeeded<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const update = await asRoot(["apt-get", "update"]);
    const reason = error instanceof Error ? error.message : String(error);
    if (update === null) {
      throw new UnavailableError(`${reason}\nTry: sudo apt-get update`);
    }
    say("Updating the package lists");
    await run(update[0]!, update.slice(1));
    try {
      return await action();
    } catch (error) {
      if (error instanceof UnavailableError) throw error;
      throw new UnavailableError(
        error instanceof Error ? error.message : String(error),
      );
    }
  }
}
