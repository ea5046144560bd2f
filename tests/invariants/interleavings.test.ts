import assert from "node:assert/strict";
import fc from "fast-check";
import { numberFrom, playHistories } from "./histories.ts";
import { type Case, cases, jobCases, type Outcome, play, sessionCases } from "./interleavings.ts";
import { asItIs, NAIVE, type Naive } from "./naive.ts";
import { losesUpdates, NAIVE_SESSIONS } from "./session-naive.ts";
import { CALLERS, rush } from "./rush.ts";
import { Violation } from "./rules.ts";

/**
 * `TIMMY_INTERLEAVINGS` histories (60; a long run, `deno task invariants`: 10,000) from `TIMMY_SEED` (a new one each time). A failure prints
 * the seed and the shortest history that shows it; that history alone can be played again with `TIMMY_CASE`.
 */
const RUNS = numberFrom("TIMMY_INTERLEAVINGS", 60);
const SEED = numberFrom("TIMMY_SEED", Date.now() & 0x7fffffff);
/** Rounds of many requests at once on a small balance: 6, and 1,000 in a long run. */
const RUSHES = Math.max(6, Math.floor(RUNS / 10));
/** How often each thing must have happened at least: in few histories the rarest happens a dozen times, or by chance far less. */
const LEAST = RUNS < 1_000 ? 1 : RUNS / 8;
/** A naive handler must be caught within so many. */
const CONTROL_RUNS = 300;
/** The real parts must pass so many; they are those of every other history. */
const PASSING_RUNS = 20;

Deno.test(`invariants: ${RUNS} random interleavings from seed ${SEED} break none of economy.md's rules`, async () => {
  const none: Outcome = { jobs: 0, complete: 0, refundsPaid: 0, deaths: 0, asked: 0, answered: 0, chats: 0 };
  await playHistories({ cases, play, none, runs: RUNS, seed: SEED, variable: "TIMMY_CASE", least: LEAST });
});

Deno.test(`invariants: ${RUSHES} rushes from seed ${SEED} of ${CALLERS} requests on a balance for three overdraw none`, async () => {
  const total = { served: 0, other: 0, unpaid: 0 };
  for (let seed = SEED; seed < SEED + RUSHES; seed++) {
    const rushed = await rush(seed).catch((cause) => {
      throw new Error(`TIMMY_SEED=${seed} plays this rush again, first of all`, { cause });
    });
    for (const figure of Object.keys(total) as (keyof typeof total)[]) total[figure] += rushed[figure];
  }
  assert.ok(total.served >= 2 * RUSHES, `only ${total.served} were served in ${RUSHES} rushes`);
  assert.ok(total.unpaid >= CALLERS / 2 * RUSHES, `only ${total.unpaid} were refused in ${RUSHES} rushes`);
});

Deno.test("control: a rush on a session that loses updates is caught", async () => {
  await assert.rejects(rush(2, { background: losesUpdates }), (error: unknown) => {
    assert.ok(error instanceof Violation, String(error));
    assert.equal(error.rule, "no more are served than the balance pays for");
    return true;
  });
});

async function firstViolation(
  background: Naive,
  from: fc.Arbitrary<Case>,
  numRuns: number,
): Promise<Violation | null> {
  for (const one of fc.sample(from, { numRuns, seed: 1 })) {
    try {
      await play(one, { background });
    } catch (error) {
      if (error instanceof Violation) return error;
      throw error;
    }
  }
  return null;
}

const CONTROLS = [
  ...NAIVE.map((naive) => ({ ...naive, from: jobCases })),
  ...NAIVE_SESSIONS.map((naive) => ({ ...naive, from: sessionCases })),
];
for (const { name, background, breaks, from } of CONTROLS) {
  Deno.test(`control: ${name} is caught`, async () => {
    const caught = await firstViolation(background, from, CONTROL_RUNS);
    assert.ok(caught, `${CONTROL_RUNS} histories went by and no rule was broken: the harness does not see it`);
    assert.ok(breaks.includes(caught.rule), `caught, but for something else: ${caught.message}`);
  });
}

Deno.test("control: the real parts, put together like the naive ones, are not", async () => {
  assert.equal(await firstViolation(asItIs, cases, PASSING_RUNS), null);
});
