/**
 * The functions of libffi, a library that may be missing.
 *
 * @module
 */

import {
  address,
  fn,
  int,
  nothing,
  type SymbolTable,
  unsigned,
} from "./symbol_table.ts";

/** The functions that call a function pointer. */
export const libffiSymbols = {
  // ffi_status ffi_prep_cif(ffi_cif *cif, ffi_abi abi, unsigned int nargs,
  //     ffi_type *rtype, ffi_type **atypes);
  ffi_prep_cif: {
    parameters: [address, unsigned, unsigned, address, address],
    result: int,
  },
  // void ffi_call(ffi_cif *cif, void (*fn)(void), void *rvalue,
  //     void **avalue);
  ffi_call: { parameters: [address, fn, address, address], result: nothing },
} as const satisfies SymbolTable;
