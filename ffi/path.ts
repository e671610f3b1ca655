/**
 * Paths: as callers give them, and as C wants them.
 *
 * @module
 */

import { wrongType } from "./argument.ts";
import { addressOf } from "./copy.ts";
import { workingDirectory } from "./process_lock.ts";

const urlGetter = (key: "protocol" | "host" | "pathname") =>
  Function.prototype.call.bind(
    Object.getOwnPropertyDescriptor(URL.prototype, key)!.get!,
  ) as (url: URL) => string;
const url = {
  protocol: urlGetter("protocol"),
  host: urlGetter("host"),
  pathname: urlGetter("pathname"),
};

/** Whether it is one, and doesn't only inherit from one. */
function isUrl(value: unknown): value is URL {
  try {
    url.protocol(value as URL);
    return true;
  } catch {
    return false;
  }
}

/** The path in the file system that the caller means. */
export function pathOf(action: string, path: unknown): string {
  if (typeof path === "string") return path;
  const rule = "a path or a file: URL";
  if (!isUrl(path)) throw wrongType(action, "path", rule, path);
  if (url.protocol(path) !== "file:" || url.host(path) !== "") {
    throw wrongType(action, "path", rule, url.protocol(path) + "//…");
  }
  // A percent sign that encodes nothing is one, as in Deno.
  return decodeURIComponent(
    url.pathname(path).replace(/%(?![\da-f]{2})/gi, "%25"),
  );
}

/** A map that another worker makes meanwhile changes the working directory. */
export function absolutePath(path: string): string {
  if (path.startsWith("/") || path === "") return path;
  const directory = workingDirectory();
  return directory === null ? path : `${directory}/${path}`;
}

const encoder = new TextEncoder();
const encodeInto = encoder.encodeInto.bind(encoder);

/**
 * Where C reads paths. It's kept, as to pass an array takes Deno longer, and since
 * the same path is often wanted again. The first bytes are always 0: no name. A
 * path that doesn't fit is cut off, and still too long for Linux (PATH_MAX, 4,096
 * bytes): it's no other file's.
 */
const memory = new Uint8Array(new ArrayBuffer(8192));
let address = 0n;
let named: string | null = null;
const START = 8;
const room = memory.subarray(START, -1);

/** The address of an empty name. */
export function emptyName(): bigint {
  return address ||= addressOf(memory);
}

/** The address of a path with a NUL behind it, until the next one is asked for. */
export function nameOf(path: string): bigint {
  if (path !== named) {
    named = null;
    const { read, written } = encodeInto(path, room);
    memory[START + written] = 0;
    if (read === path.length) named = path;
  }
  return emptyName() + BigInt(START);
}
