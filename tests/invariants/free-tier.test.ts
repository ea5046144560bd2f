import assert from "node:assert/strict";
import fc from "fast-check";
import { type Case, cases, type Outcome, play } from "./free-tier.ts";

/** As for the other interleavings: TIMMY_INTERLEAVINGS histories (500) from TIMMY_SEED, one alone with TIMMY_FREE_TIER_CASE. */
const RUNS = numberFrom("TIMMY_INTERLEAVINGS", 500);
const SEED = numberFrom("TIMMY_SEED", Date.now() & 0x7fffffff);

function numberFrom(name: string, otherwise: number): number {
  const given = Deno.env.get(name);
  if (given === undefined) return otherwise;
  const number = Number(given);
  assert.ok(Number.isSafeInteger(number) && number >= 0, `${name} must be a whole number`);
  return number;
}

Deno.test(`free tier: ${RUNS} random interleavings from seed ${SEED} break none of economy.md's rules`, async () => {
  const replay = Deno.env.get("TIMMY_FREE_TIER_CASE");
  if (replay) return void await play(JSON.parse(replay) as Case);
  const total: Outcome = { free: 0, helped: 0, gate: 0, drained: 0, abandoned: 0, failed: 0, deaths: 0 };
  const property = fc.asyncProperty(cases, async (one) => {
    const outcome = await play(one);
    for (const figure of Object.keys(total) as (keyof Outcome)[]) total[figure] += outcome[figure];
  });
  const details = await fc.check(property, { numRuns: RUNS, seed: SEED });
  if (details.failed) {
    const [counterexample] = details.counterexample ?? [];
    throw new Error(
      `TIMMY_SEED=${SEED} after ${details.numRuns} histories. Play it again with\nTIMMY_FREE_TIER_CASE='${
        JSON.stringify(counterexample)
      }'`,
      { cause: details.errorInstance },
    );
  }
  // A harness in which nothing happens would be content with anything.
  for (const [figure, count] of Object.entries(total)) {
    assert.ok(count >= RUNS / 20, `only ${count} ${figure} in ${RUNS} histories`);
  }
});
