/**
 * What hostile calls work on, and what they must leave alone.
 *
 * @module
 */

import {
  type Granularity,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert, assertEquals } from "@std/assert";
import {
  descriptorsIn,
  ForeignMemory,
  mappedBytes,
  native,
  nativeMaps,
} from "../../support/native_process.ts";
import type { Random } from "../../support/random.ts";
import { Scratch } from "../../support/scratch.ts";
import { PAGE } from "../../support/page.ts";

// Taken from the classes: hostile calls may give objects other prototypes.
const bound = <F>(method: unknown) =>
  // deno-lint-ignore no-explicit-any
  Function.prototype.call.bind(method as any) as F;
const getter = <T>(prototype: object, key: string) =>
  bound<(object: unknown) => T>(
    Object.getOwnPropertyDescriptor(prototype, key)!.get,
  );

export const map = {
  closed: getter<boolean>(Pmem2Map.prototype, "closed"),
  address: getter<bigint>(Pmem2Map.prototype, "address"),
  size: getter<number>(Pmem2Map.prototype, "size"),
  handle: getter<bigint>(Pmem2Map.prototype, "unsafeHandle"),
  bytes: getter<Uint8Array<ArrayBuffer>>(Pmem2Map.prototype, "bytes"),
  reservation: getter<Pmem2VmReservation | null>(
    Pmem2Map.prototype,
    "reservation",
  ),
  read: bound<(map: Pmem2Map, target: Uint8Array) => void>(
    Pmem2Map.prototype.read,
  ),
  close: bound<(map: Pmem2Map) => void>(Pmem2Map.prototype.close),
};
export const source = {
  closed: getter<boolean>(Pmem2Source.prototype, "closed"),
  close: bound<(source: Pmem2Source) => void>(Pmem2Source.prototype.close),
};
export const reservation = {
  closed: getter<boolean>(Pmem2VmReservation.prototype, "closed"),
  address: getter<bigint>(Pmem2VmReservation.prototype, "address"),
  size: getter<number>(Pmem2VmReservation.prototype, "size"),
  handle: getter<bigint>(Pmem2VmReservation.prototype, "unsafeHandle"),
  map: bound<
    (r: Pmem2VmReservation, source: Pmem2Source, options?: object) => Pmem2Map
  >(Pmem2VmReservation.prototype.map),
  walk: bound<(r: Pmem2VmReservation) => Iterable<Pmem2Map>>(
    Pmem2VmReservation.prototype[Symbol.iterator],
  ),
  first: bound<(r: Pmem2VmReservation) => Pmem2Map | null>(
    Pmem2VmReservation.prototype.findFirst,
  ),
  close: bound<(r: Pmem2VmReservation, options: object) => void>(
    Pmem2VmReservation.prototype.close,
  ),
};

/** A map that no hostile call is given: what is in it may not change. */
interface Guard {
  readonly map: Pmem2Map;
  readonly address: bigint;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reservation: Pmem2VmReservation | null;
}

/** Larger maps are not kept: to fill one would take all of the memory. */
const LARGEST = 2 ** 16;

export class World implements Disposable {
  readonly random: Random;
  readonly scratch = new Scratch();
  readonly paths: string[];
  readonly sources: Pmem2Source[] = [];
  readonly maps: Pmem2Map[] = [];
  readonly reservations: Pmem2VmReservation[] = [];
  readonly walks: object[] = [];
  readonly emulations: Disposable[] = [];
  readonly files: Deno.FsFile[] = [];
  /** Closed objects, and such as can't be closed any more. */
  readonly graveyard: object[] = [];
  /** Memory for maps of existing memory, with what can't be accessed around. */
  readonly own: ForeignMemory;
  readonly #fence: ForeignMemory[];
  readonly #guards: Guard[] = [];
  readonly #shadows = new Map<
    Pmem2Map,
    { address: bigint; bytes: Uint8Array<ArrayBuffer> }
  >();
  /** Views on reservations. */
  readonly views: Uint8Array<ArrayBuffer>[] = [];
  readonly #spanning = new WeakSet<ArrayBuffer>();
  /** What the call that is under way was given: the best things to close. */
  current: unknown[] = [];
  /** Buffers that were given away; their maps stay for good. */
  transferred = 0;

  constructor(random: Random) {
    this.random = random;
    this.paths = ["a", "b", "c", "d"].map((name, i) =>
      this.scratch.file(name, PAGE * (i + 1))
    );
    this.own = fencedMemory();
    this.#fence = [new ForeignMemory(2 ** 16), new ForeignMemory(2 ** 16)];
    this.#guards.push(this.#guard(null), this.#guard(null));
    this.refill();
  }

  #guard(
    owner: Pmem2VmReservation | null,
    options: { at?: number } = {},
  ): Guard {
    const path = this.scratch.path("guard");
    const bytes = new Uint8Array(new ArrayBuffer(PAGE))
      .fill(1 + this.random.below(255));
    Deno.writeFileSync(path, bytes);
    using file = Pmem2Source.open(path);
    // It's this map's alone from now on.
    Deno.removeSync(path);
    const guard = owner === null
      ? Pmem2Map.from(file)
      // Stores of the reservation's that reach it are refused.
      : reservation.map(owner, file, { ...options, write: false });
    return { map: guard, address: guard.address, bytes, reservation: owner };
  }

  isGuard(value: unknown): boolean {
    return this.#guards.some(({ map }) => map === value);
  }

  /** Makes up for what was closed. */
  refill(): void {
    const { random } = this;
    this.bury(this.maps, map.closed);
    this.bury(this.sources, source.closed);
    this.bury(this.reservations, reservation.closed);
    while (this.sources.length < 4) {
      const made = random.chance(0.3)
        ? Pmem2Source.anonymous(PAGE * (1 + random.below(4)))
        : Pmem2Source.open(random.pick(this.paths));
      this.sources.push(made);
    }
    while (this.reservations.length < 3) {
      const made = new Pmem2VmReservation(PAGE * (16 + random.below(48)));
      this.reservations.push(made);
      // Not where maps go by themselves.
      const at = reservation.size(made) - PAGE * (1 + random.below(3));
      this.#guards.push(this.#guard(made, { at }));
    }
    for (let i = 0; i < 8 && this.maps.length < 6; i++) {
      try {
        const from = random.pick(this.sources);
        this.adopt(
          random.chance(0.6)
            ? reservation.map(random.pick(this.reservations), from)
            : Pmem2Map.from(from),
        );
      } catch {
        // No gap left, or a source of nothing.
      }
    }
    while (this.files.length < 2) {
      this.files.push(
        Deno.openSync(random.pick(this.paths), { read: true, write: true }),
      );
    }
  }

  /** Moves what is closed from the living to the dead. */
  bury<T extends object>(living: T[], isClosed: (object: T) => boolean): void {
    for (let i = living.length - 1; i >= 0; i--) {
      if (!isClosed(living[i]!)) continue;
      this.graveyard.push(...living.splice(i, 1));
    }
    if (this.graveyard.length > 40) this.graveyard.splice(0, 20);
  }

  /** Takes in what a call has returned. */
  adopt(value: unknown): void {
    if (typeof value !== "object" || value === null) return;
    if (this.isGuard(value)) return;
    if (isMap(value)) {
      if (map.closed(value)) return;
      if (map.size(value) > LARGEST) return this.#try(() => map.close(value));
      if (this.maps.includes(value)) return;
      this.maps.push(value);
      this.#watch(value);
      if (this.maps.length > 16) this.#dismiss(this.maps, map.close);
    } else if (isSource(value)) {
      if (source.closed(value) || this.sources.includes(value)) return;
      this.sources.push(value);
      if (this.sources.length > 10) this.#dismiss(this.sources, source.close);
    } else if (isReservation(value)) {
      if (reservation.closed(value) || this.reservations.includes(value)) {
        return;
      }
      this.reservations.push(value);
      if (this.reservations.length > 7) {
        this.#dismiss(
          this.reservations,
          (r) => reservation.close(r, { maps: true }),
        );
      }
    } else if (typeof (value as Iterator<unknown>).next === "function") {
      this.walks.push(value);
      if (this.walks.length > 12) this.walks.shift();
    }
  }

  /** Takes in a view on a reservation. */
  keep(view: Uint8Array<ArrayBuffer>): void {
    this.#spanning.add(view.buffer);
    this.views.push(view);
    if (this.views.length > 20) this.views.shift();
  }

  #dismiss<T extends object>(living: T[], close: (object: T) => void): void {
    const [object] = living.splice(this.random.below(living.length), 1);
    this.graveyard.push(object!);
    this.#try(() => close(object!));
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }

  // What must not change

  #watch(value: Pmem2Map): void {
    try {
      map.read(value, new Uint8Array(1));
    } catch {
      return; // It can't be read, so not be compared either.
    }
    const address = map.address(value);
    const bytes = new Uint8Array(new ArrayBuffer(map.size(value)));
    native().memmove(bytes, address, BigInt(bytes.length));
    this.#shadows.set(value, { address, bytes });
  }

  /** Takes what the maps hold for right: a call was to change it. */
  accept(): void {
    this.#eachShadow(({ address, bytes }) => {
      native().memmove(bytes, address, BigInt(bytes.length));
      return true;
    });
  }

  /** Whether all maps hold what they held. */
  unchanged(): boolean {
    return this.#eachShadow(({ address, bytes }) =>
      native().memcmp(address, bytes, BigInt(bytes.length)) === 0
    );
  }

  #eachShadow(
    visit: (
      shadow: { address: bigint; bytes: Uint8Array<ArrayBuffer> },
    ) => boolean,
  ): boolean {
    for (const [live, shadow] of this.#shadows) {
      if (map.closed(live)) this.#shadows.delete(live);
      else if (!visit(shadow)) return false;
    }
    return true;
  }

  /** Guards hold their bytes, and are closed with their reservation alone. */
  checkGuards(): void {
    for (let i = this.#guards.length - 1; i >= 0; i--) {
      const guard = this.#guards[i]!;
      if (map.closed(guard.map)) {
        const { reservation: owner } = guard;
        assert(
          owner !== null && reservation.closed(owner),
          "a map of nobody's was closed",
        );
        this.#guards.splice(i, 1);
        continue;
      }
      const { address, bytes } = guard;
      assertEquals(
        native().memcmp(address, bytes, BigInt(bytes.length)),
        0,
        "memory of nobody's was written to",
      );
    }
  }

  /** The module's books of a reservation are libpmem2's. */
  checkReservation(value: Pmem2VmReservation): void {
    if (reservation.closed(value)) return;
    const handle = reservation.handle(value);
    const c = native();
    assertEquals(
      reservation.address(value),
      c.pmem2_vm_reservation_get_address(handle),
    );
    assertEquals(
      BigInt(reservation.size(value)),
      c.pmem2_vm_reservation_get_size(handle),
    );
    const theirs = nativeMaps(handle);
    const ours = [...reservation.walk(value)];
    assertEquals(ours.length, theirs.length);
    for (const [i, ourMap] of ours.entries()) {
      const { handle, address, size } = theirs[i]!;
      assert(map.handle(ourMap) === handle, "another handle");
      assert(map.address(ourMap) === address, "another address");
      assert(map.size(ourMap) === size, "another size");
      assert(map.reservation(ourMap) === value, "another reservation");
    }
    assert(reservation.first(value) === (ours[0] ?? null), "another object");
    for (const known of this.maps) {
      if (map.closed(known) || map.reservation(known) !== value) continue;
      assert(ours.includes(known), "an open map is not found");
    }
  }

  /** The rarer, slower checks. */
  checkMemory(): void {
    for (const fence of this.#fence) assert(fence.intact);
    for (const value of this.reservations) {
      if (reservation.closed(value)) continue;
      const size = BigInt(reservation.size(value));
      // Of the largest the kernel tells less than it takes to ask.
      assertEquals(mappedBytes(reservation.address(value), size), size);
    }
  }

  /** Does something that no call expects to happen while it is under way. */
  act(): unknown {
    const { random } = this;
    if (random.chance(0.5)) this.current.forEach((value) => this.#end(value));
    switch (random.below(8)) {
      case 0:
        this.#attempt(() => map.close(random.pick(this.maps)));
        break;
      case 1:
        this.#attempt(() => source.close(random.pick(this.sources)));
        break;
      case 2:
      case 3:
        this.#attempt(() => {
          reservation.close(random.pick(this.reservations), { maps: true });
        });
        break;
      case 4:
        this.#attempt(() => this.adopt(Pmem2Map.open(random.pick(this.paths))));
        break;
      case 5:
        this.#attempt(() => {
          const chosen = random.pick(this.reservations);
          this.adopt(reservation.map(chosen, random.pick(this.sources)));
        });
        break;
      case 6:
        throw new Hook();
      default:
        this.#attempt(() => this.giveAway());
    }
    return random.pick([0, 4096, true, "page", undefined]);
  }

  /** Closes or detaches whatever it is. */
  #end(value: unknown): void {
    if (this.isGuard(value)) return;
    if (isMap(value)) {
      const owner = map.closed(value) ? null : map.reservation(value);
      this.#attempt(() => map.close(value));
      if (owner === null || this.random.chance(0.5)) return;
      this.#attempt(() => reservation.close(owner, { maps: true }));
    } else if (isSource(value)) {
      this.#attempt(() => source.close(value));
    } else if (isReservation(value)) {
      this.#attempt(() => reservation.close(value, { maps: true }));
    } else if (value instanceof Uint8Array) {
      this.#attempt(() => {
        const { buffer } = value;
        // A map's own would keep it open for good.
        if (buffer instanceof ArrayBuffer && !this.#isMapped(buffer)) {
          buffer.transfer();
        }
      });
    }
  }

  #isMapped(buffer: ArrayBuffer): boolean {
    return this.#spanning.has(buffer) || this.maps.some((live) => {
      try {
        return map.bytes(live).buffer === buffer;
      } catch {
        return false;
      }
    });
  }

  /** Transfers a map's buffer, rarely: the map can't be closed any more. */
  giveAway(): void {
    const live = this.random.pick(this.maps);
    if (this.transferred >= 12 || !this.random.chance(0.05)) return;
    const { buffer } = map.bytes(live);
    this.transferred++;
    this.graveyard.push(structuredClone(buffer, { transfer: [buffer] }));
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch {
      // Whether it works is not the question.
    }
  }

  /** Closes all; what can't be closed was transferred. */
  [Symbol.dispose](): void {
    for (const file of this.files) file.close();
    for (const value of this.reservations) {
      this.#try(() => reservation.close(value, { maps: true }));
    }
    for (const value of this.maps) this.#try(() => map.close(value));
    for (const { map: value } of this.#guards) {
      this.#try(() => map.close(value));
    }
    for (const value of this.sources) source.close(value);
    for (const emulation of this.emulations) emulation[Symbol.dispose]();
    assertEquals(descriptorsIn(this.scratch.directory), []);
    this.scratch[Symbol.dispose]();
  }
}

function answers(get: (value: unknown) => unknown, value: unknown): boolean {
  try {
    get(value);
    return true;
  } catch {
    return false;
  }
}
const isMap = (value: unknown): value is Pmem2Map => answers(map.closed, value);
const isSource = (value: unknown): value is Pmem2Source =>
  answers(source.closed, value);
const isReservation = (value: unknown): value is Pmem2VmReservation =>
  answers(reservation.closed, value);

/** What a caller's own code throws. */
export class Hook extends Error {}

/** Memory in the midst of what is mapped and can't be accessed. */
function fencedMemory(): ForeignMemory {
  const { mmap, munmap } = native();
  const PRIVATE_ANONYMOUS = 0x22;
  const size = 2n ** 40n;
  const start = mmap(0n, size, 0, PRIVATE_ANONYMOUS, -1, 0n);
  const middle = start + size / 2n;
  munmap(middle, 2n ** 16n);
  return new ForeignMemory(2 ** 16, middle);
}

export const granularities: Granularity[] = ["byte", "cache-line", "page"];
