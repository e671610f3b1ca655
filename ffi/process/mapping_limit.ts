/**
 * Stays away from the system's limit of mappings. V8 maps memory, too, and ends
 * the process where it can't: a loop that maps until it's refused must be
 * refused before.
 *
 * @module
 */

import { Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import { sharedPageFunctions } from "../c/functions.ts";
import { mappingsLeft } from "./address_space.ts";
import { sharedAllowance } from "./shared_page.ts";

const { floor, max } = Math;

/** What is left to V8, to libc's malloc and to whoever else is in the process. */
const SPARE = 1000;

/** What is open in this isolate, for the message alone. */
export const opened = { maps: 0, reservations: 0 };

/**
 * Goes before whatever maps. As a look takes the longer the more mappings there
 * are, there are as few as may be: after each, all isolates together may take a
 * quarter of what is left, since a map may take two mappings and others take some
 * as well.
 */
export function checkMappingLimit(call: string): void {
  const allowance = sharedAllowance();
  const { sem_trywait, sem_init } = sharedPageFunctions();
  if (sem_trywait(allowance) === 0) return;
  const left = mappingsLeft() - SPARE;
  sem_init(allowance, 0, max(floor(left / 4), 0));
  if (left > 0) return;
  throw new Pmem2Error(
    -errnoOf("ENOMEM"),
    call,
    `of the mappings that vm.max_map_count grants the process, the last ${SPARE} are left to others: close maps, best with \`using\` (this isolate has ${opened.maps} maps and ${opened.reservations} reservations open)`,
  );
}
