/**
 * One line of the table: two ways to do the same thing, measured in turns.
 *
 * @module
 */

/** Does something often enough to be timed; nanoseconds for one time. */
export type Measure = () => number | Promise<number>;

/** What our way may cost, given what the other one does; null: anything. */
export type Goal =
  /** This many times as much. */
  | { readonly times: number }
  /** This many nanoseconds more. */
  | { readonly plus: number }
  /** This many nanoseconds, whatever the other one takes. */
  | { readonly at: number }
  /** This many bytes, whatever the other one takes. */
  | { readonly bytes: number }
  | null;

export interface Comparison {
  readonly name: string;
  /** Who else does it; null where nobody does. */
  readonly against: string | null;
  readonly goal: Goal;
  readonly theirs: Measure | null;
  readonly ours: Measure;
  readonly rounds?: number;
}

/** A comparison's outcome: medians, in nanoseconds or, of memory, in bytes. */
export interface Result {
  readonly group: string;
  readonly name: string;
  readonly against: string | null;
  readonly theirs: number | null;
  readonly ours: number;
  /** The median of the rounds' ratios of ours to theirs. */
  readonly ratio: number | null;
  /** The median of the rounds' differences. */
  readonly surplus: number | null;
  readonly goal: Goal;
  readonly met: boolean | null;
}

/** Many, of about a millisecond each: most of them nothing interrupts. */
const ROUNDS = 101;
/** Milliseconds for V8 to see what is hot, and to compile it. */
const WARM_UP = 300;

/**
 * Takes turns, so that what else the machine does meanwhile hits both, and
 * takes medians, so that it doesn't count when it hits one.
 */
export async function measure(
  group: string,
  { name, against, goal, theirs, ours, rounds = ROUNDS }: Comparison,
): Promise<Result> {
  const pairs: { theirs: number; ours: number }[] = [];
  const round = async () => ({
    theirs: await theirs?.() ?? NaN,
    ours: await ours(),
  });
  const start = performance.now();
  while (rounds > 1 && performance.now() - start < WARM_UP) await round();
  while (pairs.length < rounds) pairs.push(await round());
  const of = (value: (pair: typeof pairs[number]) => number) =>
    theirs === null ? null : median(pairs.map(value));
  const result = {
    group,
    name,
    against,
    theirs: of((pair) => pair.theirs),
    ours: median(pairs.map((pair) => pair.ours)),
    ratio: of((pair) => pair.ours / pair.theirs),
    surplus: of((pair) => pair.ours - pair.theirs),
    goal,
  };
  return { ...result, met: isMet(result) };
}

function isMet(
  { goal, ours, ratio, surplus }: Omit<Result, "met">,
): boolean | null {
  if (goal === null) return null;
  if ("bytes" in goal) return ours <= goal.bytes;
  if ("at" in goal) return ours <= goal.at;
  return "plus" in goal ? surplus! <= goal.plus : ratio! <= goal.times;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Measures a loop: nanoseconds for each of the `steps` that its body takes each
 * time. It's the same function in each round, so that V8 gets to optimise it.
 */
export function timed(
  times: number,
  loop: (times: number) => void,
  steps = 1,
): () => number {
  return () => {
    const start = performance.now();
    loop(times);
    return (performance.now() - start) * 1e6 / times / steps;
  };
}
