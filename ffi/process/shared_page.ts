/**
 * A page that all isolates of the process find. Each worker has its own copy of this
 * module, and no other way to share something with the others.
 *
 * SAFETY: its address depends on the system only, and the kernel places nothing there on
 * its own. mmap gives the page to one isolate only, and tells the others that it exists.
 * The isolate that gets it fills it in, and writes the mark last.
 *
 * @module
 */

import { BigInt } from "../input/intrinsics.ts";
import { lastErrno, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import {
  addressSpaceFunctions,
  sharedPageFunctions,
  systemFunctions,
} from "../c/functions.ts";
import { loaderFunctions } from "../c/library.ts";
import { cString } from "../c/string.ts";
import { pageSize, sharedPlace } from "./placement.ts";
import { MUCH, requireStack } from "./stack.ts";

/** The first word of the page. Pages with the same mark have the same contents. */
const MARK = 0x706d_656d_3200_0001n;

/** The offsets in the page, in bytes. */
const LOCK = 8n;
const ALLOWANCE = 16n;

/** How many mappings may be made before they are counted for the first time. */
const FIRST_ALLOWANCE = 256;

/** How many places are tried, in case other native code has mapped memory there. */
const PLACES = 8n;
const DISTANCE = 2n ** 21n;

/** Holds what is read from the page and written to it, in memory that does not move. */
const words = new BigUint64Array(new ArrayBuffer(128));

let page = 0n;
let lock = 0n;

/** Returns the `FILE *` whose lock all isolates share. */
export function sharedLock(): bigint {
  if (lock === 0n) find();
  return lock;
}

/** Returns the `sem_t` that counts how many mappings may be made before the next count. */
export function sharedAllowance(): bigint {
  if (page === 0n) find();
  return page + ALLOWANCE;
}

function find(): void {
  requireStack(MUCH);
  const end = sharedPlace();
  for (let i = 1n; i <= PLACES; i++) {
    const address = end - i * DISTANCE;
    if (make(address) || isThere(address)) {
      loaderFunctions().copy_out(words, address, 16n);
      lock = words[1]!;
      page = address;
      return;
    }
  }
  throw new Pmem2Error(
    -errnoOf("ENOMEM"),
    "mmap",
    "no place was found for the page that all workers share",
  );
}

/** Makes the page. Returns false if something else is at the address. */
function make(address: bigint): boolean {
  const PROT_READ_WRITE = 3;
  const MAP_PRIVATE_ANONYMOUS = 0x22;
  const MAP_FIXED_NOREPLACE = 0x100000;
  const { mmap, munmap } = systemFunctions();
  const { fmemopen, sem_init, copy_in } = sharedPageFunctions();
  const size = BigInt(pageSize());
  const flags = MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE;
  const got = mmap(address, size, PROT_READ_WRITE, flags, -1, 0n);
  if (got !== address) {
    // Before version 4.17, the kernel takes the address as a hint.
    if (got < 2n ** 63n) munmap(got, size);
    return false;
  }
  // A stream that no other code knows, for its lock.
  const file = fmemopen(0n, 16n, MODE);
  if (file === 0n) {
    munmap(got, size);
    throw new Pmem2Error(-errnoOf("ENOMEM"), "fmemopen");
  }
  words[0] = file;
  copy_in(address + LOCK, words, 8n);
  sem_init(address + ALLOWANCE, 0, FIRST_ALLOWANCE);
  words[0] = MARK;
  copy_in(address, words, 8n);
  return true;
}

const MODE = cString("r+");

/**
 * For how many milliseconds another isolate may take to fill in the page. It does so at
 * once, unless its thread has to wait for a CPU, or a worker is ended just then.
 *
 * SAFETY: two isolates with different pages would not wait for each other.
 */
const PATIENCE = 1000;
/** Taken at import, since tests may replace the clock. */
const now = performance.now.bind(performance);

/** Whether another isolate has made the page at the address. */
function isThere(address: bigint): boolean {
  const F_OK = 0;
  const EFAULT = errnoOf("EFAULT");
  const { access } = addressSpaceFunctions();
  const { copy_out } = loaderFunctions();
  const start = now();
  do {
    // access() reads a path from the address, and fails with EFAULT if it cannot.
    if (access(address, F_OK) !== 0 && lastErrno() === EFAULT) return false;
    copy_out(words, address, 8n);
    if (words[0] === MARK) return true;
    if (words[0] !== 0n) return false;
  } while (now() - start < PATIENCE);
  return false;
}
