import { run } from "./host.ts";
import type { Packages } from "./packages.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
/** Libraries that are opened at run time; the first is indispensable. */
const LIBRARIES = ["libpmem2.so.1", "libffi.so.8"];

/**
 * Builds the guest's root file system, an initramfs, in `directory`; `denoDir`
 * is a cache for the project's dependencies.
 */
export async function buildImage(
  packages: Packages,
  directory: string,
  denoDir: string,
): Promise<string> {
  const root = `${directory}/root`;
  const initrd = `${directory}/initrd.img`;
  for (const folder of ["bin", "sbin", "lib", "lib64"]) {
    await Deno.mkdir(`${root}/usr/${folder}`, { recursive: true });
    await Deno.symlink(`usr/${folder}`, `${root}/${folder}`);
  }
  const folders = [
    "dev",
    "proc",
    "sys",
    "tmp",
    "root",
    "mnt/fsdax",
    "mnt/ext4",
  ];
  for (const folder of folders) {
    await Deno.mkdir(`${root}/${folder}`, { recursive: true });
  }
  await copyPrograms(packages, root);
  await copyModules(packages, root);
  await copyConfiguration(root);
  await copyProject(root, denoDir);
  await run("sh", [
    "-c",
    'cd "$1" && find . | "$2" cpio -o -H newc > "$3"',
    "sh",
    root,
    packages.program("busybox"),
    initrd,
  ]);
  await Deno.remove(root, { recursive: true });
  return initrd;
}

async function copyPrograms(packages: Packages, root: string): Promise<void> {
  // The guest's shell would run its own applet for the name mke2fs.
  const programs = new Map([
    ["/usr/bin/busybox", packages.program("busybox")],
    ["/usr/bin/kmod", packages.program("kmod")],
    ["/usr/bin/ndctl", packages.program("ndctl")],
    ["/usr/sbin/mkfs.ext4", packages.program("mke2fs")],
    ["/usr/sbin/filefrag", packages.program("filefrag")],
    ["/usr/bin/deno", Deno.execPath()],
  ]);
  const needed = new Set<string>();
  for (const [path, source] of programs) {
    await Deno.copyFile(source, root + path);
    for (const file of await libraries(packages, source)) needed.add(file);
  }
  await Deno.symlink("../bin/kmod", `${root}/usr/sbin/modprobe`);
  await Deno.symlink("busybox", `${root}/usr/bin/sh`);

  for (const soname of LIBRARIES) {
    const library = await packages.library(soname);
    if (library === null) {
      if (soname === LIBRARIES[0]) throw new Error(`Cannot find ${soname}`);
      continue;
    }
    needed.add(library);
    for (const file of await libraries(packages, library)) needed.add(file);
  }
  for (const file of needed) {
    const target = root + file.replace(packages.root, "");
    await Deno.mkdir(target.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(file, target);
  }
}

/** What the dynamic linker would load for the program or library. */
async function libraries(packages: Packages, file: string): Promise<string[]> {
  let listing: string;
  try {
    listing = await run("ldd", [file], {
      env: { LD_LIBRARY_PATH: packages.libraryFolders.join(":"), LC_ALL: "C" },
    });
  } catch (error) {
    if (String(error).includes("not a dynamic executable")) return [];
    throw error;
  }
  const missing = /^\s*(\S+) => not found/m.exec(listing)?.[1];
  if (missing !== undefined) {
    throw new Error(`Cannot find ${missing}, which ${file} needs`);
  }
  return [...listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, path]) =>
    path!
  );
}

async function copyModules(packages: Packages, root: string): Promise<void> {
  for (const file of await packages.moduleFiles()) {
    const target = root + file.replace(packages.root, "");
    await Deno.mkdir(target.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(file, target);
  }
  const folder = `lib/modules/${packages.release}`;
  for await (const { name } of Deno.readDir(`${packages.root}/${folder}`)) {
    if (!name.startsWith("modules.")) continue;
    await Deno.copyFile(
      `${packages.root}/${folder}/${name}`,
      `${root}/${folder}/${name}`,
    );
  }
}

async function copyConfiguration(root: string): Promise<void> {
  await Deno.mkdir(`${root}/etc`);
  await Deno.writeTextFile(
    `${root}/etc/passwd`,
    "root:x:0:0:root:/root:/bin/sh\n",
  );
  await Deno.writeTextFile(`${root}/etc/group`, "root:x:0:\n");
  const guest = new URL("./guest/", import.meta.url).pathname;
  await Deno.copyFile(`${guest}/init.sh`, `${root}/init`);
  await Deno.chmod(`${root}/init`, 0o755);
}

/** The project, and what its imports resolve to: the guest has no network. */
async function copyProject(root: string, denoDir: string): Promise<void> {
  const modules: string[] = [];
  const copy = async (folder: string) => {
    await Deno.mkdir(`${root}/project/${folder}`, { recursive: true });
    for await (const entry of Deno.readDir(`${PROJECT}/${folder}`)) {
      const path = `${folder}${entry.name}`;
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      if (entry.isDirectory) await copy(`${path}/`);
      if (!entry.isFile) continue;
      await Deno.copyFile(`${PROJECT}/${path}`, `${root}/project/${path}`);
      if (path.endsWith(".ts")) modules.push(path);
    }
  };
  await copy("");
  await run(Deno.execPath(), [
    "install",
    "--node-modules-dir=none",
    "--entrypoint",
    ...modules,
  ], { cwd: `${root}/project`, env: { DENO_DIR: denoDir } });
  await run("cp", ["-a", denoDir, `${root}/deno_dir`]);
  const registry = Deno.env.get("NPM_CONFIG_REGISTRY");
  await Deno.writeTextFile(
    `${root}/environment`,
    registry === undefined ? "" : `export NPM_CONFIG_REGISTRY='${registry}'\n`,
  );
}
