/**
 * Errors whose stack begins with the caller's own line: what is printed of one that
 * nobody catches is where the mistake is, and not this module.
 *
 * @module
 */

// deno-lint-ignore no-explicit-any
type AnyFunction = (...args: any[]) => unknown;

/** What V8 tells of a frame. */
interface CallSite {
  getScriptNameOrSourceURL(): string | null;
  getFunctionName(): string | null;
}

interface StackApi {
  prepareStackTrace?: unknown;
  stackTraceLimit: number;
}

/** Taken at import, before anybody's code could have replaced it. */
const { captureStackTrace } = Error;
const { getOwnPropertyDescriptor } = Object;
const { ownKeys } = Reflect;

/** Where this module's files are. In a bundle there is no such place. */
const home = new URL("..", import.meta.url).href;
const bundled = !home.endsWith("/ffi/");

/** More than this module ever calls in a row. */
const MOST_FRAMES = 50;

/** The classes and functions that callers may call, by the file that they are in. */
const entrances: { readonly file: string; readonly of: AnyFunction }[] = [];

/**
 * Makes known what callers may call: functions, and classes with all their members.
 *
 * @param file The `import.meta.url` of the file that they are in.
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
  for (const { file, of } of entrances) {
    known.set(`${file} ${of.name}`, of);
    for (const owner of [of, of.prototype ?? {}]) {
      for (const key of ownKeys(owner)) {
        const { value, get } = getOwnPropertyDescriptor(owner, key)!;
        const fn = get ?? value;
        if (typeof fn === "function" && key !== "constructor") {
          known.set(`${file} ${fn.name}`, fn);
        }
      }
    }
  }
  return known;
}

/** A `TypeError` with the caller's stack. */
export function typeError(message: string): TypeError {
  return fromCaller(new TypeError(message));
}

/** A `RangeError` with the caller's stack. */
export function rangeError(message: string): RangeError {
  return fromCaller(new RangeError(message));
}

/**
 * Takes this module's own frames off the top of an error's stack.
 *
 * @param error What is thrown next: nothing native may be called in between.
 * @returns The same error.
 */
export function fromCaller<T>(error: T): T {
  try {
    if (!bundled) {
      const entrance = entranceOf(callSites());
      if (entrance !== undefined) captureStackTrace(error as object, entrance);
    }
  } catch {
    // There is no room on the stack, or somebody has frozen `Error`.
  }
  return error;
}

/** The function of this module that the caller has called. */
function entranceOf(sites: readonly CallSite[]): AnyFunction | undefined {
  let last: CallSite | undefined;
  let lastFile = "";
  for (let i = 0; i < sites.length; i++) {
    // PERF: getFileName() takes 20 µs, this one 1 µs (Deno 2.9.6).
    const file = sites[i]!.getScriptNameOrSourceURL();
    // The engine's own functions are in no file, and Deno's in such.
    if (!file || file.startsWith("ext:")) continue;
    if (!file.startsWith(home)) {
      return functions().get(`${lastFile} ${last?.getFunctionName()}`);
    }
    [last, lastFile] = [sites[i], file];
  }
  // Nobody is left of whom it could be told, as where a promise isn't awaited.
  return undefined;
}

/** The frames at this moment. */
function callSites(): readonly CallSite[] {
  const api = Error as unknown as StackApi;
  const before = getOwnPropertyDescriptor(api, "prepareStackTrace");
  const limit = getOwnPropertyDescriptor(api, "stackTraceLimit");
  // Whoever has put accessors there would run now.
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
