/**
 * Packages that are downloaded and unpacked, never installed: an apt with
 * directories of its own, so that it needs no root and changes nothing.
 *
 * @module
 */

import { run } from "./host.ts";

/** What Debian's releases are signed with. */
export const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface AptOptions {
  /** Where it keeps its lists and archives. */
  directory: string;
  /** Debian's name of the architecture. */
  architecture: string;
  /** Debian's name of a release; null: what the host's sources list. */
  release: string | null;
}

export class Apt {
  readonly #directory: string;
  readonly #options: string[];

  private constructor(directory: string, options: string[]) {
    this.#directory = directory;
    this.#options = options;
  }

  /** Reads the package lists. */
  static async update(
    { directory, architecture, release }: AptOptions,
  ): Promise<Apt> {
    for (const folder of ["lists/partial", "archives/partial"]) {
      await Deno.mkdir(`${directory}/${folder}`, { recursive: true });
    }
    await Deno.writeTextFile(`${directory}/status`, "");
    const settings: Record<string, string> = {
      "Dir::State::lists": `${directory}/lists`,
      "Dir::State::status": `${directory}/status`,
      "Dir::Cache": directory,
      "Dir::Cache::archives": `${directory}/archives`,
      // Images for containers turn these off: each call would read it all anew.
      "Dir::Cache::pkgcache": "pkgcache.bin",
      "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
      "APT::Architecture": architecture,
      "APT::Architectures": architecture,
      "Acquire::Languages": "none",
    };
    // As root it would else lack the permission for such a directory.
    if (Deno.uid() === 0) settings["APT::Sandbox::User"] = "root";
    if (release !== null) {
      settings["Dir::Etc::sourceparts"] = "/dev/null";
      settings["Dir::Etc::sourcelist"] = `${directory}/sources.list`;
      await Deno.writeTextFile(
        `${directory}/sources.list`,
        `deb [arch=${architecture} signed-by=${keyring}] ${await mirror()} ${release} main\n`,
      );
    }
    const options = Object.entries(settings).flatMap(([name, value]) => [
      "-o",
      `${name}=${value}`,
    ]);
    const apt = new Apt(directory, options);
    try {
      await run("apt-get", [...options, "update", "--quiet"]);
    } catch (error) {
      // One broken source of several may not matter.
      if (!await apt.knows("libc6")) throw error;
    }
    return apt;
  }

  /** Whether there is such a package. */
  async knows(name: string): Promise<boolean> {
    const policy = await run("apt-cache", [...this.#options, "policy", name]);
    return /Candidate: (?!\(none\))/.test(policy);
  }

  /** The first package that the package depends on and that matches. */
  async dependency(name: string, pattern: RegExp): Promise<string | null> {
    const depends = await run("apt-cache", [
      ...this.#options,
      "depends",
      "--important",
      name,
    ]);
    for (const [, dependency] of depends.matchAll(/Depends: (\S+)/g)) {
      if (pattern.test(dependency!)) return dependency!;
    }
    return null;
  }

  /** The packages and all that they depend on. */
  async closure(names: string[]): Promise<string[]> {
    const plan = await run("apt-get", [
      ...this.#options,
      "install",
      "--simulate",
      "--no-install-recommends",
      ...names,
    ]);
    return [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name!);
  }

  /** Downloads packages and unpacks them into a folder. */
  async unpack(names: string[], folder: string): Promise<void> {
    const archives = await Deno.makeTempDir({ dir: this.#directory });
    await run("apt-get", [...this.#options, "download", "--quiet", ...names], {
      cwd: archives,
    });
    for await (const { name } of Deno.readDir(archives)) {
      // dpkg-deb -x replaces links to folders, such as /lib, with folders.
      await run("sh", [
        "-c",
        'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner -C "$2"',
        "sh",
        `${archives}/${name}`,
        folder,
      ]);
    }
    await Deno.remove(archives, { recursive: true });
  }
}

/** The host's mirror if it runs Debian, else the one for everybody. */
async function mirror(): Promise<string> {
  const uris = await run("apt-get", ["indextargets", "--format=$(REPO_URI)"]);
  const host = /^\S+\/debian\/?$/m.exec(uris)?.[0];
  return host ?? "http://deb.debian.org/debian";
}
