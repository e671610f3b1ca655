/**
 * Read-only images of folders.
 *
 * @module
 */

import { exists, run } from "./host.ts";

/**
 * Packs the folders, uncompressed: packing is all that takes time.
 *
 * @param options `keepPaths`: the folders lie in the image where they lie on the
 * host, else what is in the (one) folder is at its root; `exclude`: paths of the
 * host to leave out.
 */
export async function makeSquashfs(
  folders: string[],
  target: string,
  options: { keepPaths: boolean; exclude?: string[] },
): Promise<void> {
  const exclude = (options.exclude ?? []).filter(exists);
  await run("mksquashfs", [
    ...folders,
    `${target}.new`,
    ...options.keepPaths ? ["-no-strip"] : [],
    ...["-noI", "-noD", "-noF", "-noX", "-no-xattrs", "-no-fragments"],
    ...["-no-duplicates", "-all-root", "-noappend", "-quiet", "-no-progress"],
    ...exclude.length > 0 ? ["-e", ...exclude] : [],
  ]);
  await Deno.rename(`${target}.new`, target);
}
