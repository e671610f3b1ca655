/**
 * What a source is natively. Internal to the module; what gets here is checked
 * already.
 *
 * @module
 */

import { cell, cellWith, received } from "../c/cell.ts";
import { check, clearMessage, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import {
  allocationFunctions,
  fileFunctions,
  mapFunctions,
  placementFunctions,
  rasFunctions,
  sourceFunctions,
} from "../c/functions.ts";
import type { SourcePointer } from "../c/pointer.ts";
import { fromCString } from "../c/string.ts";
import { fromCaller } from "../input/caller.ts";
import { subarray } from "../input/views.ts";
import { stdinLock } from "../process/lock.ts";
import { closePending, openFile, pending } from "../process/open_file.ts";
import { requireStack } from "../process/stack.ts";
import { Writeback } from "./writeback.ts";

/** Where C writes an int. */
const int = new Int32Array(new ArrayBuffer(128));

/** What one pread(2) or pwrite(2) moves at most; libpmem2 doesn't go on. */
const MAX_TRANSFER = 2 ** 30;

/** The errors of a file system that can't store what is to be written. */
const NO_ROOM = (["ENOSPC", "EDQUOT", "EFBIG", "EIO"] as const).map(errnoOf);

/**
 * The source that was opened last, until somebody has it who will close it. A call
 * that runs out of stack may not get that far, but then the next one closes it.
 */
let unclaimed: NativeSource | null = null;

/** What a source is natively; internal to the module. */
export class NativeSource {
  readonly pointer: SourcePointer;
  readonly path: string | null;
  readonly anonymous: boolean;
  /** The descriptor to close with the source, if it's the source's own. */
  readonly ownFd: number | null;
  /** What became of the stores to its maps. */
  readonly writeback: Writeback;
  closed = false;
  /** Takes the file away again, if it was made when the source was opened. */
  discard: (() => void) | null = null;

  constructor(
    pointer: SourcePointer,
    path: string | null,
    anonymous: boolean,
    ownFd: number | null,
  ) {
    this.pointer = pointer;
    this.path = path;
    this.anonymous = anonymous;
    this.ownFd = ownFd;
    this.writeback = new Writeback(path);
  }

  /** Whoever calls it has seen to it that there is room on the stack. */
  static fromFd(fd: number, path: string | null, own: boolean): NativeSource {
    clearMessage();
    const result = mapFunctions().pmem2_source_from_fd(cell(), fd);
    check(result, "pmem2_source_from_fd");
    return new NativeSource(received(), path, false, own ? fd : null);
  }

  static anonymous(size: number): NativeSource {
    requireStack();
    clearMessage();
    const result = sourceFunctions().pmem2_source_from_anon(
      cell(),
      BigInt(size),
    );
    check(result, "pmem2_source_from_anon");
    return new NativeSource(received(), null, true, null);
  }

  /** The source is {@linkcode unclaimed} until it's closed or has a wrapper. */
  static open(
    path: string,
    settings: Parameters<typeof openFile>[1],
  ): NativeSource {
    unclaimed?.close();
    try {
      const { fd, discard } = openFile(path, settings);
      const source = NativeSource.fromFd(fd, path, true);
      pending.fd = -1;
      unclaimed = source;
      source.discard = discard;
      return source;
    } catch (error) {
      closePending();
      throw fromCaller(error);
    }
  }

  get size(): number {
    clearMessage();
    const result = placementFunctions().pmem2_source_size(this.pointer, cell());
    check(result, "pmem2_source_size");
    return Number(received());
  }

  get alignment(): number {
    clearMessage();
    const result = sourceFunctions().pmem2_source_alignment(
      this.pointer,
      cell(),
    );
    check(result, "pmem2_source_alignment");
    return Number(received());
  }

  /**
   * Has the file system find room for what is to be written: libpmem2 doesn't
   * tell how much of it was. What is no matter of room is left to the write.
   */
  allocate(offset: number, length: number): void {
    if (this.anonymous || length === 0) return;
    const { posix_fallocate } = allocationFunctions();
    const [at, size] = [BigInt(offset), BigInt(length)];
    const error = posix_fallocate(this.descriptor, at, size);
    if (NO_ROOM.includes(error)) {
      throw new Pmem2Error(-error, "posix_fallocate");
    }
  }

  get descriptor(): number {
    clearMessage();
    const result = sourceFunctions().pmem2_source_get_fd(this.pointer, int);
    check(result, "pmem2_source_get_fd");
    return int[0]!;
  }

  /** Moves bytes between an array and the source. */
  transfer(
    call: "pmem2_source_pread_mcsafe" | "pmem2_source_pwrite_mcsafe",
    array: Uint8Array,
    offset: number,
    length: number,
  ): void {
    const { flockfile, funlockfile } = fileFunctions();
    const { [call]: move } = rasFunctions();
    const file = stdinLock();
    for (let done = 0; done < length; done += MAX_TRANSFER) {
      const size = Math.min(length - done, MAX_TRANSFER);
      const part = length > MAX_TRANSFER ? subarray(array, done, size) : array;
      const [count, at] = [BigInt(size), BigInt(offset + done)];
      clearMessage();
      // On a device DAX libpmem2 makes a map of its own.
      flockfile(file);
      const result = move(this.pointer, part, count, at);
      funlockfile(file);
      check(result, call);
    }
  }

  deviceId(): string {
    const call = "pmem2_source_device_id";
    const { [call]: deviceId } = rasFunctions();
    clearMessage();
    check(deviceId(this.pointer, null, cellWith(0n)), call);
    const id = new Uint8Array(new ArrayBuffer(Number(received()) + 64));
    check(deviceId(this.pointer, id, cellWith(BigInt(id.length))), call);
    return fromCString(id);
  }

  numaNode(): number {
    clearMessage();
    const result = rasFunctions().pmem2_source_numa_node(this.pointer, int);
    check(result, "pmem2_source_numa_node");
    return int[0]!;
  }

  unsafeShutdownCount(): bigint {
    clearMessage();
    const result = rasFunctions().pmem2_source_device_usc(this.pointer, cell());
    check(result, "pmem2_source_device_usc");
    return received();
  }

  /** Takes over what {@linkcode NativeSource.open} has opened. */
  claim(): void {
    if (unclaimed === this) unclaimed = null;
  }

  close(): void {
    if (!this.closed) {
      requireStack();
      this.closed = true;
      mapFunctions().pmem2_source_delete(cellWith(this.pointer));
      if (this.ownFd !== null) fileFunctions().close(this.ownFd);
    }
    this.claim();
  }
}
