/**
 * Finds libpmem2, opens it at first use, once, and never closes it.
 *
 * @module
 */

import { locateCell } from "./cell.ts";
import { loaderSymbols } from "./libc_symbols.ts";
import { versionSymbols } from "./libpmem2_symbols.ts";
import { cString } from "./string.ts";
import type { Symbols, SymbolTable } from "./symbol_table.ts";

/** The oldest Deno on which the test suite passes. */
export const minimumDenoVersion = "2.8.0";

const soname = "libpmem2.so.1";

/**
 * Where distributions put it. Under a path-limited `--allow-ffi` a bare soname
 * is resolved against the working directory, so only these can be granted.
 */
const folders: Record<string, readonly string[]> = {
  x86_64: ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"],
  aarch64: ["/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu"],
};
const commonFolders = [
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/lib",
  "/usr/local/lib64",
];

/** All places to look for a library that distributions install, by its soname. */
export function candidates(soname: string): string[] {
  return [
    soname,
    ...[...folders[Deno.build.arch] ?? [], ...commonFolders]
      .map((folder) => `${folder}/${soname}`),
  ];
}

interface Library {
  readonly path: string;
  readonly version: Symbols<typeof versionSymbols>;
  readonly loader: Symbols<typeof loaderSymbols>;
}

let library: Library | undefined;

/** The library, opened now if nothing has needed it yet. */
function open(): Library {
  return library ??= load();
}

/**
 * A group of the library's functions, opened when first called for: once, for
 * Deno compiles them each time.
 */
export function lazily<T extends SymbolTable>(table: T): () => Symbols<T> {
  let symbols: Symbols<T> | undefined;
  return () => symbols ??= dlopen(open().path, table);
}

/** What tells libpmem2's version and its last message. */
export function versionFunctions(): Symbols<typeof versionSymbols> {
  return open().version;
}

/** The functions of libc that opening the library takes. */
export function loaderFunctions(): Symbols<typeof loaderSymbols> {
  return open().loader;
}

/**
 * Tells which libpmem2 was loaded, and opens it if nothing has yet: the path
 * in the environment variable `PMEM2_LIBRARY` if it's set (and may be read
 * without a prompt), else `libpmem2.so.1` where the system has it.
 *
 * @returns The path as given to dlopen, and the version of the symbols.
 * @throws {Error} If libpmem2 isn't installed, or this isn't a 64-bit Linux or
 * a recent Deno.
 * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing.
 *
 * @example Which library it is
 * ```ts
 * import { libraryInfo } from "@pmem2/pmem2";
 * import { assertMatch } from "@std/assert";
 *
 * const { path, symbolVersion } = libraryInfo();
 * assertMatch(path, /libpmem2\.so/);
 * assertMatch(symbolVersion, /^LIBPMEM2_[12]\.0$/);
 * ```
 */
export function libraryInfo(): {
  path: string;
  symbolVersion: "LIBPMEM2_1.0" | "LIBPMEM2_2.0";
} {
  const { path, version } = open();
  return {
    path,
    symbolVersion: version.pmem2_config_set_vdm === null
      ? "LIBPMEM2_2.0"
      : "LIBPMEM2_1.0",
  };
}

/** `Deno.dlopen`, with the types of the table. */
export function dlopen<T extends SymbolTable>(
  path: string,
  table: T,
): Symbols<T> {
  const { symbols } = Deno.dlopen(
    path,
    table as unknown as Deno.ForeignLibraryInterface,
  );
  return symbols as unknown as Symbols<T>;
}

function load(): Library {
  checkRuntime();
  const override = overridePath();
  const paths = override === undefined ? candidates(soname) : [override];
  const failures: string[] = [];
  for (const path of permitted(paths)) {
    try {
      const version = dlopen(path, versionSymbols);
      checkVersion(path);
      const loader = dlopen(path, loaderSymbols);
      keepLoaded(path, loader);
      locateCell((array) => loader.copy_out(array, 0n, 0n));
      return { path, version, loader };
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw permissionError(error);
      failures.push(`  ${(error as Error).message}`);
    }
  }
  throw new Error(
    override === undefined
      ? `Cannot load libpmem2 as it is not installed

Install it with one of
  Debian, Ubuntu:  sudo apt-get install libpmem2
  Fedora:          sudo dnf install libpmem2
  Arch Linux:      pmdk from the AUR
or set PMEM2_LIBRARY to its path. Tried:
${failures.join("\n")}`
      : `Cannot load libpmem2 from PMEM2_LIBRARY, and nothing else is tried while that is set:
${failures.join("\n")}`,
  );
}

function checkRuntime(): void {
  if (typeof Deno === "undefined") {
    throw new Error("Cannot load libpmem2 as this module needs Deno's FFI");
  }
  const { os, arch } = Deno.build;
  if (os !== "linux" || !(arch in folders)) {
    throw new Error(
      `Cannot load libpmem2 as this module needs Linux on x86-64 or arm64: this is ${os} on ${arch}`,
    );
  }
  if (older(Deno.version.deno, minimumDenoVersion)) {
    throw new Error(
      `Cannot load libpmem2 as this module needs Deno ${minimumDenoVersion} or newer: this is ${Deno.version.deno}; run "deno upgrade"`,
    );
  }
}

/** Whether `version` is before `minimum`, both like "2.9.6". */
export function older(version: string, minimum: string): boolean {
  const parts = (text: string) => text.split(".").map((part) => parseInt(part));
  const [have, want] = [parts(version), parts(minimum)];
  const i = want.findIndex((number, i) => have[i] !== number);
  return i !== -1 && (have[i] ?? 0) < want[i]!;
}

function overridePath(): string | undefined {
  const variable = "PMEM2_LIBRARY";
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
}

/**
 * The paths that may be opened without a question; where there is none, the
 * first, so that Deno asks once and not for each.
 */
function permitted(paths: string[]): string[] {
  const granted = paths.filter(mayOpen);
  return granted.length === 0 ? paths.slice(0, 1) : granted;
}

/** Whether a library may be opened without a prompt. */
export function mayOpen(path: string): boolean {
  return Deno.permissions.querySync({ name: "ffi", path }).state === "granted";
}

function permissionError(cause: Error): Error {
  const path = candidates(soname)[1];
  return new Deno.errors.NotCapable(
    `Cannot load libpmem2 without permission: run again with --allow-ffi, or with --allow-ffi=${path} if no zero-copy views are needed (its path: "/sbin/ldconfig -p | grep libpmem2")`,
    { cause },
  );
}

/** Looks for a function that libpmem2 has since 1.12. */
function checkVersion(path: string): void {
  // As a static it isn't compiled.
  const { symbols } = Deno.dlopen(path, {
    pmem2_source_pread_mcsafe: { type: "u8", optional: true },
  });
  if (symbols.pmem2_source_pread_mcsafe === null) {
    throw new Error(`${path} is older than libpmem2 1.12`);
  }
}

/**
 * Keeps the library in the process for good. A worker that ends makes Deno
 * close it under a flush that is still running on another thread.
 */
function keepLoaded(
  path: string,
  loader: Symbols<typeof loaderSymbols>,
): void {
  const RTLD_LAZY = 0x1;
  const RTLD_NODELETE = 0x1000;
  loader.dlopen(cString(path), RTLD_LAZY | RTLD_NODELETE);
}
