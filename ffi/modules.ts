/**
 * Names all modules, before any of them names another.
 *
 * Where a module is the first to import another, Deno parses its source map,
 * which holds all of its text: 1.7 ms in all, at the start of each process. Like
 * this it is done for mod.ts and for this module alone.
 *
 * @module
 */

import "./address_space.ts";
import "./argument.ts";
import "./bad_block.ts";
import "./buffer.ts";
import "./copy.ts";
import "./display_text.ts";
import "./error.ts";
import "./error_code.ts";
import "./existing_memory.ts";
import "./file.ts";
import "./function_pointer.ts";
import "./granularity.ts";
import "./layout.ts";
import "./library.ts";
import "./map.ts";
import "./map_options.ts";
import "./mapping_limit.ts";
import "./native_map.ts";
import "./native_vm_reservation.ts";
import "./path.ts";
import "./persistence.ts";
import "./pointer.ts";
import "./process_lock.ts";
import "./source.ts";
import "./stack.ts";
import "./store_options.ts";
import "./symbols.ts";
import "./vm_reservation.ts";
import "./walk.ts";
