/**
 * What a command needs of the host's files, and of its environment.
 *
 * @module
 */

import { architectures } from "./architecture.ts";
import type { Options } from "./arguments.ts";
import { places } from "./guest.ts";
import { exists, run, UnavailableError } from "./host.ts";
import { makeSquashfs } from "./squashfs.ts";

/** What is taken over from the host's environment without being asked for. */
const inherited = [
  "CI",
  "COLORTERM",
  "FORCE_COLOR",
  "HOME",
  "JSR_NPM_URL",
  "JSR_URL",
  "LANG",
  "LC_ALL",
  "NO_COLOR",
  "NPM_CONFIG_REGISTRY",
  "TERM",
  "TZ",
];

/** The folders and files that are brought along, by their real paths. */
export interface Project {
  /** The command's working directory. */
  readonly directory: string;
  readonly denoDir: string;
  readonly folders: string[];
}

/** Finds what to bring along. */
export async function findProject(options: Options): Promise<Project> {
  const directory = Deno.cwd();
  const { denoDir } = JSON.parse(
    await run(Deno.execPath(), ["info", "--json", "--no-config"]),
  );
  await Deno.mkdir(denoDir, { recursive: true });
  const wanted = [directory, denoDir, ...options.roots];
  const library = libraryFor(options);
  if (library !== null) wanted.push(library);
  const found = new Set<string>();
  for (const path of wanted) {
    if (!exists(path)) throw new UnavailableError(`Cannot find ${path}`);
    found.add(Deno.realPathSync(path));
  }
  const folders = [...found].filter((path) =>
    ![...found].some((other) => path.startsWith(`${other}/`))
  );
  if (folders.includes("/")) {
    throw new UnavailableError("Cannot bring along the whole of /");
  }
  return { directory, denoDir: Deno.realPathSync(denoDir), folders };
}

/** The real path of the libpmem2 that's to be used in place of the guest's. */
function libraryFor({ architecture }: Options): string | null {
  const library = Deno.env.get("PMEM2_LIBRARY");
  const foreign = architectures[architecture].deno !== Deno.build.arch;
  return library && !foreign ? Deno.realPathSync(library) : null;
}

/** Packs it, without what a cache or git keeps there. */
export async function packProject(
  project: Project,
  cache: string,
  target: string,
): Promise<void> {
  await makeSquashfs(project.folders, target, {
    keepPaths: true,
    exclude: [cache, ...project.folders.map((folder) => `${folder}/.git`)],
  });
}

/** The registries of npm's settings; the rest, with its secrets, stays here. */
export function registriesOf(npmrc: string): string {
  return npmrc.split("\n").filter((line) =>
    /^\s*(@[^:]+:)?registry\s*=/.test(line)
  ).map((line) => `${line}\n`).join("");
}

/** The variables that a command finds in the guest. */
export function environmentFor(
  options: Options,
  project: Project,
): Map<string, string> {
  const environment = new Map<string, string>();
  for (const name of inherited) {
    const value = Deno.env.get(name);
    if (value !== undefined) environment.set(name, value);
  }
  // In the guest nothing is a terminal.
  const colors = Deno.stdout.isTerminal() && !Deno.noColor;
  if (!environment.has("FORCE_COLOR")) {
    environment.set(colors ? "FORCE_COLOR" : "NO_COLOR", "1");
  }
  const folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
  environment.set("PATH", folders.join(":"));
  environment.set("DENO_DIR", project.denoDir);
  environment.set("DENO_NO_UPDATE_CHECK", "1");
  environment.set("PMEM_GRANULARITY", options.eadr ? "byte" : "cache-line");
  environment.set("PMEM2_TEST_DIR", places.PMEM_DIR);
  const library = libraryFor(options);
  if (library !== null) environment.set("PMEM2_LIBRARY", library);
  for (const [name, value] of options.env) environment.set(name, value);
  return environment;
}

/**
 * Lets Deno do on the host what is slow or impossible in the guest: download
 * what is missing and check the types. The guest finds both in DENO_DIR.
 *
 * @returns Deno's exit status, which is not 0 if the command can't succeed.
 */
export async function prepareDeno(command: string[]): Promise<number> {
  const args = preparation(command);
  if (args === null) return 0;
  const { code } = await new Deno.Command(Deno.execPath(), {
    args,
    stdin: "null",
    // Standard output is the command's alone.
    stdout: "null",
    stderr: "inherit",
  }).output();
  return code;
}

const flagsForCaching =
  /^(--(config|import-map|lock|no-lock|frozen|no-config|allow-import|node-modules-dir|vendor|unstable)\b.*|-c)$/;

/** What Deno is to do on the host before it's called so in the guest. */
export function preparation(command: string[]): string[] | null {
  const [program, ...args] = command;
  if (program === "sh" && args.length === 2 && args[0] === "-c") {
    const line = args[1]!.trim();
    const plain = !/["'\\$`|&;<>()*?\n]/.test(line);
    return plain ? preparation(line.split(/\s+/)) : null;
  }
  if (program !== "deno" && program !== Deno.execPath()) return null;
  const [subcommand, ...rest] = args;
  switch (subcommand) {
    case "test":
    case "bench":
      return [subcommand, "--no-run", ...rest];
    case "task":
      return exists("deno.json") || exists("package.json")
        ? ["install", "--quiet"]
        : null;
    default: {
      const at = args.findIndex((arg) =>
        /^(npm|jsr|https?):|\.[mc]?[jt]sx?$/.test(arg)
      );
      if (at < 0) return null;
      const flags = args.slice(0, at).filter((arg) =>
        flagsForCaching.test(arg)
      );
      return ["cache", "--quiet", ...flags, args[at]!];
    }
  }
}
