/**
 * How to open a file.
 *
 * @module
 */

import { checkBoolean, checkInteger } from "./argument.ts";
import { optionNames, optionsOf } from "./options.ts";

/**
 * How to open a file. Every file is opened for reading, since libpmem2 refuses a
 * write-only descriptor.
 */
export interface OpenOptions {
  /**
   * Whether to open the file for writing as well. `create`, `createNew` and `size`
   * imply it.
   *
   * @default {true}
   */
  write?: boolean | undefined;
  /**
   * Whether to create the file if it does not exist. Give `size` as well to map the
   * file: an empty file cannot be mapped.
   *
   * @default {false}
   */
  create?: boolean | undefined;
  /**
   * Whether to create the file, and to fail if it exists.
   *
   * @default {false}
   */
  createNew?: boolean | undefined;
  /**
   * The least size of the file in bytes. A shorter file grows to it; a longer file is
   * never cut. Blocks are allocated for the first `size` bytes, so that a store to a
   * map of them cannot run out of disk space.
   *
   * That holds on ext4, XFS and tmpfs. It does not hold on file systems that copy
   * blocks on each write (btrfs, and XFS files that share blocks with a reflink). File
   * systems that cannot allocate blocks (ext2, NFS before 4.2, many FUSE file systems)
   * get zeros written at the end of the file instead.
   */
  size?: number | undefined;
  /**
   * The permissions of a new file: 0 to 0o777. The umask is taken off.
   *
   * @default {0o666}
   */
  mode?: number | undefined;
}

/** The options after they were read once and checked. */
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

/** Checks options that were read already. */
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
