/**
 * Finds libpmem2 and opens it once, at first use. It is never closed.
 *
 * @module
 */

import { callable, fromCaller } from "../input/caller.ts";
import { locateCell } from "./cell.ts";
import { loaderSymbols } from "./libc_symbols.ts";
import {
  type Attempt,
  attempt,
  loadError,
  permissionError,
  UnfitLibrary,
} from "./library_error.ts";
import {
  existingPath,
  isArchitectureKnown,
  mayOpen,
  mayOpenAll,
  places,
} from "./library_path.ts";
import { versionSymbols } from "./libpmem2_symbols.ts";
import { cString } from "./string.ts";
import type { Symbols, SymbolTable } from "./symbol_table.ts";

/** The oldest Deno on which the test suite passes. */
export const minimumDenoVersion = "2.8.0";

const soname = "libpmem2.so.1";

interface Library {
  readonly path: string;
  readonly version: Symbols<typeof versionSymbols>;
  readonly loader: Symbols<typeof loaderSymbols>;
}

let library: Library | undefined;

/** Returns the library, and opens it if that was not done yet. */
function open(): Library {
  return library ??= firstLoad();
}

/**
 * Makes a function that returns a group of the library's functions. The group is
 * opened once, when it is first used.
 *
 * PERF: Deno compiles a trampoline of 0.1 ms for each function of each opening.
 */
export function lazily<T extends SymbolTable>(table: T): () => Symbols<T> {
  let symbols: Symbols<T> | undefined;
  return () => symbols ??= dlopen(open().path, table);
}

/** Returns the functions that give libpmem2's version and its last message. */
export function versionFunctions(): Symbols<typeof versionSymbols> {
  return open().version;
}

/** Returns the functions of libc that are needed to open the library. */
export function loaderFunctions(): Symbols<typeof loaderSymbols> {
  return open().loader;
}

/**
 * Tells which libpmem2 is in use, and opens the library if that was not done yet.
 *
 * If the environment variable `PMEM2_LIBRARY` is set and can be read without a prompt,
 * only the path in it is tried. Otherwise `libpmem2.so.1` is opened: the system
 * searches for it if `--allow-ffi` has no path; with paths, those among them where
 * distributions install the library are tried; without permission, Deno asks for the
 * most likely path.
 *
 * @returns The path that was given to dlopen, and the version of the symbols.
 * @throws {Error} If libpmem2 is not installed, is older than 1.12 or cannot be
 * loaded, if this is not Linux on x86-64 or arm64, or if Deno is too old. The message
 * says which of these it is, and what to do.
 * @throws {Deno.errors.NotCapable} If `--allow-ffi` is missing.
 *
 * @example The library in use
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

callable(import.meta.url, libraryInfo);

/** Calls `Deno.dlopen`, and types the functions as the table declares them. */
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

function firstLoad(): Library {
  try {
    return load();
  } catch (error) {
    throw fromCaller(error);
  }
}

function load(): Library {
  checkRuntime();
  const override = overridePath();
  const attempts: Attempt[] = [];
  for (const path of override === undefined ? places(soname) : [override]) {
    try {
      return use(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) {
        throw permissionError(path, error);
      }
      attempts.push(attempt(path, error as Error));
    }
  }
  const error = loadError(attempts, override !== undefined, mayOpenAll());
  const elsewhere = override === undefined ? existingPath(soname) : undefined;
  throw elsewhere === undefined || mayOpen(elsewhere)
    ? error
    : permissionError(elsewhere, error);
}

function use(path: string): Library {
  checkVersion(path);
  const version = dlopen(path, versionSymbols);
  const loader = dlopen(path, loaderSymbols);
  keepLoaded(path, loader);
  locateCell((array) => loader.copy_out(array, 0n, 0n));
  return { path, version, loader };
}

function checkRuntime(): void {
  if (typeof Deno === "undefined") {
    throw new Error("Cannot load libpmem2 as this module needs Deno's FFI");
  }
  const { os, arch } = Deno.build;
  if (os !== "linux" || !isArchitectureKnown()) {
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

/** Checks for a function that every libpmem2 has, and for one that is new in 1.12. */
function checkVersion(path: string): void {
  // PERF: no trampolines are compiled for statics.
  const { symbols } = Deno.dlopen(path, {
    pmem2_errormsg: { type: "u8", optional: true },
    pmem2_source_pread_mcsafe: { type: "u8", optional: true },
  });
  if (symbols.pmem2_errormsg === null) throw UnfitLibrary.other(path);
  if (symbols.pmem2_source_pread_mcsafe === null) {
    throw UnfitLibrary.older(path);
  }
}

/**
 * Keeps the library loaded until the process ends.
 *
 * SAFETY: when a worker ends, Deno closes the library, even if a flush still runs its
 * code on another thread.
 */
function keepLoaded(
  path: string,
  loader: Symbols<typeof loaderSymbols>,
): void {
  const RTLD_LAZY = 0x1;
  const RTLD_NODELETE = 0x1000;
  loader.dlopen(cString(path), RTLD_LAZY | RTLD_NODELETE);
}
