/**
 * Where libraries are, and which of them may be opened.
 *
 * @module
 */

/** Where distributions put libraries, by architecture. */
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

/** Whether libraries of this architecture are known. */
export function isArchitectureKnown(): boolean {
  return Deno.build.arch in folders;
}

/**
 * All places to look for a library that distributions install, by its soname: the
 * soname itself, for the system to search, and paths.
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
 * Whether a library may be opened without a prompt. Unless all may be, Deno takes
 * a bare soname for a file in the working directory: what lies there is not ours.
 */
function mayOpen(path: string): boolean {
  if (!path.startsWith("/")) return mayOpenAll();
  return Deno.permissions.querySync({ name: "ffi", path }).state === "granted";
}

/** The places of a library that may be opened without a prompt. */
export function granted(soname: string): string[] {
  return candidates(soname).filter(mayOpen);
}

/**
 * The path to ask permission for: one that is there, as far as that may be seen
 * without a prompt, or else where it most likely is.
 */
function likelyPath(soname: string): string {
  const all = paths(soname);
  return all.find((path) => exists(path) === true) ??
    all.find((path) => exists(path) === undefined) ?? all[0]!;
}

/** Whether there is such a file, undefined where that may not be seen. */
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
 * The places to try, one after the other. Where none may be opened, Deno is made
 * to ask: first for one path, and if nothing is there, for all.
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
