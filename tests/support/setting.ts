/**
 * One object of each class, for tests of what they refuse.
 *
 * @module
 */

import { Pmem2Map, Pmem2Source, Pmem2VmReservation } from "@pmem2/pmem2";
import { Scratch } from "./scratch.ts";
import { PAGE } from "./page.ts";

/** What a caller without types may pass, and call. */
// deno-lint-ignore no-explicit-any
export type Any = any;

/** One of each, open: a file of 4 pages, mapped twice, and 8 reserved pages. */
export class Setting implements Disposable {
  readonly #scratch = new Scratch();
  readonly path = this.#scratch.file("a", 4 * PAGE);
  readonly source: Any = Pmem2Source.open(this.path);
  readonly map: Any = Pmem2Map.from(this.source);
  readonly reservation: Any = new Pmem2VmReservation(8 * PAGE);
  readonly inner: Any = this.reservation.map(this.source);

  [Symbol.dispose](): void {
    this.source.close();
    this.map.close();
    this.reservation[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}
