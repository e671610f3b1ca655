/**
 * The groups of C functions. Each group is opened when it is first used, as in
 * `mapFunctions().pmem2_map_new(…)`.
 *
 * @module
 */

import * as libc from "./libc_symbols.ts";
import * as libpmem2 from "./libpmem2_symbols.ts";
import { lazily } from "./library.ts";

// libpmem2's
export const mapFunctions = lazily(libpmem2.mapSymbols);
export const configFunctions = lazily(libpmem2.configSymbols);
export const persistenceFunctions = lazily(libpmem2.persistenceSymbols);
export const memoryFunctions = lazily(libpmem2.memorySymbols);
export const deepFlushFunctions = lazily(libpmem2.deepFlushSymbols);
export const placementFunctions = lazily(libpmem2.placementSymbols);
export const deletionFunctions = lazily(libpmem2.deletionSymbols);
export const reservationFunctions = lazily(libpmem2.reservationSymbols);
export const sourceFunctions = lazily(libpmem2.sourceSymbols);
export const rasFunctions = lazily(libpmem2.rasSymbols);
export const existingMapFunctions = lazily(libpmem2.existingMapSymbols);

// libc's
export const fileFunctions = lazily(libc.fileSymbols);
export const callFunctions = lazily(libc.callSymbols);
export const callAsyncFunctions = lazily(libc.callAsyncSymbols);
export const copyFunctions = lazily(libc.copySymbols);
export const msyncFunctions = lazily(libc.msyncSymbols);
export const msyncAsyncFunctions = lazily(libc.msyncAsyncSymbols);
export const systemFunctions = lazily(libc.systemSymbols);
export const sharedPageFunctions = lazily(libc.sharedPageSymbols);
export const addressSpaceFunctions = lazily(libc.addressSpaceSymbols);
export const remapFunctions = lazily(libc.remapSymbols);
export const directoryFunctions = lazily(libc.directorySymbols);
export const fileSystemFunctions = lazily(libc.fileSystemSymbols);
export const allocationFunctions = lazily(libc.allocationSymbols);
export const growthFunctions = lazily(libc.growthSymbols);
export const threadKeyFunctions = lazily(libc.threadKeySymbols);
export const contentFunctions = lazily(libc.contentSymbols);
