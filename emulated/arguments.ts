/**
 * The command line of the tool.
 *
 * @module
 */

import { type ArchitectureName, architectures } from "./architecture.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** How the tool is called. */
export const usage = `\
Runs a command in a virtual machine with emulated persistent memory.

Usage:
  emulated [OPTIONS] -- COMMAND…
  emulated power-cut [OPTIONS] --writer COMMAND --checker COMMAND
  emulated prepare [OPTIONS]

The working directory, DENO_DIR and libpmem2 are in the machine, at the paths
that they have outside; it has no network. The command finds in its environment:

  PMEM_DIR          a folder on DAX (fsdax)
  PMEM_DEVICE       the block device below it
  PMEM_DEVDAX       a device to map (devdax)
  PMEM_GRANULARITY  what these give: cache-line, or byte with --eadr
  PMEM_DISK_DIR     a folder on a disk: page granularity
  PMEM_FAILING_DIR  with --failing-disk: a folder on a disk that refuses to
                    write the pages of a file (EIO)
  PMEM2_TEST_DIR    the same as PMEM_DIR, unless set with --env

Options:
  --eadr            caches that survive a power cut: byte granularity
  --failing-disk    a disk more, which fails
  --out PATH        bring this file or folder back; repeatable
  --env NAME[=V]    a variable for the command, else as it is here; repeatable
  --root DIR        one more folder to bring along, such as the root of the
                    workspace; repeatable
  --size SIZE       of the persistent memory and of each disk (512M)
  --memory SIZE     of the machine (2G)
  --timeout SECONDS how long the command may take (1800)
  --arch NAME       x86-64, arm64, or arm64-16k: with pages of 16 KiB
                    (default: that of this host)
  --verbose         tell what it's doing, and since when

power-cut runs the writer and cuts the power within some seconds after the first
line that it prints. Its complete lines are what it acknowledged: the checker,
after the next boot, finds them in the file PMEM_ACKNOWLEDGED and exits with 0 if
nothing of it is lost.
  --rounds N        how many times (10)
  --within SECONDS  the latest moment of the cut (2)

prepare downloads and builds what a first run would.

Exit status: the command's own (128 + N for signal N); power-cut: 0 if all was
kept, 1 if not; 124 timeout; 125 there was no machine, or it broke off; 2 wrong
usage.
`;

/** What was asked for is not what the tool can do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What the command line says. */
export interface Options {
  mode: "run" | "power-cut" | "prepare" | "help";
  /** In mode "run". */
  command: string[];
  eadr: boolean;
  failingDisk: boolean;
  out: string[];
  /** Name and value. */
  env: Map<string, string>;
  roots: string[];
  /** Bytes of the persistent memory, and of each disk. */
  size: number;
  /** Bytes of the machine's memory. */
  memory: number;
  /** Seconds for the command. */
  timeout: number;
  architecture: ArchitectureName;
  verbose: boolean;
  /** In mode "power-cut", as are the next three. */
  writer: string;
  checker: string;
  rounds: number;
  /** Seconds. */
  within: number;
}

const flags = ["eadr", "failing-disk", "verbose", "help"];
const valued = ["out", "env", "root", "size", "memory", "timeout", "arch"];
const valuedInPowerCut = ["writer", "checker", "rounds", "within"];

/**
 * @param environment Where `--env NAME` looks.
 * @throws {UsageError} If the arguments are not as `usage` says.
 */
export function parseArguments(
  args: readonly string[],
  environment: Record<string, string>,
): Options {
  const options: Options = {
    mode: "run",
    command: [],
    eadr: false,
    failingDisk: false,
    out: [],
    env: new Map(),
    roots: [],
    size: 512 * MiB,
    memory: 2 * GiB,
    timeout: 1800,
    architecture: Deno.build.arch === "aarch64" ? "arm64" : "x86-64",
    verbose: false,
    writer: "",
    checker: "",
    rounds: 10,
    within: 2,
  };
  const rest = [...args];
  const [first] = rest;
  if (first === "power-cut" || first === "prepare" || first === "help") {
    options.mode = first;
    rest.shift();
  }
  while (rest.length > 0) {
    const argument = rest.shift()!;
    if (argument === "--" && options.mode === "run") {
      options.command = rest.splice(0);
      break;
    }
    const [, name, attached] = /^--([a-z-]+)(?:=(.*))?$/s.exec(argument) ?? [];
    if (argument === "-h" || name === "help") {
      options.mode = "help";
      return options;
    }
    if (name === undefined) {
      throw new UsageError(
        options.mode === "run"
          ? `The command must come after "--": received "${argument}"`
          : `Unexpected argument "${argument}"`,
      );
    }
    if (flags.includes(name)) {
      if (attached !== undefined) {
        throw new UsageError(`--${name} must have no value`);
      }
      setFlag(options, name);
      continue;
    }
    if (valuedInPowerCut.includes(name)) {
      if (options.mode !== "power-cut") {
        throw new UsageError(`--${name} is for power-cut alone`);
      }
    } else if (!valued.includes(name)) {
      throw new UsageError(`Unknown option --${name}`);
    }
    const value = attached ?? rest.shift();
    if (value === undefined || value === "") {
      throw new UsageError(`--${name} must have a value`);
    }
    setValue(options, name, value, environment);
  }
  checkWhole(options);
  return options;
}

function setFlag(options: Options, name: string): void {
  if (name === "eadr") options.eadr = true;
  else if (name === "failing-disk") options.failingDisk = true;
  else options.verbose = true;
}

function setValue(
  options: Options,
  name: string,
  value: string,
  environment: Record<string, string>,
): void {
  switch (name) {
    case "out":
      options.out.push(value);
      break;
    case "env": {
      const [, variable, given] = /^([A-Za-z_]\w*)(?:=(.*))?$/s.exec(value) ??
        [];
      if (variable === undefined) {
        throw new UsageError(
          `--env must be NAME or NAME=VALUE: received "${value}"`,
        );
      }
      const found = given ?? environment[variable];
      if (found !== undefined) options.env.set(variable, found);
      break;
    }
    case "root":
      options.roots.push(value);
      break;
    case "size":
      options.size = size(name, value, 32 * MiB);
      // The kernel maps persistent memory in sections.
      if (options.size % (16 * MiB) !== 0) {
        throw new UsageError(
          `--size must be a multiple of 16M: received "${value}"`,
        );
      }
      break;
    case "memory":
      options.memory = size(name, value, 256 * MiB);
      break;
    case "timeout":
      options.timeout = number(name, value);
      break;
    case "within":
      options.within = number(name, value);
      break;
    case "rounds":
      options.rounds = number(name, value);
      if (!Number.isInteger(options.rounds)) {
        throw new UsageError(
          `--rounds must be an integer: received "${value}"`,
        );
      }
      break;
    case "arch":
      if (!Object.hasOwn(architectures, value)) {
        const known = Object.keys(architectures).join(", ");
        throw new UsageError(
          `--arch must be one of ${known}: received "${value}"`,
        );
      }
      options.architecture = value as ArchitectureName;
      break;
    case "writer":
      options.writer = value;
      break;
    case "checker":
      options.checker = value;
      break;
  }
}

function checkWhole(options: Options): void {
  const { mode, command, writer, checker, eadr, architecture } = options;
  if (mode === "run" && command.length === 0) {
    throw new UsageError('There must be a command after "--"');
  }
  if (mode === "power-cut" && (writer === "" || checker === "")) {
    throw new UsageError("power-cut must have --writer and --checker");
  }
  if (eadr && !architectures[architecture].eadr) {
    throw new UsageError(`--eadr is not to be had with --arch ${architecture}`);
  }
}

function number(name: string, value: string): number {
  const result = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0;
  if (!(result > 0 && result <= 1_000_000)) {
    throw new UsageError(
      `--${name} must be a number greater than 0: received "${value}"`,
    );
  }
  return result;
}

/** As in "512M". */
function size(name: string, value: string, minimum: number): number {
  const [, digits, unit] = /^(\d+)([KMG]?)$/.exec(value) ?? [];
  const factors: Record<string, number> = { "": 1, K: KiB, M: MiB, G: GiB };
  const result = Number(digits) * factors[unit ?? ""]!;
  if (!(result >= minimum && Number.isSafeInteger(result))) {
    throw new UsageError(
      `--${name} must be at least ${minimum / MiB}M: received "${value}"`,
    );
  }
  return result;
}
