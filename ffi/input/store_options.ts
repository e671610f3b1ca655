/**
 * How `write`, `move` and `fill` store.
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

/** How `write`, `move` and `fill` store. C's PMEM2_F_MEM_* flags. */
export interface StoreOptions {
  /**
   * Whether to flush the stores. If not, they are not durable until the caller calls
   * `persist()`, or `flush()` and `drain()`. `false` is PMEM2_F_MEM_NOFLUSH.
   *
   * @default {true}
   */
  flush?: boolean | undefined;
  /**
   * Whether to wait until the stores are durable. If not, they are durable once a
   * later `drain()` returns. `false` is PMEM2_F_MEM_NODRAIN.
   *
   * @default {true}
   */
  drain?: boolean | undefined;
  /**
   * Whether the data should stay in the CPU caches: `true` is PMEM2_F_MEM_TEMPORAL,
   * `false` is PMEM2_F_MEM_NONTEMPORAL. Without it, libpmem2 chooses by the length.
   */
  temporal?: boolean | undefined;
  /**
   * Whether the stores should be write-combining: `true` is PMEM2_F_MEM_WC, `false`
   * is PMEM2_F_MEM_WB (write-back). Without it, libpmem2 chooses by the length.
   */
  writeCombining?: boolean | undefined;
}

const names = optionNames<StoreOptions>({
  flush: true,
  drain: true,
  temporal: true,
  writeCombining: true,
});

/** Reads and checks the options, and returns C's flags. */
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
