/**
 * What every machine is started from: QEMU, a kernel, and what the guest's root
 * is made of. Downloaded and built once, then taken from the cache.
 *
 * @module
 */

import { Apt, keyring } from "./apt.ts";
import {
  type Architecture,
  type ArchitectureName,
  architectures,
} from "./architecture.ts";
import { lock } from "./cache.ts";
import { packCpio } from "./cpio.ts";
import {
  exists,
  findProgram,
  installPrograms,
  run,
  UnavailableError,
} from "./host.ts";
import { type Accelerator, findAccelerator } from "./kvm.ts";
import { readModules } from "./modules.ts";
import type { Report } from "./report.ts";
import { makeSquashfs } from "./squashfs.ts";

/** Change it with whatever the cache holds. */
const cacheVersion = 2;
/** What the guest's programs are linked with, or open at run time. */
const libraries = ["libc6", "libgcc-s1", "libpmem2", "libffi8", "libstdc++6"];
const tools = ["busybox-static", "e2fsprogs"];

/** What every machine is started from. */
export interface Equipment {
  readonly architecture: Architecture;
  readonly qemu: string;
  /** As in "7.2.18". */
  readonly qemuVersion: string;
  readonly firmware: string | null;
  readonly kernel: string;
  /** As in "6.1.0-56-cloud-amd64". */
  readonly release: string;
  /** The first root file system, to which a job is to be added. */
  readonly initrd: string;
  /** The image of the system's files, Deno among them. */
  readonly system: string;
  readonly accelerator: Accelerator;
}

/** Gathers it all; what is missing in the cache is downloaded and built. */
export async function equip(
  cache: string,
  name: ArchitectureName,
  report: Report,
): Promise<Equipment> {
  if (Deno.build.os !== "linux") {
    throw new UnavailableError("The machine needs a host that runs Linux");
  }
  const architecture = architectures[name];
  const folder = `${cache}/${name}`;
  await Deno.mkdir(folder, { recursive: true });
  using _lock = await lock(`${folder}/lock`);
  await installPrograms({
    [architecture.qemu]: architecture.qemuPackage,
    mksquashfs: "squashfs-tools",
    mke2fs: "e2fsprogs",
    setpriv: "util-linux",
    "dpkg-deb": "dpkg",
    tar: "tar",
    ...architecture.firmware &&
      { [architecture.firmware.path]: architecture.firmware.package },
    ...architecture.release && { [keyring]: "debian-archive-keyring" },
    // What modules may be compressed with.
    xz: "xz-utils",
    zstd: "zstd",
  }, (message) => report.progress(message));

  const packages = `${folder}/packages`;
  const release = await fetchPackages(folder, packages, architecture, report);
  const kernel = `${folder}/vmlinuz`;
  const initrd = `${folder}/initrd.img`;
  const system = await buildSystem(folder, packages, architecture, report);
  const qemu = findProgram(architecture.qemu)!;
  const qemuVersion =
    /version (\S+)/.exec(await run(qemu, ["--version"]))?.[1] ?? "";
  const machine = {
    architecture,
    qemu,
    qemuVersion,
    firmware: architecture.firmware?.path ?? null,
    kernel,
    release,
  };
  const accelerator = await findAccelerator(machine, folder, report);
  return { ...machine, initrd, system, accelerator };
}

/** Downloads and unpacks what is missing; returns the kernel's release. */
async function fetchPackages(
  folder: string,
  packages: string,
  architecture: Architecture,
  report: Report,
): Promise<string> {
  const complete = `${folder}/complete`;
  const version = `${cacheVersion} ${await distribution()}`;
  const [found, release] = exists(complete)
    ? (await Deno.readTextFile(complete)).split("\n")
    : [];
  if (found === version) return release!;
  if (findProgram("apt-get") === null) {
    throw new UnavailableError(
      "Cannot find apt-get: the guest is made of packages of Debian or Ubuntu",
    );
  }
  for await (const { name } of Deno.readDir(folder)) {
    if (name !== "lock") {
      await Deno.remove(`${folder}/${name}`, { recursive: true });
    }
  }
  await makeRoot(packages);
  report.progress("Reading the package lists");
  const directory = `${folder}/apt`;
  const apt = await Apt.update({
    directory,
    architecture: architecture.debian,
    release: architecture.release,
  });
  const kernel = await findKernel(apt, architecture);
  const names = [kernel.name, ...await apt.closure([...libraries, ...tools])];
  // Debian's kernel package holds its modules, Ubuntu's doesn't.
  const modules = `linux-modules-${kernel.release}`;
  if (await apt.knows(modules)) names.push(modules);
  report.progress(
    `Downloading ${kernel.name} and ${names.length - 1} more packages`,
  );
  await apt.unpack(names, packages);
  const initrd = `${folder}/initrd.img`;
  try {
    await buildInitrd(packages, kernel.release, initrd);
  } catch (error) {
    const more = `linux-modules-extra-${kernel.release}`;
    if (!await apt.knows(more)) throw error;
    await apt.unpack([more], packages);
    await buildInitrd(packages, kernel.release, initrd);
  }
  const boot = `${packages}/boot/vmlinuz-${kernel.release}`;
  await Deno.rename(boot, `${folder}/vmlinuz`);
  const unused = [
    ...["boot", "usr/lib/modules", "usr/share/doc", "usr/share/man"],
    ...["usr/share/locale", "etc"],
  ];
  for (const name of unused) {
    await Deno.remove(`${packages}/${name}`, { recursive: true }).catch(
      () => {},
    );
  }
  await Deno.remove(directory, { recursive: true });
  await Deno.writeTextFile(complete, `${version}\n${kernel.release}\n`);
  return kernel.release;
}

/** What the cache depends on, as in "debian 12". */
async function distribution(): Promise<string> {
  const text = await Deno.readTextFile("/etc/os-release").catch(() => "");
  const get = (name: string) =>
    new RegExp(`^${name}="?([^"\n]*)`, "m").exec(text)?.[1] ?? "";
  return `${get("ID")} ${get("VERSION_ID")}`;
}

/** A root in which /bin, /lib and so on are parts of /usr, as everywhere today. */
async function makeRoot(root: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    await Deno.mkdir(`${root}/usr/${name}`, { recursive: true });
    await Deno.symlink(`usr/${name}`, `${root}/${name}`);
  }
}

async function findKernel(
  apt: Apt,
  architecture: Architecture,
): Promise<{ name: string; release: string }> {
  for (const metapackage of architecture.kernels) {
    if (!await apt.knows(metapackage)) continue;
    const name = await apt.dependency(metapackage, /^linux-image-\d/);
    if (name !== null) {
      return { name, release: name.replace("linux-image-", "") };
    }
  }
  throw new UnavailableError(
    `None of these packages is known to apt: ${
      architecture.kernels.join(", ")
    }`,
  );
}

/** The first root: a shell and the modules; a task brings the first process. */
async function buildInitrd(
  packages: string,
  release: string,
  target: string,
): Promise<void> {
  const modules = await readModules(`${packages}/usr/lib/modules/${release}`);
  const folders = ["bin", "dev", "proc", "sys", "modules", "root", "images"];
  const entries = [
    ...folders.map((name) => ({ name, mode: 0o755 })),
    ...["system", "project", "layer"].map((name) => ({
      name: `images/${name}`,
      mode: 0o755,
    })),
    {
      name: "bin/busybox",
      mode: 0o755,
      content: await Deno.readFile(`${packages}/usr/bin/busybox`),
    },
    ...modules.map(({ name, content }, index) => ({
      name: `modules/${String(index).padStart(3, "0")}-${name}.ko`,
      mode: 0o644,
      content,
    })),
  ];
  await Deno.writeFile(target, packCpio(entries));
}

/** The image with the system's files and the Deno that runs this tool. */
async function buildSystem(
  folder: string,
  packages: string,
  architecture: Architecture,
  report: Report,
): Promise<string> {
  const path = `${folder}/system.squashfs`;
  const key = `${folder}/system.key`;
  const deno = Deno.execPath();
  const { size, mtime } = await Deno.stat(deno);
  const wanted = [deno, Deno.version.deno, size, mtime?.getTime()].join(" ");
  if (exists(path) && exists(key) && await Deno.readTextFile(key) === wanted) {
    return path;
  }
  report.progress("Building the image of the system");
  const program = await denoFor(architecture, folder);
  const root = `${folder}/root`;
  await Deno.remove(root, { recursive: true }).catch(() => {});
  await run("cp", ["-a", "--link", packages, root]);
  const folders = ["dev", "proc", "sys", "tmp", "run", "root", "mnt", "etc"];
  for (const name of folders) {
    await Deno.mkdir(`${root}/${name}`, { recursive: true });
  }
  for (const name of ["pmem", "disk", "failing"]) {
    await Deno.mkdir(`${root}/mnt/${name}`);
  }
  const files = {
    passwd: "root:x:0:0:root:/root:/bin/sh\n",
    group: "root:x:0:\n",
    hosts: "127.0.0.1 localhost\n::1 localhost\n",
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${root}/etc/${name}`, text);
  }
  // Scripts find it where it is on the host, and by its name.
  const place = root + await Deno.realPath(deno);
  await Deno.mkdir(place.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.copyFile(program, place);
  await Deno.chmod(place, 0o755);
  for (const name of new Set(["/usr/bin/deno", deno])) {
    if (exists(root + name)) continue;
    await Deno.mkdir((root + name).replace(/\/[^/]*$/, ""), {
      recursive: true,
    });
    await Deno.symlink(await Deno.realPath(deno), root + name);
  }
  await makeSquashfs([root], path, { keepPaths: false });
  await Deno.remove(root, { recursive: true });
  await Deno.remove(`${folder}/deno_dir`, { recursive: true }).catch(() => {});
  await Deno.writeTextFile(key, wanted);
  return path;
}

/** This Deno, or the same version for another architecture, from npm. */
async function denoFor(
  { deno, debian }: Architecture,
  folder: string,
): Promise<string> {
  if (deno === Deno.build.arch) return Deno.execPath();
  const name = `@deno/linux-${debian === "amd64" ? "x64" : "arm64"}-glibc`;
  const version = Deno.version.deno;
  const denoDir = `${folder}/deno_dir`;
  await run(Deno.execPath(), [
    "cache",
    "--no-config",
    "--no-lock",
    `npm:${name}@${version}`,
  ], {
    env: { DENO_DIR: denoDir },
    cwd: folder,
  });
  for await (const { name: host } of Deno.readDir(`${denoDir}/npm`)) {
    const path = `${denoDir}/npm/${host}/${name}/${version}/deno`;
    if (exists(path)) return path;
  }
  throw new UnavailableError(`Cannot find Deno in npm's package ${name}`);
}
