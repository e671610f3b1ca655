/**
 * Finds the working directory, which changes for a moment when another worker makes a
 * map, and the targets of links.
 *
 * @module
 */

import { ArrayBuffer, BigInt, Uint8Array } from "../input/intrinsics.ts";
import { directoryFunctions, fileFunctions } from "../c/functions.ts";
import { nameOf } from "../c/path_name.ts";
import { fromCStringStrictly } from "../c/string.ts";
import { processLock } from "./lock.ts";

/**
 * Returns the working directory, as it is while no worker makes a map, or null if it was
 * removed.
 *
 * @throws {Deno.errors.InvalidData} If its name is not UTF-8.
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

/** Decodes a path from the system. SAFETY: a name that is not UTF-8 would look like another one. */
function decoded(bytes: Uint8Array, message: string): string {
  const path = fromCStringStrictly(bytes);
  if (path === null) throw new Deno.errors.InvalidData(message);
  return path;
}

const PATH_MAX = 4096;

/** Returns a path without links, or null if the file does not exist. */
export function realPath(path: string): string | null {
  const { realpath } = directoryFunctions();
  const buffer = new Uint8Array(new ArrayBuffer(PATH_MAX));
  if (realpath(nameOf(path), buffer) === 0n) return null;
  return decoded(
    buffer,
    `Cannot open the file as the real path of ${path} is not UTF-8`,
  );
}

/**
 * Makes a path absolute. The working directory changes for a moment when another worker
 * makes a map.
 */
export function absolutePath(path: string): string {
  if (path.startsWith("/") || path === "") return path;
  const directory = workingDirectory();
  return directory === null ? path : `${directory}/${path}`;
}
