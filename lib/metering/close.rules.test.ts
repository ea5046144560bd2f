/**
 * Mistakes put into close.rules.ts by hand, each seen caught by the tests below. Charged: an end that pays the infrastructure share
 * or does not, the other way round, for each row; a refusal by the evaluator that pays for work; one by the provider that is free;
 * of a broken answer its input, its evaluation, the provider's count in place of the delivered tokens, or nothing; our own fault
 * charged once the free failures are used up; every failure free; the evaluation left out; one satoshi for nothing at all.
 * Borne: our own faults, or every end that is not complete. Divided: the payer first; a debt; a subsidy above the grant; the whole
 * grant used; a refund of the cost; all of the grant returned; an amount that is no sats. Trust lowered by who left, raised by a
 * broken answer. A pool that an evaluation feeds, or no refusal. A receipt that shows tokens which are not charged.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Usage } from "@/lib/ai/port.ts";
import { MAX_SATS } from "@/lib/sats.rules.ts";
import {
  borneSats,
  costOf,
  type CostSheet,
  costSheetOf,
  divide,
  feedsPool,
  type Outcome,
  trustOf,
} from "./close.rules.ts";
import { price } from "./pricing.rules.ts";
import type { Quote } from "./quote.rules.ts";
import { anyQuote, anySats, anyTokens, testQuote, used } from "./testing/quotes.ts";

const QUOTE = testQuote();
/** With a quarter on top, at 1 sat for 0.001 USD: 10 sats, 30 sats; the infrastructure share is 125 more. */
const EVALUATION = used(5_000, 1_000); // 5 × 0.0008 + 1 × 0.004 = 0.008 USD
const WORK = used(4_000, 800); // 4 × 0.003 + 0.8 × 0.015 = 0.024 USD
const BOTH = { evaluation: EVALUATION, work: WORK };
const NEITHER = { evaluation: null, work: null };

const complete: Outcome = { end: "complete", used: BOTH, finish: "stop" };
const refused = (by: "evaluator" | "provider", rest: Partial<Extract<Outcome, { end: "refused" }>> = {}): Outcome => ({
  end: "refused",
  by,
  used: BOTH,
  delivered: false,
  reason: "no",
  failure: null,
  ...rest,
});
const left = (delivered: boolean, used = BOTH as Outcome["used"]): Outcome => ({
  end: "left",
  used,
  delivered,
  errorMessage: "gone",
});
const broken = (deliveredTokens: number, used = BOTH as Outcome["used"]): Outcome => ({
  end: "broken",
  used,
  deliveredTokens,
  errorMessage: "cut",
  failure: null,
});
const failed = (by: "provider" | "us", used = BOTH as Outcome["used"]): Outcome => ({
  end: "failed",
  by,
  used,
  errorMessage: "down",
  failure: null,
});

// ---- economy.md §4a, row by row, with numbers by hand -----------------------------------------------------------------

const ROWS: [row: string, outcome: Outcome, free: boolean, sats: number][] = [
  ["complete: what it really cost", complete, true, 165],
  ["complete without an evaluation", { ...complete, used: { evaluation: null, work: WORK } }, true, 155],
  ["refused by our evaluator: the evaluation", refused("evaluator", { used: { ...BOTH, work: null } }), true, 10],
  ["refused by our evaluator, whatever else was used", refused("evaluator"), true, 10],
  ["refused by the provider of the evaluation", refused("provider", { used: { ...BOTH, work: null } }), true, 10],
  ["refused by the provider, nothing delivered: its tokens without the share", refused("provider"), true, 40],
  ["refused by the provider after text: the share too", refused("provider", { delivered: true }), true, 165],
  ["refused by the provider, which counted nothing", refused("provider", { used: NEITHER }), true, 0],
  ["the caller left before anything", left(false, NEITHER), true, 0],
  ["the caller left while it was judged", left(false, { ...BOTH, work: null }), true, 10],
  ["the caller left without text: tokens without the share", left(false), true, 40],
  ["the caller left after text: what was used until then", left(true), true, 165],
  ["broken after text: its output tokens alone", broken(320), true, 6], // 0.32 × 0.015 × 1.25 = 0.006 USD
  ["broken after a single token", broken(1), true, 1],
  ["broken with nothing delivered", broken(0), true, 0],
  ["broken, whatever was used and however often it was tried", broken(320, NEITHER), false, 6],
  ["failed by the provider, within the hour's free ones", failed("provider"), true, 0],
  ["failed by the provider, beyond them: its tokens without the share", failed("provider"), false, 40],
  ["failed by the provider, beyond them, with nothing counted", failed("provider", NEITHER), false, 0],
  ["failed by us, or by a restart", failed("us"), true, 0],
  ["failed by us beyond the free ones: they never count", failed("us"), false, 0],
];
for (const [row, outcome, free, sats] of ROWS) {
  Deno.test(`costOf: ${row}: ${sats} sats`, () => assert.equal(costOf(QUOTE, outcome, free).sats, sats));
}

Deno.test("costOf: shows what the models and the machine cost, before margin", () => {
  const near = (actual: number, usd: number) => assert.ok(Math.abs(actual - usd) < 1e-12, `${actual} USD, not ${usd}`);
  const whole = costOf(QUOTE, complete, true);
  near(whole.modelCostUsd, 0.032);
  near(whole.infraUsd, 0.1);
  const part = costOf(QUOTE, left(false), true);
  near(part.modelCostUsd, 0.032);
  near(part.infraUsd, 0);
});

Deno.test("borneSats: only a failure by the provider costs the instance something, with all that was counted", () => {
  assert.equal(borneSats(QUOTE, failed("provider")), 40);
  assert.equal(borneSats(QUOTE, failed("provider", NEITHER)), 0);
  for (const other of [complete, refused("evaluator"), refused("provider"), left(false), broken(320), failed("us")]) {
    assert.equal(borneSats(QUOTE, other), 0, other.end);
  }
});

Deno.test("trustOf: a paid answer raises it by its charge, what the request caused lowers it, all else is nobody's fault", () => {
  assert.deepEqual(trustOf(complete, 155), { kind: "success", paidSats: 155 });
  assert.deepEqual(trustOf(refused("evaluator"), 10), { kind: "failure" });
  assert.deepEqual(trustOf(refused("provider", { delivered: true }), 165), { kind: "failure" });
  for (const other of [left(true), left(false), broken(320), failed("provider"), failed("us")]) {
    assert.equal(trustOf(other, 10), null, other.end);
  }
});

Deno.test("feedsPool: every charge but the one for an evaluation alone", () => {
  assert.equal(feedsPool(refused("evaluator")), false);
  for (const other of [complete, refused("provider"), left(true), broken(320), failed("provider")]) {
    assert.equal(feedsPool(other), true, other.end);
  }
});

const sheet = (outcome: Outcome, paidSats: number, grantedSats = 0): CostSheet =>
  costSheetOf(outcome, costOf(QUOTE, outcome, true), { paidSats, grantedSats, poolCreditPct: 10, btcUsd: 100_000 });

Deno.test("costSheetOf: says what was used, what it cost and where every sat went", () => {
  const { modelCostUsd, infraUsd, ...rest } = sheet(complete, 200, 50);
  assert.deepEqual([modelCostUsd, infraUsd], [costOf(QUOTE, complete, true).modelCostUsd, 0.1]);
  assert.deepEqual(rest, {
    evalUsage: EVALUATION,
    usage: WORK,
    actualSats: 165,
    chargeSats: 115,
    subsidySats: 50,
    refundSats: 85,
    returnedSats: 0,
    modelCostSats: 23, // the payer's part, 115 of 165 sats, of 32 sats
    poolShareSats: 12,
  });
});

Deno.test("costSheetOf: of an answer that broke off it shows the delivered tokens, which are all that is charged", () => {
  const { usage, chargeSats } = sheet(broken(320), 200);
  assert.deepEqual([usage, chargeSats], [{ inputTokens: 0, outputTokens: 320, source: "estimated" }, 6]);
});

// ---- where the sats go ------------------------------------------------------------------------------------------------

Deno.test("divide: the subsidy is used before the payer's money, and the rest goes back to whom it came from", () => {
  const cases: [actual: number, paid: number, granted: number, ...shares: [number, number, number, number]][] = [
    [100, 129, 0, 100, 0, 29, 0],
    [129, 129, 0, 129, 0, 0, 0],
    [200, 129, 0, 129, 0, 0, 0], // more than was set aside: the operator's loss
    [100, 0, 129, 0, 100, 0, 29],
    [100, 79, 50, 50, 50, 29, 0],
    [40, 79, 50, 0, 40, 79, 10],
    [0, 79, 50, 0, 0, 79, 50],
  ];
  for (const [actualSats, paidSats, grantedSats, chargeSats, subsidySats, refundSats, returnedSats] of cases) {
    const shares = { chargeSats, subsidySats, refundSats, returnedSats };
    assert.deepEqual(divide({ actualSats, paidSats, grantedSats }), shares);
  }
});

Deno.test("divide: refuses amounts that are not whole satoshis, naming which", () => {
  const good = { actualSats: 1, paidSats: 1, grantedSats: 1 };
  for (const name of ["actualSats", "paidSats", "grantedSats"]) {
    for (const n of [-1, 0.5, NaN, Infinity, MAX_SATS + 1]) {
      assert.throws(() => divide({ ...good, [name]: n }), { name: "RangeError", message: new RegExp(name) });
    }
  }
});

// ---- every way a request may end ----------------------------------------------------------------------------------------

const anyUsage: fc.Arbitrary<Usage> = fc.tuple(anyTokens(30_000), anyTokens(10_000)).map(([i, o]) => used(i, o));
const anyUsed = fc.record({ evaluation: fc.option(anyUsage), work: fc.option(anyUsage) });
const anyOutcome: fc.Arbitrary<Outcome> = fc.oneof(
  anyUsed.map((used): Outcome => ({ end: "complete", used, finish: "stop" })),
  fc.tuple(fc.constantFrom("evaluator", "provider"), anyUsed, fc.boolean()).map(([by, used, delivered]) =>
    // Our evaluator judges before anything is written.
    refused(by, { used, delivered: by === "provider" && delivered })
  ),
  fc.tuple(fc.boolean(), anyUsed).map(([delivered, used]) => left(delivered, used)),
  fc.tuple(anyTokens(5_000), anyUsed).map(([tokens, used]) => broken(tokens, used)),
  fc.tuple(fc.constantFrom("provider", "us"), anyUsed).map(([by, used]) => failed(by, used)),
);

/** What of a request economy.md §4a charges: which tokens, and whether with the infrastructure share. */
function chargedParts(outcome: Outcome, free: boolean): { evaluation: boolean; work: boolean; share: boolean } {
  const tokens = { evaluation: true, work: true, share: false };
  switch (outcome.end) {
    case "complete":
      return { ...tokens, share: true };
    case "refused":
      return outcome.by === "evaluator" ? { ...tokens, work: false } : { ...tokens, share: outcome.delivered };
    case "left":
      return { ...tokens, share: outcome.delivered };
    case "broken":
      return { evaluation: false, work: false, share: false };
    case "failed":
      return outcome.by === "us" || free ? { evaluation: false, work: false, share: false } : tokens;
  }
}

/** The price of exactly these, by the one formula; nothing costs nothing. */
function priceOf(
  { rates, config, btc, evaluation }: Quote,
  parts: { evaluation: Usage | null; work: { inputTokens: number; outputTokens: number } | null; share: boolean },
): number {
  const judged = evaluation ? parts.evaluation : null;
  const evaluationUsd = judged && evaluation
    ? (judged.inputTokens * evaluation.rates.inputUsdPer1k + judged.outputTokens * evaluation.rates.outputUsdPer1k) /
      1_000
    : 0;
  const { inputTokens, outputTokens } = parts.work ?? { inputTokens: 0, outputTokens: 0 };
  if (!parts.share && evaluationUsd === 0 && inputTokens + outputTokens === 0) return 0;
  return price({ inputTokens, outputTokens, rates, config, btcUsd: btc.usd, evaluationUsd, withInfra: parts.share })
    .sats;
}

const isDelivered = (outcome: Outcome): boolean =>
  outcome.end === "complete" ||
  (outcome.end === "broken" ? outcome.deliveredTokens > 0 : "delivered" in outcome && outcome.delivered);

Deno.test("property: however it ended, each pays what they caused, and paid + granted are accounted for to the satoshi", () => {
  fc.assert(
    fc.property(anyQuote, anyOutcome, anySats, anySats, fc.boolean(), (quote, outcome, paidSats, grantedSats, free) => {
      const cost = costOf(quote, outcome, free);
      const parts = chargedParts(outcome, free);
      const expected = outcome.end === "broken"
        ? priceOf(quote, {
          evaluation: null,
          work: { inputTokens: 0, outputTokens: outcome.deliveredTokens },
          share: false,
        })
        : priceOf(quote, {
          evaluation: parts.evaluation ? outcome.used.evaluation : null,
          work: parts.work ? outcome.used.work : null,
          share: parts.share,
        });
      assert.equal(cost.sats, expected, "what is charged is what §4a says, no less and no more");
      if (!parts.share) assert.equal(cost.infraUsd, 0);

      const { chargeSats, subsidySats, refundSats, returnedSats, actualSats } = costSheetOf(outcome, cost, {
        paidSats,
        grantedSats,
        poolCreditPct: 10,
        btcUsd: 100_000,
      });
      for (const sats of [chargeSats, subsidySats, refundSats, returnedSats]) {
        assert.ok(Number.isSafeInteger(sats) && sats >= 0, `${sats}`);
      }
      assert.equal(paidSats + grantedSats, chargeSats + subsidySats + refundSats + returnedSats);
      assert.ok(chargeSats <= paidSats && subsidySats <= grantedSats);
      assert.equal(actualSats, cost.sats);
      assert.equal(chargeSats + subsidySats, Math.min(actualSats, paidSats + grantedSats));
      assert.ok(chargeSats === 0 || subsidySats === grantedSats, "the payer pays only what the grant does not");

      if (isDelivered(outcome) && paidSats + grantedSats > 0) {
        assert.ok(chargeSats + subsidySats > 0, "text that was read is never free");
      }
      if (outcome.end === "failed" && (free || outcome.by === "us")) {
        assert.equal(chargeSats + subsidySats, 0, "nothing delivered, and not the request's fault");
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("property: what the instance bears is what a failure would have been charged", () => {
  fc.assert(fc.property(anyQuote, anyUsed, (quote, used) => {
    assert.equal(borneSats(quote, failed("provider", used)), costOf(quote, failed("provider", used), false).sats);
  }));
});
