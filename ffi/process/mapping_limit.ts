/**
 * Keeps a distance to the system's limit of mappings.
 *
 * SAFETY: V8 maps memory as well, and ends the process if that fails. So a loop that
 * maps until it fails must be refused earlier.
 *
 * @module
 */

import { Pmem2Error } from "../c/error.ts";
import { errnoOf } from "../c/error_code.ts";
import { sharedPageFunctions } from "../c/functions.ts";
import { mappingsLeft } from "./address_space.ts";
import { sharedAllowance } from "./shared_page.ts";

const { floor, max } = Math;

/** How many mappings are left to V8, to malloc and to other code in the process. */
const SPARE = 1000;

/** What is open in this isolate, for the message only. */
export const opened = { maps: 0, reservations: 0 };

/**
 * Called before anything is mapped.
 *
 * PERF: counting the mappings takes longer the more there are, so it is done rarely.
 * After each count, all isolates together may make maps up to a quarter of what is left:
 * a map may take two mappings, and other code takes some as well.
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
    `the process has reached its limit of mappings (vm.max_map_count), of which the last ${SPARE} are left to other code: close maps, best with \`using\` (this isolate has ${opened.maps} maps and ${opened.reservations} reservations open)`,
  );
}
