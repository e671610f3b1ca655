/**
 * The kernel modules that the guest loads, in the order in which it does.
 *
 * @module
 */

import { run, UnavailableError } from "./host.ts";

const wanted = [
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "squashfs",
  "overlay",
  "libcrc32c",
  "ext4",
  "nfit",
  "nd_pmem",
  "dax_pmem",
  "device_dax",
];
/** What is built in under another name, or not needed, in some kernels. */
const optional = ["libcrc32c", "crc32c_generic"];

/**
 * Reads the modules from the folder of a kernel's modules, with those that they
 * depend on; what is built into the kernel is left out.
 *
 * @param folder As in "/lib/modules/6.1.0".
 */
export async function readModules(
  folder: string,
): Promise<{ name: string; content: Uint8Array }[]> {
  const files = new Map<string, string>();
  await findModules(`${folder}/kernel`, files);
  const builtIn = new Set(
    (await Deno.readTextFile(`${folder}/modules.builtin`)).split("\n").map(
      nameOf,
    ),
  );
  const modules = new Map<string, { name: string; content: Uint8Array }>();
  const load = async (name: string) => {
    if (modules.has(name) || builtIn.has(name)) return;
    const path = files.get(name);
    if (path === undefined) {
      if (optional.includes(name)) return;
      throw new UnavailableError(`The kernel has no module ${name}: ${folder}`);
    }
    const content = await readModule(path);
    for (const dependency of dependencies(content)) await load(dependency);
    modules.set(name, { name, content });
  };
  // ext4 asks for it by a name that no dependency tells.
  for (const name of ["crc32c_generic", ...wanted]) await load(name);
  return [...modules.values()];
}

/** The modules in the folder and below, by name. */
async function findModules(
  folder: string,
  files: Map<string, string>,
): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) await findModules(path, files);
    else if (/\.ko(\.\w+)?$/.test(name)) files.set(nameOf(name), path);
  }
}

/** The kernel takes "-" and "_" for the same. */
function nameOf(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.ko.*$/, "").replaceAll("-", "_");
}

/** The module, not compressed: not every kernel does that itself. */
async function readModule(path: string): Promise<Uint8Array> {
  const tool = path.endsWith(".xz")
    ? "xz"
    : path.endsWith(".zst")
    ? "zstd"
    : null;
  if (tool === null) return await Deno.readFile(path);
  const plain = path.replace(/\.\w+$/, "");
  await run(tool, ["--decompress", "--keep", "--force", "--quiet", path]);
  return await Deno.readFile(plain);
}

/** What the module says about itself, as in "depends=virtio,virtio_ring". */
function dependencies(content: Uint8Array): string[] {
  const text = new TextDecoder("latin1").decode(content);
  const list = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? "";
  return list.split(",").filter(Boolean).map(nameOf);
}
