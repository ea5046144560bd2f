/**
 * Mistakes put into free-tier.ts by hand, each seen caught by the tests below: free when one sat is missing; partial at an
 * exact fit; pool, or budget, left out of either decision; a used budget not taken off, or made negative; advice above what
 * is left; a subsidy above the advice, or negative; anonymous with the budget of a new key; a day that is local time; a day
 * that ends at its own start; a credit rounded up, without carry, or with a carry that is kept and paid.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { utcDay } from "@/lib/clock.ts";
import { dailyBudget, dayEnd, decide, type FreeTierConfig, poolCredit, subsidyOf } from "./free-tier.rules.ts";
import type { Tier } from "@/lib/identity/trust.rules.ts";

/** The defaults of economy.md §7. */
const CONFIG: FreeTierConfig = {
  dailySats: { new: 0, established: 50, trusted: 200, elite: 1_000 },
  poolCreditPct: 10,
};
const DAY = 86_400_000;

const look = (part: Partial<Parameters<typeof decide>[0]> = {}) =>
  decide({ estimateSats: 130, dailySats: 200, usedSats: 0, poolSats: 10_000, ...part });

Deno.test("decide: free when pool and budget hold the whole estimate, to the satoshi", () => {
  const free = { serve: "free", sats: 130 };
  assert.deepEqual(look(), free);
  assert.deepEqual(look({ poolSats: 130 }), free);
  assert.deepEqual(look({ usedSats: 70 }), free);
});

Deno.test("decide: one sat short is partial, and advises all that is left of the smaller one", () => {
  assert.deepEqual(look({ poolSats: 129 }), { serve: "partial", adviceSats: 129 });
  assert.deepEqual(look({ usedSats: 71 }), { serve: "partial", adviceSats: 129 });
  assert.deepEqual(look({ usedSats: 199, poolSats: 5 }), { serve: "partial", adviceSats: 1 });
});

Deno.test("decide: with an empty pool, without a budget or with one that is used up, the payer pays it all", () => {
  for (const part of [{ poolSats: 0 }, { dailySats: 0 }, { usedSats: 200 }]) {
    assert.deepEqual(look(part), { serve: "gate" });
  }
  // A tier that fell today leaves more used than there is.
  assert.deepEqual(look({ dailySats: 50, usedSats: 180 }), { serve: "gate" });
});

Deno.test("subsidy: the advice, as far as pool and budget still have it, down to nothing", () => {
  const take = (part: Partial<Parameters<typeof subsidyOf>[0]> = {}) =>
    subsidyOf({ adviceSats: 50, dailySats: 200, usedSats: 0, poolSats: 10_000, ...part });
  assert.equal(take(), 50);
  assert.equal(take({ poolSats: 49 }), 49);
  assert.equal(take({ usedSats: 151 }), 49);
  for (const part of [{ poolSats: 0 }, { usedSats: 200 }, { usedSats: 900 }, { dailySats: 0 }]) {
    assert.equal(take(part), 0);
  }
});

Deno.test("dailyBudget: by tier, and nothing for nobody in particular", () => {
  const tiers: Tier[] = ["anonymous", "new", "established", "trusted", "elite"];
  assert.deepEqual(tiers.map((tier) => dailyBudget(tier, CONFIG)), [0, 0, 50, 200, 1_000]);
  const generous = { ...CONFIG, dailySats: { ...CONFIG.dailySats, new: 7 } };
  assert.deepEqual([dailyBudget("new", generous), dailyBudget("anonymous", generous)], [7, 0]);
});

Deno.test("utcDay, dayEnd: a day is that of UTC, from its first millisecond to its last", () => {
  const midnight = Date.UTC(2026, 10, 21);
  for (
    const [ms, day] of [[-1, "2026-11-20"], [0, "2026-11-21"], [DAY - 1, "2026-11-21"], [DAY, "2026-11-22"]] as const
  ) {
    assert.equal(utcDay(midnight + ms), day);
  }
  assert.deepEqual([0, 1, DAY - 1].map((ms) => dayEnd(midnight + ms)), Array(3).fill(midnight + DAY));
  assert.equal(dayEnd(midnight + DAY), midnight + 2 * DAY);
  assert.deepEqual([utcDay(Date.UTC(2028, 1, 29)), utcDay(Date.UTC(2027, 0, 1) - 1)], ["2028-02-29", "2026-12-31"]);
});

Deno.test("poolCredit: rounded down, and the rest is carried until it is a satoshi", () => {
  assert.deepEqual(poolCredit(125, 10, 0), { sats: 12, carry: 50 });
  assert.deepEqual(poolCredit(125, 10, 50), { sats: 13, carry: 0 });
  let [carry, sats] = [0, 0];
  for (let i = 0; i < 10; i++) {
    const credit = poolCredit(1, 10, carry);
    carry = credit.carry;
    sats += credit.sats;
  }
  assert.deepEqual([sats, carry], [1, 0], "ten charges of one sat give what one of ten gives");
});

Deno.test("poolCredit: nothing at 0 per cent, the whole charge at 100, and a charge of nothing changes nothing", () => {
  assert.deepEqual(poolCredit(999, 0, 40), { sats: 0, carry: 40 });
  assert.deepEqual(poolCredit(999, 100, 40), { sats: 999, carry: 40 });
  assert.deepEqual(poolCredit(0, 10, 99), { sats: 0, carry: 99 });
});

const sats = (max: number) => fc.integer({ min: 0, max });
const anyLook = fc.record({
  estimateSats: fc.integer({ min: 1, max: 500 }),
  dailySats: sats(600),
  usedSats: sats(700),
  poolSats: sats(600),
});

Deno.test("decide: gives no more than the pool and what is left of the budget; free only the whole estimate", () => {
  fc.assert(
    fc.property(anyLook, (input) => {
      const decision = decide(input);
      const given = decision.serve === "free" ? decision.sats : decision.serve === "partial" ? decision.adviceSats : 0;
      const left = Math.max(0, input.dailySats - input.usedSats);
      assert.ok(given >= 0 && given <= input.poolSats && given <= left);
      const covered = input.poolSats >= input.estimateSats && left >= input.estimateSats;
      assert.equal(decision.serve === "free", covered);
      if (decision.serve === "free") assert.equal(given, input.estimateSats);
      else assert.equal(given, Math.min(input.poolSats, left), "what there is, though it is not enough");
      assert.equal(decision.serve === "gate", given === 0);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("subsidy: never more than the advice, the pool or the budget's rest, and all of the smallest", () => {
  fc.assert(
    fc.property(anyLook, sats(600), (input, adviceSats) => {
      const taken = subsidyOf({ ...input, adviceSats });
      assert.ok(Number.isInteger(taken) && taken >= 0);
      assert.ok(
        taken <= adviceSats && taken <= input.poolSats && taken <= Math.max(0, input.dailySats - input.usedSats),
      );
      const room = [adviceSats, input.poolSats, Math.max(0, input.dailySats - input.usedSats)];
      assert.ok(room.includes(taken), "nothing held it back");
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("subsidy: an advice that is taken at once is there whole", () => {
  fc.assert(fc.property(anyLook, (input) => {
    const decision = decide(input);
    if (decision.serve !== "partial") return;
    assert.equal(subsidyOf({ ...input, adviceSats: decision.adviceSats }), decision.adviceSats);
  }));
});

Deno.test("poolCredit: any charges in any order give floor(per cent of their sum), whatever each one gave", () => {
  fc.assert(fc.property(fc.array(sats(5_000), { maxLength: 60 }), fc.integer({ min: 0, max: 100 }), (charges, pct) => {
    let [carry, given, earned] = [0, 0, 0];
    for (const charge of charges) {
      const credit = poolCredit(charge, pct, carry);
      assert.ok(Number.isInteger(credit.sats) && credit.sats >= 0);
      assert.ok(Number.isInteger(credit.carry) && credit.carry >= 0 && credit.carry < 100);
      assert.ok(credit.sats <= charge, "no more than was earned: the revenue account can pay it");
      carry = credit.carry;
      given += credit.sats;
      earned += charge;
      assert.equal(given, Math.floor(pct * earned / 100));
    }
  }));
});

Deno.test("dailyBudget, decide: a day of requests of one key takes no more than its budget, at any tier", () => {
  const anyTier = fc.constantFrom<Tier>("anonymous", "new", "established", "trusted", "elite");
  fc.assert(fc.property(anyTier, fc.array(sats(400), { maxLength: 30 }), sats(2_000), (tier, estimates, seed) => {
    let [usedSats, poolSats] = [0, seed];
    const dailySats = dailyBudget(tier, CONFIG);
    for (const estimate of estimates) {
      const decision = decide({ estimateSats: Math.max(1, estimate), dailySats, usedSats, poolSats });
      const taken = decision.serve === "free" ? decision.sats : decision.serve === "partial" ? decision.adviceSats : 0;
      usedSats += taken;
      poolSats -= taken;
    }
    assert.ok(usedSats <= dailySats && poolSats >= 0);
  }));
});
