/**
 * The file that libpmem2 was loaded from.
 *
 * @module
 */

import { libraryInfo } from "@pmem2/pmem2";

/** Its full path, however it was found; opens it if nothing has yet. */
export function libraryFile(): string {
  const { path } = libraryInfo();
  if (path.startsWith("/")) return path;
  const maps = Deno.readTextFileSync("/proc/self/maps");
  return /\/\S*\/libpmem2\.so\S*/.exec(maps)![0];
}
