/**
 * Maps the file that it's given, and ends.
 *
 * @module
 */

import { Pmem2Map } from "@pmem2/pmem2";

using _map = Pmem2Map.open(Deno.args[0]!);
