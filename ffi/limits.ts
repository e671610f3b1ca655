/**
 * How large things get.
 *
 * @module
 */

/** Linux's address space, on x86-64 and on arm64, for a size in bytes. */
export const MAX_SIZE = 2 ** 47;

/** Highest number of a file descriptor: C's INT_MAX. */
export const MAX_FD = 2 ** 31 - 1;
