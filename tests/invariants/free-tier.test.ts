import assert from "node:assert/strict";
import fc from "fast-check";
import { numberFrom, playHistories } from "./histories.ts";
import { AS_IT_IS, MISTAKES } from "./free-tier-naive.ts";
import { cases, type Outcome, play, type Program } from "./free-tier.ts";
import { Violation } from "./violation.ts";

/** As for the other interleavings: TIMMY_INTERLEAVINGS histories (150) from TIMMY_SEED, one alone with TIMMY_FREE_TIER_CASE. */
const RUNS = numberFrom("TIMMY_INTERLEAVINGS", 150);
const SEED = numberFrom("TIMMY_SEED", Date.now() & 0x7fffffff);
/** A mistake must be caught within so many. */
const CONTROL_RUNS = 150;
/** The real parts must pass so many of the same. */
const PASSING_RUNS = 20;

Deno.test(`free tier: ${RUNS} random interleavings from seed ${SEED} break none of economy.md's rules`, async () => {
  const none: Outcome = { free: 0, helped: 0, gate: 0, drained: 0, abandoned: 0, failed: 0, deaths: 0 };
  await playHistories({
    cases,
    play,
    none,
    runs: RUNS,
    seed: SEED,
    variable: "TIMMY_FREE_TIER_CASE",
    least: RUNS < 1_000 ? 1 : RUNS / 20,
  });
});

async function firstViolation(program: Program, runs: number): Promise<Violation | null> {
  for (const one of fc.sample(cases, { numRuns: runs, seed: 1 })) {
    try {
      await play(one, program);
    } catch (error) {
      if (error instanceof Violation) return error;
      throw error;
    }
  }
  return null;
}

for (const { name, program, breaks } of MISTAKES) {
  Deno.test(`free tier control: ${name} is caught`, async () => {
    const caught = await firstViolation(program, CONTROL_RUNS);
    assert.ok(caught, `${CONTROL_RUNS} histories went by and no rule was broken: the harness does not see it`);
    assert.ok(breaks.includes(caught.rule), `caught, but for something else: ${caught.message}`);
  });
}

Deno.test("free tier control: the real parts, put together like those with mistakes, break nothing", async () => {
  assert.equal(await firstViolation(AS_IT_IS, PASSING_RUNS), null);
});
