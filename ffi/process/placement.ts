/**
 * Where this module puts what it maps: the addresses are its own, not the
 * kernel's choice.
 *
 * On a file system that knows MAP_SYNC but has no DAX here, as ext4 and xfs do,
 * libpmem2 unmaps the place where a map is to go for a moment. Where the kernel
 * chose that place, it gives it to the next mmap of any thread, V8's included, and
 * libpmem2 maps over that. So nothing is put where the kernel places anything by
 * itself.
 *
 * @module
 */

import { BigInt, Math, Number } from "../input/intrinsics.ts";
import { systemFunctions } from "../c/functions.ts";
import { alignUp } from "./alignment.ts";

const { floor, random } = Math;

const AT_PAGESZ = 6n;
const AT_EXECFN = 31n;

let page = 0;

/** The system's page size in bytes: 4,096, or up to 65,536 on arm64. */
export function pageSize(): number {
  return page ||= Number(systemFunctions().getauxval(AT_PAGESZ));
}

let limit = 0n;

/**
 * The end of the addresses that a process has, unless it asks for more: 2^47 on
 * x86-64, 2^39 to 2^48 on arm64. The name of the program is the first thing on the
 * stack, and the stack begins at most a few GiB below the end.
 */
export function addressLimit(): bigint {
  if (limit === 0n) {
    const top = systemFunctions().getauxval(AT_EXECFN);
    for (limit = 1n; limit <= top;) limit <<= 1n;
  }
  return limit;
}

/** So often a place is drawn before the next part is tried. */
const DRAWS = 32;

/**
 * The parts of the addresses in which places are drawn, in 64ths: a small one, so
 * that room for something large is left, and where that is full a large one. They
 * begin above what V8 gives mmap as hints, above the program and its heap, and end
 * below where the kernel goes down from.
 */
const PARTS = [{ from: 45n, to: 46n }, { from: 48n, to: 56n }] as const;

/** Below this address is what all isolates share. */
export function sharedPlace(): bigint {
  return addressLimit() / 64n * PARTS[0].from;
}

/**
 * An aligned address at which a range of this size may lie, for each try another,
 * until there are no more: null. Drawn at random, since a place that somebody has
 * just left is the worst: an operation may still be under way on what was there.
 * What is too large for that goes where it fits first, but not to the upper end:
 * without room there V8 ends the process.
 */
export function placeFor(
  size: bigint,
  alignment: bigint,
  tries: number,
): bigint | null {
  const unit = addressLimit() / 64n;
  if (size <= unit / 16n) {
    const part = floor(tries / DRAWS);
    if (part < PARTS.length) {
      const { from, to } = PARTS[part]!;
      const start = alignUp(unit * from, alignment);
      const room = unit * to - start - size;
      const places = Number(room / alignment) + 1;
      return start + BigInt(floor(random() * places)) * alignment;
    }
    tries -= DRAWS * PARTS.length;
  }
  const step = alignUp(unit / 16n, alignment);
  const above = alignUp(unit * PARTS[0].from, step) + BigInt(tries) * step;
  if (above + size <= unit * 63n) return above;
  // At last between the program and what all isolates share.
  const steps = (unit * 63n - size - alignUp(unit * PARTS[0].from, step)) /
    step;
  const left = BigInt(tries) - (steps >= 0n ? steps + 1n : 0n);
  const below = alignUp(unit * 43n, step) + left * step;
  return below + size <= unit * PARTS[0].from ? below : null;
}

/**
 * Whether the process's addresses are rationed (RLIMIT_AS, `ulimit -v`): then none
 * are taken in advance.
 */
export function isRationed(): boolean {
  const RLIMIT_AS = 9;
  const RLIM_INFINITY = 2n ** 64n - 1n;
  // struct rlimit: the limit in force is its first word.
  const rlimit = new BigUint64Array(new ArrayBuffer(128)).fill(RLIM_INFINITY);
  systemFunctions().getrlimit(RLIMIT_AS, rlimit);
  return rlimit[0] !== RLIM_INFINITY;
}
