/**
 * Errors whose stack starts at the caller's own line. So Deno prints the line with
 * the mistake for an uncaught error, and not a line of this module.
 *
 * @module
 */

import { Map } from "./intrinsics.ts";

// deno-lint-ignore no-explicit-any
type AnyFunction = (...args: any[]) => unknown;

/** What V8 tells about a stack frame. */
interface CallSite {
  getScriptNameOrSourceURL(): string | null;
  getFunctionName(): string | null;
}

interface StackApi {
  prepareStackTrace?: unknown;
  stackTraceLimit: number;
}

/** Taken at import, before anyone could replace them. */
const { captureStackTrace } = Error;
const { getOwnPropertyDescriptor } = Object;
const { ownKeys } = Reflect;

/** The folder of this module's files. A bundle has no such folder. */
const home = new URL("..", import.meta.url).href;
const bundled = !home.endsWith("/ffi/");

/** More frames than this module ever has on the stack. */
const MOST_FRAMES = 50;

/** The classes and functions that callers may call, with the file of each. */
const entrances: { readonly file: string; readonly of: AnyFunction }[] = [];

/**
 * Registers what callers may call: functions, and classes with all their members.
 *
 * @param file The `import.meta.url` of their file.
 */
export function callable(file: string, ...of: unknown[]): void {
  for (let i = 0; i < of.length; i++) {
    entrances.push({ file, of: of[i] as AnyFunction });
  }
}

let known: Map<string, AnyFunction> | undefined;

/** The functions of this module that callers may call, by file and name. */
function functions(): Map<string, AnyFunction> {
  if (known !== undefined) return known;
  known = new Map();
  for (let i = 0; i < entrances.length; i++) {
    const { file, of } = entrances[i]!;
    known.set(`${file} ${of.name}`, of);
    addMembers(known, file, of);
    addMembers(known, file, of.prototype ?? {});
  }
  return known;
}

function addMembers(
  to: Map<string, AnyFunction>,
  file: string,
  owner: object,
): void {
  const keys = ownKeys(owner);
  for (let i = 0; i < keys.length; i++) {
    const { value, get } = getOwnPropertyDescriptor(owner, keys[i]!)!;
    const fn = get ?? value;
    if (typeof fn === "function" && keys[i] !== "constructor") {
      to.set(`${file} ${fn.name}`, fn);
    }
  }
}

/** Makes a `TypeError` with the caller's stack. */
export function typeError(message: string): TypeError {
  return fromCaller(new TypeError(message));
}

/** Makes a `RangeError` with the caller's stack. */
export function rangeError(message: string): RangeError {
  return fromCaller(new RangeError(message));
}

/**
 * Removes this module's own frames from the top of an error's stack.
 *
 * @param error The error, which is thrown next: no native call may come in between.
 * @returns The same error.
 */
export function fromCaller<T>(error: T): T {
  try {
    if (!bundled) {
      const entrance = entranceOf(callSites());
      if (entrance !== undefined) captureStackTrace(error as object, entrance);
    }
  } catch {
    // The stack is used up, or someone has frozen `Error`.
  }
  return error;
}

/** Returns the function of this module that the caller has called. */
function entranceOf(sites: readonly CallSite[]): AnyFunction | undefined {
  let last: CallSite | undefined;
  let lastFile = "";
  for (let i = 0; i < sites.length; i++) {
    // PERF: getFileName() takes 20 µs, this takes 1 µs (Deno 2.9.6).
    const file = sites[i]!.getScriptNameOrSourceURL();
    // The engine's own functions have no file, and Deno's have one that starts so.
    if (!file || file.startsWith("ext:")) continue;
    if (!file.startsWith(home)) {
      return functions().get(`${lastFile} ${last?.getFunctionName()}`);
    }
    [last, lastFile] = [sites[i], file];
  }
  // No caller is on the stack, for example after an `await` of a promise that nobody
  // awaits.
  return undefined;
}

/** Returns the current stack frames. */
function callSites(): readonly CallSite[] {
  const api = Error as unknown as StackApi;
  const before = getOwnPropertyDescriptor(api, "prepareStackTrace");
  const limit = getOwnPropertyDescriptor(api, "stackTraceLimit");
  // Accessors that a caller has put there would run now.
  if (before?.get || before?.set || !(limit?.value > 0)) return [];
  try {
    api.stackTraceLimit = MOST_FRAMES;
    api.prepareStackTrace = (_: unknown, sites: unknown) => sites;
    const holder = {} as { readonly stack: readonly CallSite[] };
    captureStackTrace(holder, fromCaller);
    return holder.stack;
  } finally {
    api.stackTraceLimit = limit!.value;
    if (before === undefined) delete api.prepareStackTrace;
    else api.prepareStackTrace = before.value;
  }
}
