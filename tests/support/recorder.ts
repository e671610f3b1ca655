/**
 * Keeps a record of what the module calls through libpmem2's function pointers,
 * and of msync: at byte and cache-line granularity nothing else shows what was
 * flushed. And has msync fail as it's told.
 *
 * @module
 */

import { libraryFile } from "./library_file.ts";

/** One call, as recorder.c keeps it. */
export interface RecordedCall {
  readonly name:
    | "persist"
    | "flush"
    | "drain"
    | "memcpy"
    | "memmove"
    | "memset"
    | "msync";
  readonly address: bigint;
  readonly length: number;
  readonly flags: number;
}

const names: RecordedCall["name"][] = [
  "persist",
  "flush",
  "drain",
  "memcpy",
  "memmove",
  "memset",
  "msync",
];

/** Why there can't be a recorder here, or null. */
export function recorderObstacle(): string | null {
  try {
    const { success } = new Deno.Command("cc", {
      args: ["--version"],
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? null : "the C compiler doesn't run";
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return "there is no C compiler";
  }
}

/** Compiles the recorder, for PMEM2_LIBRARY; its path. */
export function compileRecorder(directory: string): string {
  const real = libraryFile();
  const folder = real.slice(0, real.lastIndexOf("/"));
  const path = `${directory}/recorder.so`;
  const { success, stderr } = new Deno.Command("cc", {
    args: [
      "-shared",
      "-fPIC",
      `-DREAL_LIBRARY="${real}"`,
      "-o",
      path,
      new URL("recorder.c", import.meta.url).pathname,
      "-Wl,--no-as-needed",
      `-Wl,-rpath,${folder}`,
      real,
    ],
  }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

/** The record of a process in which PMEM2_LIBRARY is the recorder. */
export class Recorder {
  readonly #library = Deno.dlopen(Deno.env.get("PMEM2_LIBRARY")!, {
    recorder_take: { parameters: ["buffer", "u64"], result: "u64" },
    recorder_hold: { parameters: ["i32"], result: "void" },
    recorder_fail: { parameters: ["buffer", "u64"], result: "void" },
    recorder_held: { parameters: [], result: "i32" },
  });
  readonly #words = new BigUint64Array(4 * 1024);

  /** The calls since the last time. */
  take(): RecordedCall[] {
    const { recorder_take } = this.#library.symbols;
    const count = Number(recorder_take(this.#words, 1024n));
    if (count > 1024) throw new Error(`${count} calls are too many`);
    return Array.from({ length: count }, (_, i) => {
      const [kind, address, length, flags] = this.#words.subarray(4 * i);
      return {
        name: names[Number(kind)]!,
        address: address!,
        length: Number(length),
        flags: Number(flags),
      };
    });
  }

  /** What the next calls of msync fail with, each in turn; 0 is none. */
  fail(...errors: number[]): void {
    const { recorder_fail } = this.#library.symbols;
    recorder_fail(Int32Array.from(errors), BigInt(errors.length));
  }

  /** Whether persist, and msync on other threads, wait before they do anything. */
  set hold(on: boolean) {
    this.#library.symbols.recorder_hold(on ? 1 : 0);
  }

  /** How many calls are waiting. */
  get held(): number {
    return this.#library.symbols.recorder_held();
  }
}
