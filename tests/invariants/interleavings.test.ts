import assert from "node:assert/strict";
import fc from "fast-check";
import { type Case, cases, play } from "./interleavings.ts";
import { asItIs, NAIVE, type Naive } from "./naive.ts";
import { Violation } from "./rules.ts";

/**
 * `TIMMY_INTERLEAVINGS` histories (500; a long run: 10,000) from `TIMMY_SEED` (a new one each time). A failure prints
 * the seed and the shortest history that shows it; that history alone can be played again with `TIMMY_CASE`.
 */
const RUNS = numberFrom("TIMMY_INTERLEAVINGS", 500);
const SEED = numberFrom("TIMMY_SEED", Date.now() & 0x7fffffff);
/** A naive handler must be caught within so many. */
const CONTROL_RUNS = 300;

function numberFrom(name: string, otherwise: number): number {
  const given = Deno.env.get(name);
  if (given === undefined) return otherwise;
  const number = Number(given);
  assert.ok(Number.isSafeInteger(number) && number >= 0, `${name} must be a whole number`);
  return number;
}

Deno.test(`invariants: ${RUNS} random interleavings from seed ${SEED} break none of economy.md's rules`, async () => {
  const replay = Deno.env.get("TIMMY_CASE");
  if (replay) return void await play(JSON.parse(replay) as Case);
  const total = { jobs: 0, complete: 0, refundsPaid: 0, deaths: 0 };
  const property = fc.asyncProperty(cases, async (one) => {
    const outcome = await play(one);
    for (const figure of Object.keys(total) as (keyof typeof total)[]) total[figure] += outcome[figure];
  });
  const details = await fc.check(property, { numRuns: RUNS, seed: SEED });
  if (details.failed) {
    const [counterexample] = details.counterexample ?? [];
    throw new Error(
      `TIMMY_SEED=${SEED} after ${details.numRuns} histories. Play it again with\nTIMMY_CASE='${
        JSON.stringify(counterexample)
      }'`,
      { cause: details.errorInstance },
    );
  }
  // A harness in which nothing happens would be content with anything.
  for (const [figure, count] of Object.entries(total)) {
    assert.ok(count >= RUNS / 4, `only ${count} ${figure} in ${RUNS} histories`);
  }
});

async function firstViolation(background: Naive): Promise<Violation | null> {
  for (const one of fc.sample(cases, { numRuns: CONTROL_RUNS, seed: 1 })) {
    try {
      await play(one, { background });
    } catch (error) {
      if (error instanceof Violation) return error;
      throw error;
    }
  }
  return null;
}

for (const { name, background, breaks } of NAIVE) {
  Deno.test(`control: ${name} is caught`, async () => {
    const caught = await firstViolation(background);
    assert.ok(caught, `${CONTROL_RUNS} histories went by and no rule was broken: the harness does not see it`);
    assert.ok(breaks.includes(caught.rule), `caught, but for something else: ${caught.message}`);
  });
}

Deno.test("control: the real parts, put together like the naive ones, are not", async () => {
  assert.equal(await firstViolation(asItIs), null);
});
