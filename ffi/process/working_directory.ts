/**
 * The working directory, which a map that another worker makes changes for a
 * moment, and where paths lead.
 *
 * @module
 */

import { BigInt } from "../input/intrinsics.ts";
import { directoryFunctions, fileFunctions } from "../c/functions.ts";
import { nameOf } from "../c/path_name.ts";
import { fromCStringStrictly } from "../c/string.ts";
import { processLock } from "./lock.ts";

/**
 * The working directory, as it is while nobody maps; null if it was removed.
 *
 * @throws {Deno.errors.InvalidData} If its name can't be told.
 */
export function workingDirectory(): string | null {
  const { flockfile, funlockfile } = fileFunctions();
  const { getcwd } = directoryFunctions();
  const file = processLock();
  const buffer = new Uint8Array(new ArrayBuffer(PATH_MAX));
  const size = BigInt(PATH_MAX);
  flockfile(file);
  const result = getcwd(buffer, size);
  funlockfile(file);
  if (result === 0n) return null;
  return decoded(
    buffer,
    "Cannot open a file by a relative path as the name of the working directory is not UTF-8: give an absolute path",
  );
}

/** A path that the system gave; what it looks like may be another one. */
function decoded(bytes: Uint8Array, message: string): string {
  const path = fromCStringStrictly(bytes);
  if (path === null) throw new Deno.errors.InvalidData(message);
  return path;
}

const PATH_MAX = 4096;

/** A path without links in it, null if it leads nowhere. */
export function realPath(path: string): string | null {
  const { realpath } = directoryFunctions();
  const buffer = new Uint8Array(new ArrayBuffer(PATH_MAX));
  if (realpath(nameOf(path), buffer) === 0n) return null;
  return decoded(
    buffer,
    `Cannot open the file as what ${path} leads to is not UTF-8`,
  );
}

/** A map that another worker makes meanwhile changes the working directory. */
export function absolutePath(path: string): string {
  if (path.startsWith("/") || path === "") return path;
  const directory = workingDirectory();
  return directory === null ? path : `${directory}/${path}`;
}
