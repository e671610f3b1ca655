/**
 * How to open a file.
 *
 * @module
 */

import { checkBoolean, checkInteger } from "./argument.ts";
import { optionNames, optionsOf } from "./options.ts";

/**
 * How to open a file. It is always opened for reading, too: libpmem2 refuses
 * a write-only descriptor.
 */
export interface OpenOptions {
  /**
   * Open the file for writing. `create`, `createNew` and `size` do so as well.
   *
   * @default {true}
   */
  write?: boolean | undefined;
  /**
   * Create the file if it doesn't exist. Give `size`, too, if it's to be mapped:
   * an empty file can't be.
   *
   * @default {false}
   */
  create?: boolean | undefined;
  /**
   * Create the file, and fail if it exists.
   *
   * @default {false}
   */
  createNew?: boolean | undefined;
  /**
   * Grow the file to this size in bytes, with blocks allocated for all of it:
   * a store to a map of it can't run out of disk. It is never shrunk.
   *
   * What a file system can't promise: that holds on ext4, XFS and tmpfs, but not
   * where blocks are copied at each write (btrfs; XFS files that share blocks
   * with a reflink), nor where the file system can't allocate (ext2, NFS before
   * 4.2, many FUSE file systems): there the file is filled up with zeros. Nor for
   * what a file that is longer than `size` has behind it.
   */
  size?: number | undefined;
  /**
   * Permissions of a new file, 0 to 0o777, less the umask.
   *
   * @default {0o666}
   */
  mode?: number | undefined;
}

/** {@linkcode OpenOptions}, read once and checked. */
export interface FileSettings {
  write: boolean;
  create: boolean;
  createNew: boolean;
  size: number | undefined;
  mode: number;
}

/** The options, by name. */
export const opening: Record<keyof OpenOptions, true> = {
  write: true,
  create: true,
  createNew: true,
  size: true,
  mode: true,
};

const names = optionNames<OpenOptions>(opening);

/** Reads and checks the options. */
export function fileSettings(
  action: string,
  options: OpenOptions | null | undefined,
): FileSettings {
  return checkedFileSettings(action, optionsOf(action, options, names));
}

/** Checks options that nobody else reads. */
export function checkedFileSettings(
  action: string,
  options: OpenOptions,
): FileSettings {
  const {
    write = true,
    create = false,
    createNew = false,
    size,
    mode = 0o666,
  } = options;
  checkBoolean(action, "write", write);
  checkBoolean(action, "create", create);
  checkBoolean(action, "createNew", createNew);
  if (size !== undefined) checkInteger(action, "size", size);
  checkInteger(action, "mode", mode, 0, 0o777);
  return {
    write: write || create || createNew || size !== undefined,
    create,
    createNew,
    size,
    mode,
  };
}
