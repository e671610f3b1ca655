/**
 * What a caller can do when libpmem2 refuses to make a map. libpmem2's own messages
 * say what is wrong, in terms of its C API.
 *
 * @module
 */

import { codeOf } from "../c/error_code.ts";
import type { MapSettings } from "../input/map_options.ts";
import type { NativeSource } from "./source.ts";

/** Returns what the caller can do, or an empty string. */
export function remedyOf(
  result: number,
  { anonymous, path }: Pick<NativeSource, "anonymous" | "path">,
  { shared, write, exec }: Pick<MapSettings, "shared" | "write" | "exec">,
): string {
  switch (codeOf(result)) {
    case "PMEM2_E_SOURCE_EMPTY":
      return "open it with size to give it a length";
    case "PMEM2_E_NO_ACCESS":
      return shared && write
        ? 'its file is open for reading only: pass write: false, or sharing: "private"'
        : "";
    case "PMEM2_E_GRANULARITY_NOT_SUPPORTED":
      return 'pass granularity: "page" to take any medium';
    case "ENOMEM":
      if (anonymous) return "there is too little memory: ask for less";
      return shared
        ? ""
        : "there is too little memory for a copy of all of it: map less, with offset and length";
    case "EPERM":
      return exec && path !== null
        ? "its file system may be mounted noexec"
        : "";
    case "ENODEV":
      return "its file system does not support mapping it";
    default:
      return "";
  }
}
