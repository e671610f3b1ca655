/**
 * How the memory operations store.
 *
 * @module
 */

import { checkBoolean } from "./argument.ts";
import { optionNames, optionsOf } from "./options.ts";

// PMEM2_F_MEM_*
export const NODRAIN = 1 << 0;
export const NONTEMPORAL = 1 << 1;
export const TEMPORAL = 1 << 2;
export const WC = 1 << 3;
export const WB = 1 << 4;
export const NOFLUSH = 1 << 5;

/** How a memory operation stores. C's PMEM2_F_MEM_* flags. */
export interface StoreOptions {
  /**
   * Whether the stores are flushed. If not, nothing is made durable until it's
   * flushed or persisted. `false` is PMEM2_F_MEM_NOFLUSH.
   *
   * @default {true}
   */
  flush?: boolean | undefined;
  /**
   * Whether to wait until the stores are durable. If not, the caller calls
   * `drain()` later. `false` is PMEM2_F_MEM_NODRAIN.
   *
   * @default {true}
   */
  drain?: boolean | undefined;
  /**
   * Whether the data should stay in the CPU's caches: `true` is
   * PMEM2_F_MEM_TEMPORAL, `false` is PMEM2_F_MEM_NONTEMPORAL. Without it libpmem2
   * decides by the length.
   */
  temporal?: boolean | undefined;
  /**
   * The caching that the stores should use: `true` is PMEM2_F_MEM_WC
   * (write-combining), `false` is PMEM2_F_MEM_WB (write-back). Without it
   * libpmem2 decides by the length.
   */
  writeCombining?: boolean | undefined;
}

const names = optionNames<StoreOptions>({
  flush: true,
  drain: true,
  temporal: true,
  writeCombining: true,
});

/** Reads and checks the options; the flags for C. */
export function storeFlags(
  action: string,
  options: StoreOptions | null | undefined,
): number {
  if (options === undefined) return 0;
  const { flush = true, drain = true, temporal, writeCombining } = optionsOf(
    action,
    options,
    names,
  );
  checkBoolean(action, "flush", flush);
  checkBoolean(action, "drain", drain);
  return (flush ? 0 : NOFLUSH) | (drain ? 0 : NODRAIN) |
    choice(action, "temporal", temporal, TEMPORAL, NONTEMPORAL) |
    choice(action, "writeCombining", writeCombining, WC, WB);
}

function choice(
  action: string,
  name: string,
  value: unknown,
  whenTrue: number,
  whenFalse: number,
): number {
  if (value === undefined) return 0;
  checkBoolean(action, name, value);
  return value ? whenTrue : whenFalse;
}
