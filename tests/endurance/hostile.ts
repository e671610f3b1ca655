/**
 * Calls everything that is public with the worst arguments, in random order, on
 * living objects. After each call the process lives, memory that no call was to
 * change is unchanged, and the module's books are those of libpmem2.
 *
 *     deno run -A tests/endurance/hostile.ts [CALLS [SEED]]
 *
 * With HOSTILE_TRACE set, each call is named before it's made.
 *
 * @module
 */

import {
  Pmem2Error,
  Pmem2Map,
  Pmem2Source,
  Pmem2VmReservation,
} from "@pmem2/pmem2";
import { assert } from "@std/assert";
import { type Member, members, type Receiver } from "./hostile/members.ts";
import { Values } from "./hostile/values.ts";
import { Hook, World } from "./hostile/world.ts";
import { limitFileSize } from "../support/native_process.ts";
import { Random } from "../support/random.ts";

const calls = Number(Deno.args[0] ?? 50_000);
const seed = Number(Deno.args[1] ?? Date.now() % 2 ** 32);
const trace = Deno.env.has("HOSTILE_TRACE");

/** What, if it succeeds, changes memory or files. */
const changing = new Set([
  "Pmem2Map.prototype.read",
  "Pmem2Map.prototype.write",
  "Pmem2Map.prototype.move",
  "Pmem2Map.prototype.fill",
  "Pmem2VmReservation.prototype.read",
  "Pmem2VmReservation.prototype.write",
  "Pmem2VmReservation.prototype.move",
  "Pmem2VmReservation.prototype.fill",
  "Pmem2Source.prototype.read",
  "Pmem2Source.prototype.write",
]);

const classes = [Pmem2Map, Pmem2Source, Pmem2VmReservation, Pmem2Error];

interface Count {
  returned: number;
  threw: number;
}

class Campaign {
  readonly #random: Random;
  readonly #world: World;
  readonly #values: Values;
  readonly #members = members();
  readonly #counts = new Map<string, Count>();
  readonly #pending = new Set<Promise<unknown>>();

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#world = new World(this.#random);
    this.#values = new Values(this.#world);
    for (const { name } of this.#members) {
      this.#counts.set(name, { returned: 0, threw: 0 });
    }
  }

  async run(calls: number): Promise<void> {
    const [random, world] = [this.#random, this.#world];
    for (let i = 0; i < calls; i++) {
      const member = random.pick(this.#members);
      try {
        this.#call(member);
        const which = i % world.reservations.length;
        world.checkReservation(world.reservations[which]!);
        if (i % 1000 === 0) this.#checkAll();
      } catch (error) {
        console.error(`Call ${i}, ${member.name}, seed ${seed}:`);
        throw error;
      }
      world.refill();
      // What is pending goes on for a few calls.
      if (i % 16 === 0) await Promise.all(this.#pending);
    }
    await Promise.all(this.#pending);
    this.#checkAll();
    for (const [name, { returned, threw }] of this.#counts) {
      assert(returned + threw > 0, `${name} was never called`);
    }
  }

  #checkAll(): void {
    this.#world.reservations.forEach((value) =>
      this.#world.checkReservation(value)
    );
    this.#world.checkMemory();
  }

  #call(member: Member): void {
    const receiver = this.#receiver(member.receiver);
    const args = this.#values.arguments(member);
    if (trace) {
      console.error(member.name, Deno.inspect(args, { depth: 1 }));
    }
    const count = this.#counts.get(member.name)!;
    this.#world.current = [receiver, ...args];
    let changed = false;
    try {
      const result = this.#invoke(member, receiver, args);
      count.returned++;
      changed = changing.has(member.name);
      this.#take(member, result);
    } catch (error) {
      count.threw++;
      // Without native state, what their arguments throw is what they throw.
      const innocent = /^(Pmem2|Crash)Error|customInspect/.test(member.name);
      if (!innocent) assertLegitimate(error);
    }
    if (changed) this.#world.accept();
    else assert(this.#world.unchanged(), "a call changed what it was not to");
    this.#world.checkGuards();
  }

  #invoke(
    { kind, code }: Member,
    receiver: unknown,
    args: unknown[],
  ): unknown {
    const random = this.#random;
    if (kind === "getter") return Reflect.apply(code, receiver, []);
    if (kind === "constructor" || random.chance(0.01)) {
      return this.#construct(code, args);
    }
    return Reflect.apply(code, receiver, args);
  }

  // deno-lint-ignore ban-types
  #construct(code: Function, args: unknown[]): unknown {
    const random = this.#random;
    switch (random.below(6)) {
      case 0:
        return Reflect.apply(code, undefined, args);
      case 1: {
        const target = random.pick([...classes, Date, Array, Proxy]);
        return Reflect.construct(code, args, target);
      }
      case 2: {
        const Base = code as new (...args: unknown[]) => object;
        class Derived extends Base {
          constructor() {
            const self = () => this as unknown as Pmem2VmReservation;
            super(args[0], {
              // Before there is a `this`.
              get address() {
                return self().size;
              },
            });
          }
          get size() {
            return 2 ** 40;
          }
        }
        return new Derived();
      }
      default:
        return Reflect.construct(code, args);
    }
  }

  #take(member: Member, result: unknown): void {
    const world = this.#world;
    if (result instanceof Promise) {
      const settled = result.catch(assertLegitimate)
        .finally(() => this.#pending.delete(settled));
      this.#pending.add(settled);
    } else if (member.name === "emulatePmem") {
      world.emulations.push(result as Disposable);
      if (world.emulations.length > 3) {
        world.emulations.shift()![Symbol.dispose]();
      }
    } else if (
      member.receiver !== "emulation" && member.name !== "walk.constructor"
    ) {
      world.adopt(result);
      if (member.name === "Pmem2VmReservation.prototype.view") {
        world.keep(result as Uint8Array<ArrayBuffer>);
      }
      if (member.name === "walk.next") {
        world.adopt((result as IteratorResult<unknown>).value);
      }
    }
    if (this.#random.chance(0.001)) this.#deface();
  }

  /** Makes an object look like something else. */
  #deface(): void {
    const { maps, reservations, sources } = this.#world;
    const random = this.#random;
    const object = random.pick([...maps, ...reservations, ...sources]);
    try {
      Object.defineProperty(object, random.pick(["size", "close", "address"]), {
        value: random.pick([2 ** 40, -1, undefined, () => {}]),
      });
      if (random.chance(0.3)) Object.setPrototypeOf(object, null);
      if (random.chance(0.3)) Object.freeze(object);
    } catch {
      // It's frozen.
    }
  }

  #receiver(kind: Receiver): unknown {
    const [random, world] = [this.#random, this.#world];
    if (random.chance(0.1)) return this.#values.any();
    switch (kind) {
      case "map":
        return random.pick(world.maps);
      case "source":
        return random.pick(world.sources);
      case "reservation":
        return random.pick(world.reservations);
      case "walk":
        return random.pick(world.walks);
      case "emulation":
        return random.pick(world.emulations);
      default:
        return undefined;
    }
  }

  report(): void {
    const never = [...this.#counts]
      .filter(([, { returned }]) => returned === 0).map(([name]) => name);
    let [returned, threw] = [0, 0];
    for (const count of this.#counts.values()) {
      returned += count.returned;
      threw += count.threw;
    }
    console.log(
      `${
        returned + threw
      } calls of ${this.#counts.size} members, seed ${seed}: ${returned} returned, ${threw} threw`,
    );
    if (never.length > 0) console.log(`Never returned: ${never.join(", ")}`);
  }

  [Symbol.dispose](): void {
    this.#world[Symbol.dispose]();
  }
}

/**
 * What the module throws is its own; the engine throws in the module's code only
 * where something wasn't checked.
 */
function assertLegitimate(error: unknown): void {
  if (error instanceof Hook || error instanceof Pmem2Error) return;
  if (!(error instanceof Error)) throw error;
  const frame = error.stack?.split("\n").find((line) => /^\s+at /.test(line));
  const inModule = frame?.includes("/ffi/") ||
    /FFI|Illegal/.test(error.message);
  const ours = /^Cannot (?!read properties|set properties|mix|convert)/;
  if (inModule && !ours.test(error.message)) throw error;
}

limitFileSize(2 ** 20);
using campaign = new Campaign(seed);
await campaign.run(calls);
campaign.report();
