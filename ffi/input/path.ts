/**
 * Paths and `file:` URLs that callers give.
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

/** Whether a value is a URL, and not just an object that inherits from one. */
function isUrl(value: unknown): value is URL {
  try {
    url.protocol(value as URL);
    return true;
  } catch {
    return false;
  }
}

/** Returns the path that the caller means. */
export function pathOf(action: string, path: unknown): string {
  if (typeof path === "string") return path;
  const rule = "a path or a file: URL";
  if (!isUrl(path)) throw wrongType(action, "path", rule, path);
  if (url.protocol(path) !== "file:" || url.host(path) !== "") {
    throw wrongType(action, "path", rule, url.protocol(path) + "//…");
  }
  // As in Deno, a percent sign that encodes nothing stands for itself.
  return decodeURIComponent(
    url.pathname(path).replace(/%(?![\da-f]{2})/gi, "%25"),
  );
}
