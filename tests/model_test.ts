import {
  Pmem2Error,
  type Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Random } from "./support/random.ts";
import { ModelWalk, ReservationModel } from "./support/reservation_model.ts";
import { Scratch } from "./support/scratch.ts";
import { PAGE } from "./support/page.ts";

const PAGES = 32;

/** Whatever an action throws, or nothing. */
function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
}

function assertCode(error: unknown, codes: string[]): void {
  if (!(error instanceof Pmem2Error)) throw error ?? new Error(`No ${codes}`);
  assert(codes.includes(error.code), `${codes} was expected: ${error}`);
}

class Trial implements Disposable {
  readonly #random: Random;
  readonly #scratch = new Scratch();
  readonly #sources: Pmem2Source[];
  readonly #readOnly: Pmem2Source;
  readonly #other = new Pmem2VmReservation(PAGE);
  readonly #stranger: Pmem2Map;
  readonly #closed: Pmem2Map[] = [];
  #model!: ReservationModel;
  #walks: { actual: Iterator<Pmem2Map, undefined>; model: ModelWalk }[] = [];
  #tag = 0;
  readonly done: Record<string, number> = {};

  constructor(seed: number) {
    this.#random = new Random(seed);
    const sizes = [1, PAGE, 5000, 2 * PAGE, 3 * PAGE, 5 * PAGE, 7 * PAGE];
    this.#sources = sizes.map((size) =>
      size % 2 === 0
        ? Pmem2Source.anonymous(size)
        : Pmem2Source.open(this.#scratch.file(`${size}`, size))
    );
    this.#sources.push(
      Pmem2Source.open(this.#scratch.file("file", 2 * PAGE)),
    );
    this.#readOnly = Pmem2Source.open(this.#scratch.path("file"), {
      write: false,
    });
    this.#stranger = this.#other.map(this.#sources[1]!);
    this.#renew();
  }

  #renew(): void {
    this.#model = new ReservationModel(new Pmem2VmReservation(PAGES * PAGE));
  }

  /** One random operation, and a look at everything. */
  step(): void {
    const operations = [
      this.#map,
      this.#map,
      this.#mapAt,
      this.#mapAt,
      this.#mapInVain,
      this.#close,
      this.#close,
      this.#find,
      this.#neighbors,
      this.#startWalk,
      this.#walk,
      this.#walk,
      this.#walk,
      this.#gaps,
      this.#extend,
      this.#shrink,
      this.#shrink,
      this.#closeReservation,
    ];
    const operation = this.#random.pick(operations);
    const name = operation.name.slice(1);
    this.done[name] = (this.done[name] ?? 0) + 1;
    operation.call(this);
    this.#model.check();
  }

  #pages(): number {
    return PAGE * this.#random.below(this.#model.size / PAGE + 2);
  }

  /** A source, of which all or a part is mapped. */
  #what(): { source: Pmem2Source; options: object; size: number } {
    const source = this.#random.pick(this.#sources);
    const whole = source.size;
    // Private: the tags of two maps of one file would mix.
    const sharing = "private";
    if (whole % PAGE !== 0 || this.#random.chance(0.6)) {
      return { source, options: { sharing }, size: whole };
    }
    const offset = PAGE * this.#random.below(whole / PAGE);
    const length = PAGE * (1 + this.#random.below((whole - offset) / PAGE));
    const options = { sharing, offset, length };
    return { source, options, size: length };
  }

  #added(map: Pmem2Map, offset: number, size: number): void {
    const tag = this.#tag = (this.#tag + 1) % 256;
    const address = this.#model.address + BigInt(offset);
    for (const at of [0, size - 1]) map.fill(tag, at, 1);
    this.#model.add({ map, address, size, tag });
  }

  #map(): void {
    const { source, options, size } = this.#what();
    const place = this.#model.place(size);
    const action = () => this.#model.actual.map(source, options);
    if (place !== null) return this.#added(action(), place, size);
    const error = thrownBy(action);
    const longest = Math.max(0, ...this.#model.gaps().map(({ size }) => size));
    if (!(error instanceof RangeError)) throw error;
    assert(error.message.endsWith(` ${longest}`), error.message);
  }

  #mapAt(): void {
    const { source, options, size } = this.#what();
    const at = this.#random.chance(0.05)
      ? this.#pages() + 1 + this.#random.below(PAGE - 1)
      : this.#pages();
    const model = this.#model;
    const extent = Math.ceil(size / PAGE) * PAGE;
    const action = () => model.actual.map(source, { ...options, at });
    if (at + extent > model.size) {
      assert(thrownBy(action) instanceof RangeError);
    } else if (at % PAGE !== 0) {
      assertCode(thrownBy(action), ["PMEM2_E_OFFSET_UNALIGNED"]);
    } else if (
      model.gaps().some((gap) =>
        gap.offset <= at && at + extent <= gap.offset + gap.size
      )
    ) {
      this.#added(action(), at, size);
    } else {
      assertCode(thrownBy(action), ["PMEM2_E_MAPPING_EXISTS"]);
    }
  }

  /** What libpmem2 or the kernel refuses, at a place that is free or isn't. */
  #mapInVain(): void {
    const { actual } = this.#model;
    const at = this.#random.chance(0.5) ? undefined : this.#pages();
    const file = this.#sources.at(-1)!;
    for (
      const action of [
        () => actual.map(this.#readOnly, { at }),
        () => actual.map(file, { offset: 1, at }),
        () => actual.map(file, { length: 1, at }),
      ]
    ) {
      const error = thrownBy(action);
      if (error instanceof RangeError) continue;
      assertCode(error, [
        "PMEM2_E_NO_ACCESS",
        "PMEM2_E_MAPPING_EXISTS",
        "PMEM2_E_OFFSET_UNALIGNED",
        "PMEM2_E_LENGTH_UNALIGNED",
      ]);
    }
  }

  #close(): void {
    if (this.#model.maps.length === 0) return;
    const { map } = this.#random.pick(this.#model.maps);
    map.close();
    map.close();
    this.#model.remove(map);
    this.#closed.push(map);
    if (this.#closed.length > 9) this.#closed.shift();
  }

  #find(): void {
    const { actual, size } = this.#model;
    for (let i = 0; i < 20; i++) {
      const offset = this.#random.chance(0.5)
        ? this.#pages()
        : this.#random.below(size + PAGE);
      const length = this.#random.pick([
        0,
        1,
        PAGE,
        this.#random.below(size),
        2 ** 53 - 1,
      ]);
      const expected = offset < size
        ? this.#model.find(offset, Math.min(length, size - offset))
        : null;
      assertStrictEquals(actual.find(offset, length), expected);
    }
  }

  #neighbors(): void {
    const { actual, maps } = this.#model;
    maps.forEach(({ map }, i) => {
      assertStrictEquals(actual.findNext(map), maps[i + 1]?.map ?? null);
      assertStrictEquals(actual.findPrev(map), maps[i - 1]?.map ?? null);
    });
    for (const map of [this.#stranger, ...this.#closed]) {
      assert(thrownBy(() => actual.findNext(map)) instanceof TypeError);
      assert(thrownBy(() => actual.findPrev(map)) instanceof TypeError);
    }
  }

  #startWalk(): void {
    const random = this.#random;
    const from = random.chance(0.5) ? 0 : random.below(this.#model.size);
    const to = random.chance(0.5) ? undefined : this.#pages();
    const options = { from, to, reverse: random.chance(0.5) };
    this.#walks.push({
      actual: this.#model.actual.maps(options),
      model: new ModelWalk(this.#model, options),
    });
    if (this.#walks.length > 6) this.#walks.shift();
  }

  #walk(): void {
    for (const { actual, model } of this.#walks) {
      const expected = model.next();
      const { value, done } = actual.next();
      assertStrictEquals(value ?? null, expected);
      assertEquals(done, expected === null);
    }
  }

  /** The gaps, while maps come and go between two of them. */
  #gaps(): void {
    const model = this.#model;
    let position = model.address;
    for (const gap of model.actual.gaps()) {
      const [expected] = model.gaps(position);
      assertEquals(gap, expected);
      position = model.address + BigInt(gap.offset + gap.size);
      this.#random.chance(0.5) ? this.#close() : this.#mapAt();
    }
    assertEquals(model.gaps(position), []);
  }

  #extend(): void {
    const model = this.#model;
    const size = this.#random.chance(0.2)
      ? this.#random.below(3 * PAGE)
      : PAGE * this.#random.below(8);
    if (model.size > 4 * PAGES * PAGE) return;
    const error = thrownBy(() => model.actual.extend(size));
    if (size % PAGE !== 0) assertCode(error, ["PMEM2_E_LENGTH_UNALIGNED"]);
    else if (error === undefined) model.size += size;
    // Somebody else may be behind it, or the end of the address space.
    else assertCode(error, ["PMEM2_E_MAPPING_EXISTS", "ENOMEM"]);
  }

  #shrink(): void {
    const model = this.#model;
    const random = this.#random;
    let offset = random.chance(0.5) ? 0 : this.#pages();
    let size = random.chance(0.6) ? PAGE * random.below(6) : this.#pages();
    if (random.chance(0.3)) offset = model.size - size;
    if (random.chance(0.1)) size += random.below(PAGE);
    const error = thrownBy(() => model.actual.shrink(offset, size));
    if (offset < 0 || offset + size > model.size) {
      assert(error instanceof RangeError, `${error}`);
      return;
    }
    const reasons: string[] = [];
    if (offset % PAGE !== 0) reasons.push("PMEM2_E_OFFSET_UNALIGNED");
    if (size % PAGE !== 0) reasons.push("PMEM2_E_LENGTH_UNALIGNED");
    if (size === 0) reasons.push("PMEM2_E_LENGTH_OUT_OF_RANGE");
    if (offset === model.size) reasons.push("PMEM2_E_OFFSET_OUT_OF_RANGE");
    const [head, tail] = [offset === 0, offset + size === model.size];
    if (head === tail) reasons.push("PMEM2_E_NOSUPP");
    if (model.find(offset, size) !== null) {
      reasons.push("PMEM2_E_VM_RESERVATION_NOT_EMPTY");
    }
    if (reasons.length > 0) return assertCode(error, reasons);
    assertEquals(error, undefined);
    if (head) model.address += BigInt(size);
    model.size -= size;
  }

  #closeReservation(): void {
    const { actual, maps } = this.#model;
    if (maps.length > 0) {
      assertCode(thrownBy(() => actual.close()), [
        "PMEM2_E_VM_RESERVATION_NOT_EMPTY",
      ]);
    }
    // Rarely, so that what comes between has time to go wrong.
    if (!this.#random.chance(0.2)) return;
    actual.close({ maps: true });
    assert(maps.every(({ map }) => map.closed));
    this.#model.maps = [];
    this.#walk();
    this.#walks = [];
    this.#renew();
  }

  [Symbol.dispose](): void {
    this.#model.actual[Symbol.dispose]();
    this.#other[Symbol.dispose]();
    for (const source of this.#sources) source.close();
    this.#readOnly.close();
    this.#scratch[Symbol.dispose]();
  }
}

for (const seed of [1, 2, 3]) {
  Deno.test(`a reservation does what its model does, seed ${seed}`, () => {
    using trial = new Trial(seed);
    for (let i = 0; i < 5000; i++) {
      try {
        trial.step();
      } catch (error) {
        throw new Error(`Step ${i}`, { cause: error });
      }
    }
    for (const [name, count] of Object.entries(trial.done)) {
      assert(count > 20, `${name} was done ${count} times`);
    }
  });
}
