/**
 * Names all modules, before any of them names another.
 *
 * PERF: when a module is the first to import another, Deno parses the importer's
 * source map, which holds all of its text: 1.7 ms in all at the start of each
 * process. With this list, that happens for mod.ts and for this module only.
 *
 * PERF: imports also cost time when they are used. V8 looks up an imported
 * binding at each use, and checks that it is initialized; a module's own constant
 * is known to the compiled code. So files with hot paths import a module as a
 * namespace and copy what they need to constants of their own: `persist` takes
 * 12.2 ns instead of 14.4 (Deno 2.9.6). The same holds for a file's own exported
 * `let`. Such places say "PERF: see preload.ts".
 *
 * @module
 */

import "./bad_block.ts";
import "./c/cell.ts";
import "./c/copy.ts";
import "./c/error.ts";
import "./c/error_code.ts";
import "./c/function_pointer.ts";
import "./c/functions.ts";
import "./c/libc_symbols.ts";
import "./c/libffi_symbols.ts";
import "./c/libpmem2_symbols.ts";
import "./c/library.ts";
import "./c/library_error.ts";
import "./c/library_path.ts";
import "./c/path_name.ts";
import "./c/pointer.ts";
import "./c/string.ts";
import "./c/symbol_table.ts";
import "./input/argument.ts";
import "./input/caller.ts";
import "./input/granularity.ts";
import "./input/intrinsics.ts";
import "./input/map_options.ts";
import "./input/open_options.ts";
import "./input/options.ts";
import "./input/path.ts";
import "./input/range.ts";
import "./input/show.ts";
import "./input/store_options.ts";
import "./input/views.ts";
import "./inspect/display_text.ts";
import "./inspect/layout.ts";
import "./inspect/options.ts";
import "./map.ts";
import "./memory.ts";
import "./native/arena.ts";
import "./native/emulation.ts";
import "./native/existing_map.ts";
import "./native/map.ts";
import "./native/map_index.ts";
import "./native/new_map.ts";
import "./native/persistence.ts";
import "./native/remedy.ts";
import "./native/source.ts";
import "./native/spanning.ts";
import "./native/spanning_views.ts";
import "./native/unload.ts";
import "./native/unmapping.ts";
import "./native/vm_reservation.ts";
import "./native/walk.ts";
import "./native/writeback.ts";
import "./process/address_space.ts";
import "./process/alignment.ts";
import "./process/allocation.ts";
import "./process/lock.ts";
import "./process/mapping_limit.ts";
import "./process/open_file.ts";
import "./process/placement.ts";
import "./process/shared_page.ts";
import "./process/stack.ts";
import "./process/working_directory.ts";
import "./source.ts";
import "./vm_reservation.ts";
