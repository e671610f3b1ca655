/**
 * Errors of libpmem2 and libc, and the check that every return value passes.
 *
 * @module
 */

import { ArrayBuffer, Uint8Array } from "../input/intrinsics.ts";
import { callable, fromCaller } from "../input/caller.ts";
import { codeOf, type Pmem2ErrorCode } from "./error_code.ts";
import { fileFunctions } from "./functions.ts";
import { loaderFunctions, versionFunctions } from "./library.ts";
import { fromCString } from "./string.ts";

/**
 * The error that is thrown when libpmem2 or the system refuses. Its message includes
 * libpmem2's own, which gives the value and the rule.
 *
 * @example Telling errors apart by their code
 * ```ts
 * import { Pmem2Error, Pmem2VmReservation } from "@pmem2/pmem2";
 * import { assert, assertEquals, assertThrows } from "@std/assert";
 *
 * const error = assertThrows(() => new Pmem2VmReservation(100), Pmem2Error);
 * assertEquals(error.code, "PMEM2_E_LENGTH_UNALIGNED");
 * assertEquals(error.errno, -100015);
 * assertEquals(error.call, "pmem2_vm_reservation_new");
 * assert(error.message.includes("reservation size 100 is not a multiple"));
 * ```
 */
export class Pmem2Error extends Error {
  /** The name of the error, such as "PMEM2_E_MAPPING_EXISTS" or "ENOMEM". */
  readonly code: Pmem2ErrorCode;
  /** The negative number that libpmem2 returned: a PMEM2_E_* value or −errno. */
  readonly errno: number;
  /** The C function that refused, such as "pmem2_map_new". */
  readonly call: string;

  /**
   * Makes an error from what a C function returned.
   *
   * @param errno The negative number that the function returned.
   * @param call The name of the function.
   * @param message Details, such as libpmem2's own message.
   * @param path The path of the file that the function was called for, if any.
   */
  constructor(
    errno: number,
    call: string,
    message?: string,
    path?: string | null,
  ) {
    const code = codeOf(errno);
    super(
      `${call} failed with ${code} (${errno})${path ? ` for ${path}` : ""}${
        message ? `: ${message}` : ""
      }`,
    );
    this.name = "Pmem2Error";
    this.code = code;
    this.errno = errno;
    this.call = call;
    fromCaller(this);
  }
}

callable(import.meta.url, Pmem2Error);

const value = new Int32Array(new ArrayBuffer(128));
let location = 0n;

/** Returns errno, a positive number, right after a libc function has failed. */
export function lastErrno(): number {
  location ||= fileFunctions().__errno_location();
  loaderFunctions().copy_out(value, location, 4n);
  return value[0]!;
}

/** The address of libpmem2's message. There is one per thread, and so one per isolate. */
let buffer = 0n;

/**
 * Clears libpmem2's last message. Not every failure sets one, and some successes do,
 * so the message must be empty before a call to belong to that call.
 */
export function clearMessage(): void {
  const { memset } = loaderFunctions();
  buffer ||= versionFunctions().pmem2_errormsg();
  memset(buffer, 0, 1n);
}

function takeMessage(): string {
  const { strnlen, copy_out } = loaderFunctions();
  const length = strnlen(buffer, 1024n);
  const bytes = new Uint8Array(new ArrayBuffer(1024));
  if (length > 0n) copy_out(bytes, buffer, length);
  clearMessage();
  return fromCString(bytes);
}

/**
 * Makes the error for a failure of libpmem2 on this thread.
 *
 * @param remedy What the caller can do about it, if that is known.
 */
export function failure(
  result: number,
  call: string,
  path: string | null = null,
  remedy = "",
): Pmem2Error {
  const message = takeMessage();
  const both = message !== "" && remedy !== "" ? `${message}; ${remedy}` : "";
  return new Pmem2Error(result, call, both || message || remedy, path);
}

/**
 * Throws unless libpmem2 returned 0. Call {@linkcode clearMessage} before libpmem2.
 */
export function check(
  result: number,
  call: string,
  path: string | null = null,
): void {
  if (result !== 0) throw failure(result, call, path);
}
