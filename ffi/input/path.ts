/**
 * Paths: as callers give them, and as C wants them.
 *
 * @module
 */

import { wrongType } from "./argument.ts";

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
