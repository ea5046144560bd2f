import assert from "node:assert/strict";
import { createFakeWorld } from "../harness/fake-world.ts";
import { keyWith, SCORE } from "../harness/keys.ts";
import { pay, untilState } from "../harness/payer.ts";
import { keepsNoBudget, servesWhatItSaw } from "./free-tier-naive.ts";
import { BUDGET_PAYS_FOR, budgetRace, drainRace, POOL_SATS } from "./free-tier-races.ts";
import { Violation } from "./violation.ts";

/** Rounds of the race for the pool: 3; a long run of the other interleavings (10,000) has 1,000. */
const ROUNDS = Math.max(3, Math.floor(Number(Deno.env.get("TIMMY_INTERLEAVINGS") ?? 0) / 10));
const SEED = Number(Deno.env.get("TIMMY_SEED") ?? Date.now() & 0xffffff);

Deno.test(`free tier: 500 who ask at once of a pool of ${POOL_SATS} sats, ${ROUNDS} rounds from seed ${SEED}: it gives no more than it has`, async () => {
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    try {
      const { free, partial, gate, refused, grantedSats } = await drainRace(seed);
      assert.ok(free > 0 && partial + gate + refused > 0, "some of each");
      assert.ok(grantedSats > POOL_SATS * 0.5, `only ${grantedSats} sats were granted: nothing was raced for`);
    } catch (cause) {
      throw new Error(`TIMMY_SEED=${seed} plays this round again as the first one`, { cause });
    }
  }
});

for (const kind of ["job", "ask"] as const) {
  Deno.test(`free tier: 200 of one key at once with a budget for four, by ${kind}: four are free`, async () => {
    const { free, partial, gate, refused } = await budgetRace(SEED, kind);
    assert.equal(free, BUDGET_PAYS_FOR);
    assert.equal(partial + gate + refused, 200 - BUDGET_PAYS_FOR);
  });
}

const CONTROLS: [name: string, rule: string, play: () => Promise<unknown>][] = [
  ["a budget that is not kept", "no key is above its day's budget", () => budgetRace(1, "job", keepsNoBudget)],
  ["free although the pool raced to less", "free is the whole price", () => drainRace(99, servesWhatItSaw)],
];
for (const [name, rule, play] of CONTROLS) {
  Deno.test(`free tier control: ${name} is caught by a race`, async () => {
    const caught = await play().then(() => null, (error) => error);
    assert.ok(caught instanceof Violation, String(caught));
    assert.equal(caught.rule, rule, caught.message);
  });
}

Deno.test("free tier: what a job costs in durable commits, alone", async (t) => {
  const cost = async (score: number) => {
    const fake = await createFakeWorld(1);
    try {
      const { world, call, clock } = fake;
      const { auth } = await keyWith(world, score);
      const before = world.store.stats().commits;
      const { jobId, evalInvoice } = (await call("POST", "/api/jobs", { request: "hello" }, auth)).body;
      await pay(world, evalInvoice);
      const states = ["awaiting_work_payment", "complete"];
      const { body } = await clock.drive(untilState(world, world.call, jobId, states));
      if (body.workInvoice) await pay(world, body.workInvoice);
      await clock.drive(untilState(world, world.call, jobId, ["complete"]));
      await clock.settle();
      return { serve: body.free_tier.serve, commits: world.store.stats().commits - before };
    } finally {
      fake.discard();
    }
  };
  for (const [score, serve, most] of [[SCORE.trusted, "free", 6], [SCORE.established, "partial", 7]] as const) {
    const measured = await cost(score);
    await t.step(`${serve}: ${measured.commits} commits, at most ${most}`, () => {
      assert.equal(measured.serve, serve);
      assert.ok(measured.commits > 0 && measured.commits <= most);
    });
  }
});
