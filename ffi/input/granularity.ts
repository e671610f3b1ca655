/**
 * Store granularity, in words and in the numbers of libpmem2.h.
 *
 * @module
 */

/**
 * How much must be written out to make a store durable: single bytes (eADR,
 * stores are durable once they are visible), cache lines (persistent memory) or
 * pages (ordinary storage, through msync). C's `enum pmem2_granularity`.
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
