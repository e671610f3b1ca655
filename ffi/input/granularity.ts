/**
 * Store granularity: the names, and the numbers in libpmem2.h.
 *
 * @module
 */

/**
 * The unit in which stores must be written out to be durable. "byte": stores are
 * durable once they are visible (persistent memory with eADR). "cache-line": cache
 * lines must be flushed (other persistent memory). "page": pages must be written by
 * msync (ordinary storage). C's `enum pmem2_granularity`.
 */
export type Granularity = "byte" | "cache-line" | "page";

/** In the order of `enum pmem2_granularity`. */
export const granularities: readonly Granularity[] = [
  "byte",
  "cache-line",
  "page",
];

export const BYTE = 0;
export const CACHE_LINE = 1;
export const PAGE = 2;
