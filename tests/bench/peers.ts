/**
 * What to compare with: C, built from the sources beside this, and
 * Bun, which npm brings. They're put into a folder that git ignores.
 *
 * @module
 */

import { Child } from "./child.ts";
import { type Loops, openLoops } from "./loops.ts";
import { exists } from "../support/exists.ts";

const root = new URL("../../", import.meta.url).pathname;

/** Where the programs and files on a disk go. */
export const benchDirectory = `${root}.bench`;

/** For files whose medium is not to count: a tmpfs. */
export const fastDirectory = "/dev/shm";

export interface Peers extends AsyncDisposable {
  /** C in this process, on the module's own maps. */
  readonly loops: Loops;
  /** C in a process of its own, for what makes maps. */
  readonly c: Child;
  /** Null where the machine lacks it. */
  readonly bun: Child | null;
}

export async function startPeers(): Promise<Peers> {
  Deno.mkdirSync(benchDirectory, { recursive: true });
  const loops = openLoops(await buildC("loops", "-shared", "-fPIC"));
  const c = new Child(await buildC("peer"));
  const bun = await startBun();
  return {
    loops,
    c,
    bun,
    async [Symbol.asyncDispose]() {
      await c[Symbol.asyncDispose]();
      await bun?.[Symbol.asyncDispose]();
    },
  };
}

/** Builds one of the C files beside this; where it is then. */
async function buildC(
  name: string,
  ...options: string[]
): Promise<string> {
  const source = new URL(`${name}.c`, import.meta.url).pathname;
  const built = `${benchDirectory}/${name}`;
  await succeed("cc", ["-O2", ...options, "-o", built, source, "-lpmem2"]);
  return built;
}

async function startBun(): Promise<Child | null> {
  const bun = `${benchDirectory}/node_modules/bun/bin/bun.exe`;
  const script = new URL("bun_peer.js", import.meta.url).pathname;
  try {
    if (!exists(bun)) {
      const install = ["install", "--prefix", benchDirectory, "--no-audit"];
      await succeed("npm", [...install, "--no-fund", "bun"]);
    }
    return new Child(bun, script);
  } catch (error) {
    console.error(`Without Bun: ${(error as Error).message}`);
    return null;
  }
}

async function succeed(command: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args })
    .output();
  if (success) return;
  const text = new TextDecoder().decode(stderr);
  throw new Error(`${command} ${args.join(" ")} failed:\n${text}`);
}
