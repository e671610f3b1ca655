/**
 * Writing mapped pages to their file: msync(2), and what became of it.
 *
 * At page granularity libpmem2's own functions call msync, too, but end the
 * process if it fails, and never return if a range starts at the first page of a
 * map of existing memory.
 *
 * @module
 */

import * as error from "../c/error.ts";
import { Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import { msyncAsyncFunctions, msyncFunctions } from "../c/functions.ts";
import type { msyncSymbols } from "../c/libc_symbols.ts";
import type { Symbols } from "../c/symbol_table.ts";
import { pageSize } from "../process/placement.ts";
import { identityOf } from "../process/open_file.ts";

// PERF: what is imported V8 looks up at each use; a module's own constants it
// knows.
const { asUintN } = BigInt;
const { lastErrno } = error;

const MS_SYNC = 4;

let msync: Symbols<typeof msyncSymbols>["msync"];
/** Clears what an address has below a page. */
let pageMask = 0n;

/** Goes before the first {@linkcode Writeback.sync}. */
export function openMsync(): void {
  msync = msyncFunctions().msync;
  pageMask = BigInt(-pageSize());
}

/** Whether anything has ever failed: without that nobody need be asked. */
let failed = false;

/** Whether one of them may throw at {@linkcode Writeback.check}. */
export function hasFailed(): boolean {
  return failed;
}

const byDescriptor = new Map<number, Writeback>();

/**
 * What became of the stores to a source: all its maps have the same one.
 *
 * The kernel tells a failure once, to whoever asks first, and takes the pages for
 * clean from then on: the next msync succeeds, and the stores are lost. So what
 * has failed stays failed, for all maps of the source, until it's opened again.
 */
export class Writeback {
  readonly #path: string | null;
  #failure: Pmem2Error | null = null;
  /** Those of other threads that are not done. */
  #flushing: Set<Promise<number>> | null = null;
  /** Sources and maps that are open. */
  #users = 0;
  /** Its descriptor, and which file that is, if it's known by them. */
  #descriptor = -1;
  #identity: string | null = null;

  constructor(path: string | null) {
    this.#path = path;
  }

  /**
   * That of an open descriptor, which all sources of that share: they are of one
   * open file, whose failure the kernel tells once.
   *
   * @param own Whether nobody else can have closed the descriptor meanwhile.
   */
  static of(descriptor: number, path: string | null, own: boolean): Writeback {
    const known = byDescriptor.get(descriptor);
    const identity = own ? null : identityOf(descriptor);
    if (known !== undefined && !own) {
      if (known.#identity === null || known.#identity === identity) {
        return known;
      }
    }
    const writeback = new Writeback(path);
    writeback.#descriptor = descriptor;
    writeback.#identity = identity;
    byDescriptor.set(descriptor, writeback);
    return writeback;
  }

  /** Another source or map has it. */
  retain(): void {
    this.#users++;
  }

  /** One of them is closed. */
  release(): void {
    if (--this.#users === 0) this.forgetDescriptor();
  }

  /** The descriptor is closed: its number may become another file's. */
  forgetDescriptor(): void {
    if (byDescriptor.get(this.#descriptor) === this) {
      byDescriptor.delete(this.#descriptor);
    }
  }

  /** Throws if something has failed. */
  check(): void {
    if (this.#failure === null) return;
    // The same, with the stack of who asks now.
    throw this.#error(this.#failure.errno, this.#failure.call);
  }

  /** Notes that a function has failed, and throws. */
  fail(errno: number, call: string): never {
    failed = true;
    this.#failure ??= this.#error(errno, call);
    throw this.#failure;
  }

  #error(errno: number, call: string): Pmem2Error {
    const message =
      "what was stored may be lost: close the map, open the file again, and store again";
    return new Pmem2Error(errno, call, message, this.#path);
  }

  /** Writes the pages of a range to the file, and waits for it. */
  sync(address: bigint, size: bigint): void {
    const from = asUintN(64, address & pageMask);
    const length = asUintN(64, size + (address - from));
    if (this.#failure !== null || msync(from, length, MS_SYNC) !== 0) {
      this.#syncAgain(from, length);
    }
  }

  /** What failed is not tried again, unless a signal was all that came between. */
  #syncAgain(from: bigint, length: bigint): void {
    this.check();
    do {
      const errno = lastErrno();
      if (errno !== EINTR) this.fail(-errno, "msync");
    } while (msync(from, length, MS_SYNC) !== 0);
  }

  /** The same on another thread. */
  async syncAsync(address: bigint, size: bigint): Promise<void> {
    this.check();
    const from = address & pageMask;
    const length = size + (address - from);
    const flushing = msyncAsyncFunctions().msync_async(from, length, MS_SYNC);
    const all = this.#flushing ??= new Set();
    all.add(flushing);
    try {
      if (await flushing !== 0) {
        // errno is the other thread's. It may well fail here the same way; but
        // if it doesn't, that is no proof: the failure has been told.
        this.sync(from, length);
        this.fail(-EIO, "msync");
      }
    } finally {
      all.delete(flushing);
    }
    // One that runs at the same time may have been told what was this one's.
    await Promise.all(all);
    this.check();
  }
}

const [EINTR, EIO] = [errnoOf("EINTR"), errnoOf("EIO")];
