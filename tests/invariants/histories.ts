import assert from "node:assert/strict";
import fc from "fast-check";

/** A whole number from the environment. */
export function numberFrom(name: string, otherwise: number): number {
  const given = Deno.env.get(name);
  if (given === undefined) return otherwise;
  const number = Number(given);
  assert.ok(Number.isSafeInteger(number) && number >= 0, `${name} must be a whole number`);
  return number;
}

/**
 * Plays so many histories; the shortest that breaks a rule is in the error, and is played alone when `variable` holds it. A harness
 * in which nothing happens would be content with anything: each figure must come to `least` at least.
 */
export async function playHistories<C, O extends { [K in keyof O]: number }>(
  { cases, play, none, runs, seed, variable, least }: {
    cases: fc.Arbitrary<C>;
    play: (one: C) => Promise<O>;
    none: O;
    runs: number;
    seed: number;
    variable: string;
    least: number;
  },
): Promise<void> {
  const replay = Deno.env.get(variable);
  if (replay) return void await play(JSON.parse(replay) as C);
  const total: Record<string, number> = { ...none };
  const property = fc.asyncProperty(cases, async (one) => {
    for (const [figure, count] of Object.entries<number>(await play(one))) total[figure]! += count;
  });
  const details = await fc.check(property, { numRuns: runs, seed });
  if (details.failed) {
    const [counterexample] = details.counterexample ?? [];
    const again = `${variable}='${JSON.stringify(counterexample)}'`;
    throw new Error(`TIMMY_SEED=${seed} after ${details.numRuns} histories. Play it again with\n${again}`, {
      cause: details.errorInstance,
    });
  }
  for (const [figure, count] of Object.entries(total)) {
    assert.ok(count >= least, `only ${count} ${figure} in ${runs} histories`);
  }
}
