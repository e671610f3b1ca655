/**
 * The working directory, which a map that another worker makes changes for a
 * moment, and where paths lead.
 *
 * @module
 */

import { directoryFunctions, fileFunctions } from "../c/functions.ts";
import { nameOf } from "../c/path_name.ts";
import { fromCString } from "../c/string.ts";
import { stdinLock } from "./lock.ts";

/** The working directory, as it is while nobody maps; null if it was removed. */
export function workingDirectory(): string | null {
  const { flockfile, funlockfile } = fileFunctions();
  const { getcwd } = directoryFunctions();
  const file = stdinLock();
  const buffer = new Uint8Array(new ArrayBuffer(PATH_MAX));
  const size = BigInt(PATH_MAX);
  flockfile(file);
  const result = getcwd(buffer, size);
  funlockfile(file);
  return result === 0n ? null : fromCString(buffer);
}

const PATH_MAX = 4096;

/** A path without links in it, null if it leads nowhere. */
export function realPath(path: string): string | null {
  const { realpath } = directoryFunctions();
  const buffer = new Uint8Array(new ArrayBuffer(PATH_MAX));
  return realpath(nameOf(path), buffer) === 0n ? null : fromCString(buffer);
}

/** A map that another worker makes meanwhile changes the working directory. */
export function absolutePath(path: string): string {
  if (path.startsWith("/") || path === "") return path;
  const directory = workingDirectory();
  return directory === null ? path : `${directory}/${path}`;
}
