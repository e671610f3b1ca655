/**
 * Calls the function pointers that libpmem2 hands out.
 *
 * `Deno.UnsafeFnPointer` takes 700 to 1,000 ns a call, and a permission that a
 * path-limited `--allow-ffi` doesn't give. A C function that takes a function
 * pointer and calls it is an ordinary fast call, though, and there are two.
 *
 * @module
 */

import { addressOf } from "./copy.ts";
import { callAsyncFunctions, callFunctions } from "./functions.ts";
import type { callSymbols } from "./libc_symbols.ts";
import { libffiSymbols } from "./libffi_symbols.ts";
import { dlopen } from "./library.ts";
import { granted } from "./library_path.ts";
import type { FunctionPointer } from "./pointer.ts";
import type { Symbols } from "./symbol_table.ts";

let bsearch: Symbols<typeof callSymbols>["bsearch"];

/** Goes before the first {@linkcode call2}. */
export function openCall2(): void {
  bsearch = callFunctions().bsearch;
}

/**
 * `fn(first, second)`. libc's `bsearch(key, base, nmemb, size, compar)` over
 * one element of size 0 calls `compar(key, base)`, once, whatever that
 * returns: in the ABI of x86-64 and of arm64 this is the same call.
 */
export function call2(
  fn: FunctionPointer,
  first: bigint,
  second: bigint,
): void {
  bsearch(first, second, 1n, 0n, fn);
}

/** The same on another thread. */
export async function call2Async(
  fn: FunctionPointer,
  first: bigint,
  second: bigint,
): Promise<void> {
  await callAsyncFunctions().bsearch_async(first, second, 1n, 0n, fn);
}

/** `fn(first, second, third, fourth)`. */
export type Call4 = (
  fn: FunctionPointer,
  first: bigint,
  second: bigint,
  third: bigint,
  fourth: bigint,
) => void;

let call4: Call4 | null | undefined;

/**
 * A way to call a function of four integers or pointers: libffi's `ffi_call`,
 * null where libffi is missing or may not be opened without a prompt.
 */
export function libffiCall(): Call4 | null {
  return call4 === undefined ? call4 = prepareCall4() : call4;
}

/** Holds what libffi reads and writes; one word is 8 bytes. */
const block = new BigUint64Array(new ArrayBuffer(512));
// struct ffi_cif: 32 bytes on x86-64, 40 on arm64, written by ffi_prep_cif.
const CIF = 0;
// struct ffi_type { size_t size; unsigned short alignment, type; ffi_type **elements; }
const TYPE = 16;
const ARGUMENT_TYPES = 20;
const ARGUMENT_POINTERS = 24;
const ARGUMENTS = 28;
const RESULT = 32;

function prepareCall4(): Call4 | null {
  const libffi = openLibffi();
  if (libffi === null) return null;
  const base = addressOf(block);
  const at = (word: number) => base + BigInt(word * 8);

  // All four arguments and the result as 64-bit integers: in both ABIs each of
  // them has a register of its own, and a callee that takes an int reads the
  // register's lower half.
  const FFI_TYPE_UINT64 = 11n;
  block[TYPE] = 8n;
  block[TYPE + 1] = 8n | (FFI_TYPE_UINT64 << 16n);
  for (let i = 0; i < 4; i++) {
    block[ARGUMENT_TYPES + i] = at(TYPE);
    block[ARGUMENT_POINTERS + i] = at(ARGUMENTS + i);
  }
  // FFI_DEFAULT_ABI is FFI_UNIX64 on x86-64 and FFI_SYSV on arm64.
  const abi = Deno.build.arch === "x86_64" ? 2 : 1;
  const status = libffi.ffi_prep_cif(
    at(CIF),
    abi,
    4,
    at(TYPE),
    at(ARGUMENT_TYPES),
  );
  if (status !== 0) return null;

  const { ffi_call } = libffi;
  const [cif, result, pointers] = [at(CIF), at(RESULT), at(ARGUMENT_POINTERS)];
  return (fn, first, second, third, fourth) => {
    block[ARGUMENTS] = first;
    block[ARGUMENTS + 1] = second;
    block[ARGUMENTS + 2] = third;
    block[ARGUMENTS + 3] = fourth;
    ffi_call(cif, fn, result, pointers);
  };
}

function openLibffi(): Symbols<typeof libffiSymbols> | null {
  for (const path of ["libffi.so.8", "libffi.so.7"].flatMap(granted)) {
    try {
      return dlopen(path, libffiSymbols);
    } catch {
      // Not there, or without the functions: the next one, or none.
    }
  }
  return null;
}
