/**
 * How C functions are declared. Every pointer is a `"u64"`; the type of the parameter
 * carries the branded type of the pointer.
 *
 * PERF: every 64-bit argument is passed as a bigint. A number in its place leaves
 * Deno's fast call path: 65 to 140 ns instead of 4 (Deno 2.9.6).
 *
 * @module
 */

import type {
  BadBlockContextPointer,
  ConfigPointer,
  FunctionPointer,
  MapPointer,
  Pointer,
  SourcePointer,
  VmReservationPointer,
} from "./pointer.ts";

declare const argument: unique symbol;

/** A native type, and what TypeScript may pass or get for it. */
type Native<Type extends string, Value> = Type & {
  readonly [argument]: Value;
};

const native = <Type extends string, Value>(type: Type) =>
  type as Native<Type, Value>;

export const source = native<"u64", SourcePointer>("u64");
export const config = native<"u64", ConfigPointer>("u64");
export const map = native<"u64", MapPointer>("u64");
export const rsv = native<"u64", VmReservationPointer>("u64");
export const bbctx = native<"u64", BadBlockContextPointer>("u64");
export const fn = native<"u64", FunctionPointer>("u64");
/** Where C writes a pointer or a size. */
export const out = native<"u64", Pointer<"cell">>("u64");
export const address = native<"u64", bigint>("u64");
export const size = native<"u64", bigint>("u64");
export const offset = native<"i64", bigint>("i64");
export const int = native<"i32", number>("i32");
export const unsigned = native<"u32", number>("u32");
export const nothing = native<"void", void>("void");
/** Memory that C reads or writes during the call only. */
export const buffer = native<"buffer", ArrayBufferView<ArrayBufferLike> | null>(
  "buffer",
);

/** A table of functions. */
export type SymbolTable = Record<string, {
  readonly parameters: readonly Native<string, unknown>[];
  readonly result: Native<string, unknown>;
  readonly name?: string;
  readonly optional?: true;
  readonly nonblocking?: true;
}>;

type Argument<T> = T extends Native<string, infer Value> ? Value : never;
type Arguments<T extends readonly unknown[]> = {
  -readonly [K in keyof T]: Argument<T[K]>;
};
type Result<T, Nonblocking> = Nonblocking extends true ? Promise<Argument<T>>
  : Argument<T>;
type Call<T extends SymbolTable[string]> = (
  ...args: Arguments<T["parameters"]>
) => Result<T["result"], T["nonblocking"]>;

/** What `Deno.dlopen` makes of a table. */
export type Symbols<T extends SymbolTable> = {
  readonly [K in keyof T]: T[K]["optional"] extends true ? Call<T[K]> | null
    : Call<T[K]>;
};
