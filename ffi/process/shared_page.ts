/**
 * A page that all isolates of the process find: every worker has a copy of this
 * module of its own, and no other way to tell the others something.
 *
 * It lies at an address that follows from the system alone, where the kernel places
 * nothing by itself. mmap gives it to one isolate, and tells the others that it's
 * there: whoever gets it fills it in, the mark last.
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

/** What the page begins with. What it holds is the same for all that have this. */
const MARK = 0x706d_656d_3200_0001n;

/** Where in the page, in bytes, is what. */
const LOCK = 8n;
const ALLOWANCE = 16n;

/** So many mappings may be made before the first look at how many there are. */
const FIRST_ALLOWANCE = 256;

/** Should other native code lie there, the next place is taken. */
const PLACES = 8n;
const DISTANCE = 2n ** 21n;

/** What is read from the page, and written to it; over memory that doesn't move. */
const words = new BigUint64Array(new ArrayBuffer(128));

let page = 0n;
let lock = 0n;

/** The `FILE *` whose lock is that of all isolates. */
export function sharedLock(): bigint {
  if (lock === 0n) find();
  return lock;
}

/** The `sem_t` that counts how many mappings may be made unseen. */
export function sharedAllowance(): bigint {
  if (page === 0n) find();
  return page + ALLOWANCE;
}

function find(): void {
  requireStack(MUCH);
  const behind = sharedPlace();
  for (let i = 1n; i <= PLACES; i++) {
    const address = behind - i * DISTANCE;
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
    "no page was found for what all workers share",
  );
}

/** Makes the page, if there is nothing at the address. */
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
    // A kernel before 4.17 takes the address for a hint.
    if (got < 2n ** 63n) munmap(got, size);
    return false;
  }
  // A stream that nobody else knows, for the sake of its lock.
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

/** More than it takes another isolate to fill the page in. */
const PATIENCE = 200_000;

/** Whether another isolate has made the page at the address. */
function isThere(address: bigint): boolean {
  const F_OK = 0;
  const EFAULT = errnoOf("EFAULT");
  const { access } = addressSpaceFunctions();
  const { copy_out } = loaderFunctions();
  for (let i = 0; i < PATIENCE; i++) {
    // A path that can't be read is a bad address.
    if (access(address, F_OK) !== 0 && lastErrno() === EFAULT) return false;
    copy_out(words, address, 8n);
    if (words[0] === MARK) return true;
    if (words[0] !== 0n) return false;
  }
  return false;
}
