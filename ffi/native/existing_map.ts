/**
 * Makes maps of memory that other native code mapped and still owns.
 *
 * @module
 */

import {
  ArrayBuffer,
  bareArray,
  BigInt,
  Uint32Array,
} from "../input/intrinsics.ts";
import { cell, received } from "../c/cell.ts";
import { check, clearMessage } from "../c/error.ts";
import { existingMapFunctions, threadKeyFunctions } from "../c/functions.ts";
import { libraryInfo } from "../c/library.ts";
import { rangeError } from "../input/caller.ts";
import { protectionOf } from "../process/address_space.ts";
import { requireStack } from "../process/stack.ts";
import { isInArena } from "./arena.ts";
import { NativeMap } from "./map.ts";
import type { NativeSource } from "./source.ts";
import { liveReservations } from "./vm_reservation.ts";

/** Makes a map of memory that is already mapped. */
export function mapExisting(
  action: string,
  source: NativeSource,
  address: bigint,
  size: number,
  granularity: number,
): NativeMap {
  const end = address + BigInt(size);
  liveReservations.forEach((reservation) => {
    if (address < reservation.end && reservation.address < end) {
      throw rangeError(
        `Cannot ${action} as address must not be in a reservation: received ${address}n`,
      );
    }
  });
  const { readable, writable, mapped, shared, sourceOffset } =
    protectionOf(address, BigInt(size)) ??
      // Nothing is mapped there yet, but this module may put a map there.
      (isInArena(address, BigInt(size)) ? NOTHING : UNKNOWN);
  if (!mapped || !(readable || writable)) {
    throw rangeError(
      `Cannot ${action} as all of the memory must be mapped and accessible: received ${size} bytes at ${address}n`,
    );
  }
  checkKeys(action);
  requireStack();
  clearMessage();
  check(
    existingMapFunctions().pmem2_map_from_existing(
      cell(),
      source.pointer,
      address,
      BigInt(size),
      granularity,
    ),
    "pmem2_map_from_existing",
    source.path,
  );
  const { path, writeback } = source;
  const traits = {
    readable,
    writable,
    shared,
    path,
    sourceOffset,
    writeback,
  };
  return new NativeMap(received(), traits, null, false);
}

const NOTHING = {
  mapped: false,
  readable: false,
  writable: false,
  shared: false,
  sourceOffset: 0,
};

/** Without /proc, the caller is trusted. */
const UNKNOWN = {
  mapped: true,
  readable: true,
  writable: true,
  shared: true,
  sourceOffset: 0,
};

/** How many pthread keys are left for other code. */
const SPARE_KEYS = 64;

/**
 * Checks that pthread keys are left. A process has 1,024; libpmem2 1.x takes one for
 * each of these maps, and 1.12 leaks it.
 *
 * SAFETY: without a key, libpmem2 makes a map whose deletion deletes a key of other
 * code, and aborts the process at its next error.
 */
function checkKeys(action: string): void {
  if (libraryInfo().symbolVersion !== "LIBPMEM2_1.0") return;
  const { pthread_key_create, pthread_key_delete } = threadKeyFunctions();
  const keys = bareArray<number>();
  const key = new Uint32Array(new ArrayBuffer(128));
  while (keys.length < SPARE_KEYS && pthread_key_create(key, 0n) === 0) {
    keys[keys.length] = key[0]!;
  }
  for (let i = 0; i < keys.length; i++) pthread_key_delete(keys[i]!);
  if (keys.length < SPARE_KEYS) {
    throw rangeError(
      `Cannot ${action} as the process has too few pthread keys left: libpmem2 1.x takes one for each map of existing memory, and 1.12 leaks it`,
    );
  }
}
