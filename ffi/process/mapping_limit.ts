/**
 * Stays away from the system's limit of mappings. V8 maps memory, too, and ends
 * the process where it can't: a loop that maps until it's refused must be
 * refused before.
 *
 * @module
 */

import { Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import { mappingsLeft } from "./address_space.ts";

/** What is left to V8, to libc's malloc and to whoever else is in the process. */
const SPARE = 1000;

/** So many maps are made before the first look: it takes a while. */
let unchecked = 8192;

/**
 * Goes before each new map. As a look takes the longer the more mappings there
 * are, there are as few as may be: after each, a quarter of what is left may be
 * taken, since a map may take two mappings and others take some as well.
 */
export function checkMappingLimit(call: string): void {
  if (unchecked-- > 0) return;
  const left = mappingsLeft() - SPARE;
  unchecked = Math.max(Math.floor(left / 4), 0);
  if (left > 0) return;
  throw new Pmem2Error(
    -errnoOf("ENOMEM"),
    call,
    `of the mappings that vm.max_map_count grants the process, the last ${SPARE} are left to others`,
  );
}
