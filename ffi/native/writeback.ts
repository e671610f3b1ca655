/**
 * Writes mapped pages to their file with msync(2), and remembers failures.
 *
 * SAFETY: at page granularity, libpmem2's own functions call msync as well, but they
 * abort the process if it fails, and never return for a range that starts in the first
 * page of a map of existing memory.
 *
 * @module
 */

import { BigInt, Map, Set } from "../input/intrinsics.ts";
import * as error from "../c/error.ts";
import { Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import { msyncAsyncFunctions, msyncFunctions } from "../c/functions.ts";
import type { msyncSymbols } from "../c/libc_symbols.ts";
import type { Symbols } from "../c/symbol_table.ts";
import { pageSize } from "../process/placement.ts";
import { identityOf } from "../process/open_file.ts";

// PERF: see preload.ts.
const { asUintN } = BigInt;
const { lastErrno } = error;

const MS_SYNC = 4;

let msync: Symbols<typeof msyncSymbols>["msync"];
/** Rounds an address down to its page. */
let pageMask = 0n;

/** Must be called before the first {@linkcode Writeback.sync}. */
export function openMsync(): void {
  msync = msyncFunctions().msync;
  pageMask = BigInt(-pageSize());
}

/** Whether any source has failed in this isolate. */
let failed = false;

/** Whether {@linkcode Writeback.check} may throw for any source. */
export function hasFailed(): boolean {
  return failed;
}

const byDescriptor = new Map<number, Writeback>();

/**
 * Whether stores to a source have failed to reach it. All maps of a source share one of
 * these.
 *
 * The kernel reports a failure once, to the first that asks, and then treats the pages
 * as clean: the next msync succeeds, although the stores are lost. So a failure is kept
 * for all maps of the source, until the source is opened again.
 */
export class Writeback {
  readonly #path: string | null;
  #failure: Pmem2Error | null = null;
  /** The calls of msync that are running on other threads. */
  #flushing: Set<Promise<number>> | null = null;
  /** How many open sources and maps share this. */
  #users = 0;
  /** The descriptor, and which file it belongs to, if this is found by them. */
  #descriptor = -1;
  #identity: string | null = null;

  constructor(path: string | null) {
    this.#path = path;
  }

  /**
   * Returns the one of an open descriptor. All sources of a descriptor share it, since
   * the kernel reports a failure once per open file.
   *
   * @param own Whether the source owns the descriptor, so that nobody else closes it.
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

  /** Records that another source or map shares this. */
  retain(): void {
    this.#users++;
  }

  /** Records that a source or map that shares this was closed. */
  release(): void {
    if (--this.#users === 0) this.forgetDescriptor();
  }

  /** Forgets the descriptor, whose number may be given to another file after closing. */
  forgetDescriptor(): void {
    if (byDescriptor.get(this.#descriptor) === this) {
      byDescriptor.delete(this.#descriptor);
    }
  }

  /** Throws if the source has failed. */
  check(): void {
    if (this.#failure === null) return;
    // The same error, with the stack of the current caller.
    throw this.#error(this.#failure.errno, this.#failure.call);
  }

  /** Records that a function has failed, and throws. */
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

  /** Writes the pages of a range to the file, and waits until that is done. */
  sync(address: bigint, size: bigint): void {
    const from = asUintN(64, address & pageMask);
    const length = asUintN(64, size + (address - from));
    if (this.#failure !== null || msync(from, length, MS_SYNC) !== 0) {
      this.#syncAgain(from, length);
    }
  }

  /** Throws for a failure, and tries again only after an interruption by a signal. */
  #syncAgain(from: bigint, length: bigint): void {
    this.check();
    do {
      const errno = lastErrno();
      if (errno !== EINTR) this.fail(-errno, "msync");
    } while (msync(from, length, MS_SYNC) !== 0);
  }

  /** Writes the pages of a range to the file on another thread. */
  async syncAsync(address: bigint, size: bigint): Promise<void> {
    this.check();
    const from = address & pageMask;
    const length = size + (address - from);
    const flushing = msyncAsyncFunctions().msync_async(from, length, MS_SYNC);
    const all = this.#flushing ??= new Set();
    all.add(flushing);
    try {
      if (await flushing !== 0) {
        // errno stays on the other thread. A second call may fail in the same way here.
        // If it succeeds, that proves nothing, since the failure was already reported.
        this.sync(from, length);
        this.fail(-EIO, "msync");
      }
    } finally {
      all.delete(flushing);
    }
    // A failure of this call may have been reported to one that ran at the same time.
    await Promise.all(all);
    this.check();
  }
}

const [EINTR, EIO] = [errnoOf("EINTR"), errnoOf("EIO")];
