/**
 * The native side of a source. Internal to the module; arguments were checked by the
 * caller.
 *
 * @module
 */

import {
  ArrayBuffer,
  BigInt,
  Math,
  Number,
  Set,
  Uint8Array,
} from "../input/intrinsics.ts";
import { cell, cellWith, received } from "../c/cell.ts";
import { check, clearMessage, Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import {
  fileFunctions,
  mapFunctions,
  placementFunctions,
  rasFunctions,
  sourceFunctions,
} from "../c/functions.ts";
import type { SourcePointer } from "../c/pointer.ts";
import { fromCString } from "../c/string.ts";
import { fromCaller } from "../input/caller.ts";
import type { FileSettings } from "../input/open_options.ts";
import { subarray } from "../input/views.ts";
import { allocateRange } from "../process/allocation.ts";
import { processLock } from "../process/lock.ts";
import { openFile, opening } from "../process/open_file.ts";
import { requireStack } from "../process/stack.ts";
import { atUnload } from "./unload.ts";
import { Writeback } from "./writeback.ts";

/** Where C writes an int. */
const int = new Int32Array(new ArrayBuffer(128));

/** More than this may take several calls of pread(2) or pwrite(2); libpmem2 makes one. */
const MAX_TRANSFER = 2 ** 30;

/** A file system stores an aligned block of this size as a whole, or not at all. */
const BLOCK = 4096;

/** The open sources that own a descriptor. */
const owners = new Set<NativeSource>();

function closeOwners(): void {
  owners.forEach((source) => source.close());
}

/** The native side of a source; internal to the module. */
export class NativeSource {
  readonly pointer: SourcePointer;
  readonly path: string | null;
  readonly anonymous: boolean;
  /** The descriptor, if the source owns it and must close it. */
  readonly ownFd: number | null;
  /** Whether stores to maps of the source have failed to reach it. */
  readonly writeback: Writeback;
  closed = false;

  constructor(
    pointer: SourcePointer,
    path: string | null,
    anonymous: boolean,
    ownFd: number | null,
    writeback: Writeback,
  ) {
    this.pointer = pointer;
    this.path = path;
    this.anonymous = anonymous;
    this.ownFd = ownFd;
    this.writeback = writeback;
    writeback.retain();
    if (ownFd === null) return;
    if (owners.size === 0) atUnload(closeOwners);
    owners.add(this);
  }

  /** The caller must have made sure that there is room on the stack. */
  static fromFd(fd: number, path: string | null, own: boolean): NativeSource {
    clearMessage();
    const result = mapFunctions().pmem2_source_from_fd(cell(), fd);
    check(result, "pmem2_source_from_fd", path);
    const pointer = received<SourcePointer>();
    const writeback = Writeback.of(fd, path, own);
    const ownFd = own ? fd : null;
    return new NativeSource(pointer, path, false, ownFd, writeback);
  }

  static anonymous(size: number): NativeSource {
    requireStack();
    // Opens what closing needs: the permission may be revoked by then.
    mapFunctions();
    clearMessage();
    const result = sourceFunctions().pmem2_source_from_anon(
      cell(),
      BigInt(size),
    );
    check(result, "pmem2_source_from_anon");
    const writeback = new Writeback(null);
    return new NativeSource(received(), null, true, null, writeback);
  }

  /** Opens a file. The source stays in {@linkcode opening} until it is claimed or discarded. */
  static open(path: string, settings: FileSettings): NativeSource {
    try {
      const fd = openFile(path, settings);
      const source = NativeSource.fromFd(fd, path, true);
      opening.passTo(source);
      return source;
    } catch (error) {
      opening.discard();
      throw fromCaller(error);
    }
  }

  get size(): number {
    clearMessage();
    const result = placementFunctions().pmem2_source_size(this.pointer, cell());
    check(result, "pmem2_source_size", this.path);
    return Number(received());
  }

  get alignment(): number {
    clearMessage();
    const result = sourceFunctions().pmem2_source_alignment(
      this.pointer,
      cell(),
    );
    check(result, "pmem2_source_alignment", this.path);
    return Number(received());
  }

  get descriptor(): number {
    clearMessage();
    const result = sourceFunctions().pmem2_source_get_fd(this.pointer, int);
    check(result, "pmem2_source_get_fd", this.path);
    return int[0]!;
  }

  /** Reads from the source. */
  read(target: Uint8Array, offset: number, length: number): void {
    const call = "pmem2_source_pread_mcsafe";
    this.#transfer(call, target, offset, length, MAX_TRANSFER);
  }

  /**
   * Writes to the source. libpmem2 does not tell how much was written. So the blocks are
   * allocated first, or else the bytes are written in pieces of whole blocks.
   */
  write(data: Uint8Array, offset: number, length: number): void {
    if (length === 0) return;
    const call = "pmem2_source_pwrite_mcsafe";
    let piece = MAX_TRANSFER;
    if (!this.anonymous) {
      const { descriptor, path } = this;
      this.#checkNotAppending(call, descriptor);
      if (!allocateRange(descriptor, path, offset, offset + length)) {
        piece = BLOCK;
      }
    }
    this.#transfer(call, data, offset, length, piece);
  }

  #checkNotAppending(call: string, fd: number): void {
    const F_GETFL = 3;
    const O_APPEND = 0o2000;
    if ((fileFunctions().fcntl(fd, F_GETFL, 0) & O_APPEND) === 0) return;
    throw new Pmem2Error(
      -errnoOf("EINVAL"),
      call,
      "the descriptor was opened for appending, so Linux would write at the end of the file",
      this.path,
    );
  }

  /** Moves bytes between an array and the source. */
  #transfer(
    call: "pmem2_source_pread_mcsafe" | "pmem2_source_pwrite_mcsafe",
    array: Uint8Array,
    offset: number,
    length: number,
    piece: number,
  ): void {
    const { flockfile, funlockfile } = fileFunctions();
    const { [call]: move } = rasFunctions();
    const file = processLock();
    for (let done = 0; done < length;) {
      const at = offset + done;
      const size = Math.min(length - done, piece - at % piece);
      const part = size < length ? subarray(array, done, size) : array;
      const count = BigInt(size);
      const position = BigInt(at);
      clearMessage();
      // SAFETY: on a device DAX, libpmem2 makes a map of its own, so it takes the lock.
      flockfile(file);
      const result = move(this.pointer, part, count, position);
      funlockfile(file);
      check(result, call, this.path);
      done += size;
    }
  }

  deviceId(): string {
    const call = "pmem2_source_device_id";
    const { [call]: deviceId } = rasFunctions();
    clearMessage();
    check(deviceId(this.pointer, null, cellWith(0n)), call, this.path);
    const length = Number(received()) + 64;
    const id = new Uint8Array(new ArrayBuffer(length));
    check(
      deviceId(this.pointer, id, cellWith(BigInt(length))),
      call,
      this.path,
    );
    return fromCString(id);
  }

  numaNode(): number {
    clearMessage();
    const result = rasFunctions().pmem2_source_numa_node(this.pointer, int);
    check(result, "pmem2_source_numa_node", this.path);
    return int[0]!;
  }

  unsafeShutdownCount(): bigint {
    clearMessage();
    const result = rasFunctions().pmem2_source_device_usc(this.pointer, cell());
    check(result, "pmem2_source_device_usc", this.path);
    return received();
  }

  close(): void {
    if (this.closed) return;
    requireStack();
    this.closed = true;
    mapFunctions().pmem2_source_delete(cellWith(this.pointer));
    if (this.ownFd !== null) {
      owners.delete(this);
      this.writeback.forgetDescriptor();
      fileFunctions().close(this.ownFd);
    }
    this.writeback.release();
  }
}
