/**
 * The paths of libraries, and which of them may be opened.
 *
 * @module
 */

/** The folders where distributions put libraries, by architecture. */
const folders: Record<string, readonly string[]> = {
  x86_64: ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"],
  aarch64: ["/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu"],
};
const commonFolders = [
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/lib",
  "/usr/local/lib64",
];

/** Whether the library folders of this architecture are known. */
export function isArchitectureKnown(): boolean {
  return Deno.build.arch in folders;
}

/**
 * Lists all places where distributions may have put a library: its soname, for which
 * the system searches, and paths.
 */
export function candidates(soname: string): string[] {
  return [soname, ...paths(soname)];
}

function paths(soname: string): string[] {
  return [...folders[Deno.build.arch] ?? [], ...commonFolders]
    .map((folder) => `${folder}/${soname}`);
}

/** Whether all libraries may be opened without a prompt. */
export function mayOpenAll(): boolean {
  const { state, partial } = Deno.permissions.querySync({ name: "ffi" });
  return state === "granted" && !partial;
}

/**
 * Whether a library may be opened without a prompt.
 *
 * SAFETY: unless all libraries may be opened, Deno takes a bare soname for a file in
 * the working directory, which may be any library. So it is not tried then.
 */
export function mayOpen(path: string): boolean {
  if (!path.startsWith("/")) return mayOpenAll();
  return Deno.permissions.querySync({ name: "ffi", path }).state === "granted";
}

/** Lists the places of a library that may be opened without a prompt. */
export function granted(soname: string): string[] {
  return candidates(soname).filter(mayOpen);
}

/** Returns the path where distributions put a library, if it can be seen without a prompt. */
export function existingPath(soname: string): string | undefined {
  return paths(soname).find((path) => exists(path) === true);
}

/**
 * Returns the path to ask permission for: one that exists, as far as that can be seen
 * without a prompt, or else the most likely one.
 */
function likelyPath(soname: string): string {
  const all = paths(soname);
  return existingPath(soname) ??
    all.find((path) => exists(path) === undefined) ?? all[0]!;
}

/** Whether a file exists, or undefined if that may not be seen. */
function exists(path: string): boolean | undefined {
  const { state } = Deno.permissions.querySync({ name: "read", path });
  if (state !== "granted") return undefined;
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? false : undefined;
  }
}

/**
 * Lists the places to try, one after the other. If none may be opened, Deno asks the
 * user: first for one path, and if there is no library, for all.
 */
export function* places(soname: string): Generator<string, void> {
  const free = granted(soname);
  if (free.length > 0) {
    yield* free;
    return;
  }
  const path = likelyPath(soname);
  yield path;
  if (Deno.permissions.requestSync({ name: "ffi" }).state !== "granted") return;
  yield* candidates(soname).filter((other) => other !== path);
}
