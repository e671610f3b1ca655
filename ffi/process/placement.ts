/**
 * Chooses the addresses of everything that this module maps.
 *
 * SAFETY: on a file system that knows MAP_SYNC but has no DAX here, such as ext4 or XFS,
 * libpmem2 unmaps the place of a new map for a moment. If the kernel had chosen that
 * place, it would give it to the next mmap of any thread, V8 included, and libpmem2 would
 * map over that. So this module uses addresses where the kernel places nothing on its
 * own.
 *
 * @module
 */

import {
  ArrayBuffer,
  BigInt,
  BigUint64Array,
  Math,
  Number,
} from "../input/intrinsics.ts";
import { systemFunctions } from "../c/functions.ts";
import { alignUp } from "./alignment.ts";

const { floor, random } = Math;

const AT_PAGESZ = 6n;
const AT_EXECFN = 31n;

let page = 0;

/** Returns the page size in bytes: 4,096, or up to 65,536 on arm64. */
export function pageSize(): number {
  return page ||= Number(systemFunctions().getauxval(AT_PAGESZ));
}

let limit = 0n;

/**
 * Returns the end of the address space, unless the process asks for more: 2^47 on
 * x86-64, 2^39 to 2^48 on arm64. The path of the program is at the top of the stack, and
 * the top of the stack is at most a few GiB below the end.
 */
export function addressLimit(): bigint {
  if (limit === 0n) {
    const top = systemFunctions().getauxval(AT_EXECFN);
    for (limit = 1n; limit <= top;) limit <<= 1n;
  }
  return limit;
}

/** How many random places are tried before the next part of the addresses. */
const DRAWS = 32;

/**
 * The parts of the address space in which places are chosen, in 64ths. The first part is
 * small, to leave room for something large; when it is full, the large one is used. Both
 * are above the hints that V8 gives mmap, above the program and its heap, and below the
 * address from where the kernel goes down.
 */
const PARTS = [{ from: 45n, to: 46n }, { from: 48n, to: 56n }] as const;

/** Returns the address below which the page is that all isolates share. */
export function sharedPlace(): bigint {
  return addressLimit() / 64n * PARTS[0].from;
}

/**
 * Returns an aligned address for a range of this size: another one for each number of
 * `tries`, and null if there are no more.
 *
 * SAFETY: the addresses are random, since an operation may still use memory that was
 * unmapped a moment ago. A range that is too large for the parts goes to the first place
 * where it fits, but not to the end of the address space: V8 needs room there, and ends
 * the process without it.
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
  // The last choice is between the program and the page that all isolates share.
  const steps = (unit * 63n - size - alignUp(unit * PARTS[0].from, step)) /
    step;
  const left = BigInt(tries) - (steps >= 0n ? steps + 1n : 0n);
  const below = alignUp(unit * 43n, step) + left * step;
  return below + size <= unit * PARTS[0].from ? below : null;
}

/**
 * Whether the address space of the process is limited (RLIMIT_AS, `ulimit -v`). Then no
 * addresses are reserved in advance.
 */
export function isRationed(): boolean {
  const RLIMIT_AS = 9;
  const RLIM_INFINITY = 2n ** 64n - 1n;
  // struct rlimit: the limit in force is its first word.
  const rlimit = new BigUint64Array(new ArrayBuffer(128));
  rlimit[0] = RLIM_INFINITY;
  systemFunctions().getrlimit(RLIMIT_AS, rlimit);
  return rlimit[0] !== RLIM_INFINITY;
}
