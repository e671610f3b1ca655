/**
 * Calls the function pointers that libpmem2 hands out.
 *
 * PERF: `Deno.UnsafeFnPointer` takes 700 to 1,000 ns per call (Deno 2.9.6), and a
 * permission that a path-limited `--allow-ffi` does not grant. But a C function that
 * takes a function pointer and calls it is an ordinary fast call. There are two such
 * functions: bsearch and ffi_call.
 *
 * @module
 */

import { BigInt } from "../input/intrinsics.ts";
import { addressOf } from "./copy.ts";
import { callAsyncFunctions, callFunctions } from "./functions.ts";
import type { callSymbols } from "./libc_symbols.ts";
import { libffiSymbols } from "./libffi_symbols.ts";
import { dlopen } from "./library.ts";
import { granted } from "./library_path.ts";
import type { FunctionPointer } from "./pointer.ts";
import type { Symbols } from "./symbol_table.ts";

let bsearch: Symbols<typeof callSymbols>["bsearch"];

/** Must be called before the first {@linkcode call2}. */
export function openCall2(): void {
  bsearch = callFunctions().bsearch;
}

/**
 * Calls `fn(first, second)`.
 *
 * SAFETY: libc's `bsearch(key, base, nmemb, size, compar)` with one element of size 0
 * calls `compar(key, base)` exactly once, whatever that returns. In the ABIs of x86-64
 * and arm64, this is the same call as `fn(first, second)`.
 */
export function call2(
  fn: FunctionPointer,
  first: bigint,
  second: bigint,
): void {
  bsearch(first, second, 1n, 0n, fn);
}

/** Calls `fn(first, second)` on another thread. */
export async function call2Async(
  fn: FunctionPointer,
  first: bigint,
  second: bigint,
): Promise<void> {
  await callAsyncFunctions().bsearch_async(first, second, 1n, 0n, fn);
}

/** Calls `fn(first, second, third, fourth)`. */
export type Call4 = (
  fn: FunctionPointer,
  first: bigint,
  second: bigint,
  third: bigint,
  fourth: bigint,
) => void;

let call4: Call4 | null | undefined;

/**
 * Returns a way to call a function of four integers or pointers, with libffi's
 * `ffi_call`, or null if libffi is missing or cannot be opened without a prompt.
 */
export function libffiCall(): Call4 | null {
  return call4 === undefined ? call4 = prepareCall4() : call4;
}

/**
 * The memory that libffi reads and writes, in words of 8 bytes.
 *
 * SAFETY: libffi keeps pointers into it. It never moves, since it has more than 64
 * bytes, and is never freed, since the function that calls ffi_call refers to it.
 */
const block = new BigUint64Array(new ArrayBuffer(512));
// struct ffi_cif: 32 bytes on both architectures, written by ffi_prep_cif.
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

  // SAFETY: all four arguments and the result are declared as 64-bit integers. In both
  // ABIs each of them has a register of its own, and a function that takes an int
  // reads the lower half of the register.
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
  const cif = at(CIF);
  const result = at(RESULT);
  const pointers = at(ARGUMENT_POINTERS);
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
      // It is missing or lacks the functions: try the next one.
    }
  }
  return null;
}
