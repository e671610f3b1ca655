/**
 * Why a library cannot be loaded, and what to do about it.
 *
 * @module
 */

const installation = `\
Install it with one of
  Debian, Ubuntu:  sudo apt-get install libpmem2
  Fedora:          sudo dnf install libpmem2
  Arch Linux:      pmdk from the AUR
or set PMEM2_LIBRARY to its path, and run with --allow-env=PMEM2_LIBRARY.`;

const newer = `\
Use a newer release of the distribution (Debian 12, Ubuntu 24.04), or build PMDK
and set PMEM2_LIBRARY to the path of its libpmem2.so.1.`;

/** A library that was opened, but is not a libpmem2 that can be used. */
export class UnfitLibrary extends Error {
  readonly remedy: string;

  constructor(why: string, remedy: string) {
    super(why);
    this.remedy = remedy;
  }

  static older(path: string): UnfitLibrary {
    return new UnfitLibrary(`${path} is older than libpmem2 1.12`, newer);
  }

  static other(path: string): UnfitLibrary {
    return new UnfitLibrary(
      `${path} is another library: it has no function pmem2_errormsg`,
      installation,
    );
  }
}

/** A path that was tried, and why it failed. */
export interface Attempt {
  readonly path: string;
  /** The system's message, without Deno's prefix. */
  readonly message: string;
  /** Why it failed although there is a file, or null if there is no file. */
  readonly cause: { readonly why: string; readonly remedy: string } | null;
}

/** Explains why a path failed. */
export function attempt(path: string, error: Error): Attempt {
  if (error instanceof UnfitLibrary) {
    const { message, remedy } = error;
    return { path, message, cause: { why: message, remedy } };
  }
  const message = error.message.replace(/^(Could not open library: )+/, "");
  return { path, message, cause: causeOf(path, message) };
}

/** Reads the messages of glibc and musl, which start with the name of a library. */
function causeOf(path: string, message: string): Attempt["cause"] {
  const about = (name: string) => message.startsWith(`${name}: `);
  const missing = /: (No such file or directory|Not a directory)$/m;
  if (about(path) && missing.test(message)) return null;
  if (about(path) && /: Permission denied$/m.test(message)) {
    return {
      why: `this user may not read ${path}`,
      remedy:
        `Give the user permission to read it, and to enter the folders above it.`,
    };
  }
  const other = /^([^\s:]+): cannot open shared object file: /.exec(message) ??
    /^Error loading shared library ([^\s:]+): /.exec(message);
  if (other !== null && other[1] !== path) {
    return {
      why: `${other[1]}, which it needs, is missing or may not be read`,
      remedy: `\
Install what it needs, as listed by "ldd ${path}". On Debian and Ubuntu:
  sudo apt-get install --reinstall libpmem2`,
    };
  }
  if (other !== null && missing.test(message)) return null;
  return {
    why: `the system refuses ${path}`,
    remedy:
      `Install it again, for the architecture and the libc of this machine.`,
  };
}

/** Makes the error for when all paths have failed. */
export function loadError(
  attempts: readonly Attempt[],
  override: boolean,
  all: boolean,
): Error {
  const tried = `Tried:\n${
    attempts.map(({ message }) => `  ${message}`).join("\n")
  }`;
  const cause = attempts.find(({ cause }) => cause !== null)?.cause;
  if (override) {
    const why = cause?.why ?? "there is no such file";
    return new Error(
      `Cannot load libpmem2 from PMEM2_LIBRARY as ${why}; no other path is tried while it is set\n\n${tried}`,
    );
  }
  if (cause) {
    return new Error(
      `Cannot load libpmem2 as ${cause.why}\n\n${cause.remedy}\n\n${tried}`,
    );
  }
  if (all) {
    return new Error(
      `Cannot load libpmem2 as it is not installed\n\n${installation}\n\n${tried}`,
    );
  }
  return new Error(
    `Cannot load libpmem2 as it is not installed, or not at a path that --allow-ffi grants

If "/sbin/ldconfig -p | grep libpmem2" shows its path, give that to --allow-ffi.
${installation}\n\n${tried}`,
  );
}

/** Makes the error for when Deno's permissions do not allow a path to be opened. */
export function permissionError(path: string, cause: Error): Error {
  return new Deno.errors.NotCapable(
    `Cannot load libpmem2 without permission: run again with --allow-ffi, or with --allow-ffi=${path} if no zero-copy views are needed (its path: "/sbin/ldconfig -p | grep libpmem2"; if it is somewhere else, set PMEM2_LIBRARY, too)`,
    { cause },
  );
}
