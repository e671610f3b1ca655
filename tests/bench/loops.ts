/**
 * The same loops in C: in this process, so that they work on the very maps that
 * the module works on.
 *
 * @module
 */

const symbols = {
  walk: { parameters: ["u64", "usize", "usize"], result: "f64" },
  find: { parameters: ["u64", "buffer", "usize", "usize"], result: "f64" },
  find_next: {
    parameters: ["u64", "buffer", "usize", "usize"],
    result: "f64",
  },
  persist: { parameters: ["u64", "usize", "usize"], result: "f64" },
  write_data: {
    parameters: ["u64", "usize", "buffer", "usize", "usize"],
    result: "f64",
  },
  write_across: {
    parameters: ["u64", "u64", "buffer", "usize", "usize"],
    result: "f64",
  },
  fill: { parameters: ["u64", "usize", "usize"], result: "f64" },
  open_store_close: { parameters: ["buffer", "usize"], result: "f64" },
  move: { parameters: ["u64", "usize", "usize"], result: "f64" },
} as const satisfies Deno.ForeignLibraryInterface;

export type Loops = Deno.StaticForeignLibraryInterface<typeof symbols>;

export function openLoops(path: string): Loops {
  return Deno.dlopen(path, symbols).symbols;
}

/** Measures a loop that takes `steps`; nanoseconds for one. */
export function inC(steps: number, loop: () => number): () => number {
  return () => {
    const measured = loop();
    if (measured < 0) throw new Error("The loop in C failed");
    return measured / steps;
  };
}
