import { reservedAccount } from "@/lib/ledger/accounts.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Usage } from "@/lib/ai/port.ts";
import { price, type PriceConfig, type Rates } from "@/lib/metering/pricing.rules.ts";
import {
  actualSats,
  decideReservation,
  endRequest,
  outputLimit,
  type RequestEnd,
  type RequestQuote,
  type SessionRequest,
  worstCase,
} from "./requests.machine.ts";

const NOW = 1_700_000_000_000;
/** MIN_OUTPUT_TOKENS. */
const MIN = 64;
const CONFIG: PriceConfig = {
  doMonthlyCostUsd: 100,
  doMonthlyRequestVolume: 1_000,
  marginPct: 25,
  outputTokensShort: 200,
  outputTokensMedium: 400,
  outputTokensLong: 800,
  shortMaxChars: 100,
  mediumMaxChars: 300,
  systemPromptTokens: 50,
};
const SONNET: Rates = { inputUsdPer1k: 0.003, outputUsdPer1k: 0.015 };
const HAIKU: Rates = { inputUsdPer1k: 0.0008, outputUsdPer1k: 0.004 };
const FREE: Rates = { inputUsdPer1k: 0, outputUsdPer1k: 0 };

const quoteOf = (part: Partial<RequestQuote> = {}): RequestQuote => ({
  inputTokens: 60,
  outputTokens: 200,
  maxOutputTokens: 800,
  rates: SONNET,
  evaluation: { inputTokens: 500, outputTokens: 200, rates: HAIKU },
  config: CONFIG,
  btc: { usd: 100_000, source: "test", at: NOW },
  ...part,
});
const NO_EVALUATION = quoteOf({ evaluation: null });

const running = (part: Partial<SessionRequest> = {}): SessionRequest => ({
  v: 1,
  id: "r1",
  session: "s1",
  mode: "request",
  state: "running",
  at: NOW,
  endedAt: null,
  model: "work",
  evalModel: "eval",
  text: "hello",
  quote: quoteOf(),
  reservedSats: 200,
  pubkey: null,
  requestHash: "",
  grantedSats: 0,
  adviceSats: 0,
  freeTier: null,
  token: "t",
  allowances: [],
  evalUsage: null,
  usage: null,
  actualSats: 0,
  chargeSats: 0,
  subsidySats: 0,
  balanceSats: null,
  finish: null,
  reason: null,
  errorMessage: null,
  causedByRequest: false,
  ...part,
});

const used = (inputTokens: number, outputTokens: number): Usage => ({ inputTokens, outputTokens, source: "api" });
const complete = (usage: Usage, evalUsage: Usage | null): RequestEnd => ({
  state: "complete",
  usage,
  evalUsage,
  finish: "stop",
});
const rejected = (evalUsage: Usage | null): RequestEnd => ({ state: "rejected", evalUsage, reason: "no" });
const failed: RequestEnd = { state: "failed", errorMessage: "the model is down", causedByRequest: false };
const interrupted = (usage: Usage | null, evalUsage: Usage | null): RequestEnd => ({
  state: "interrupted",
  usage,
  evalUsage,
  errorMessage: "gone",
});

// ---- what it may cost ----------------------------------------------------------------------------------------------

Deno.test("worstCase: the evaluation at its dearest, the work, the infrastructure share and the margin, rounded once", () => {
  // 0.0012 (evaluation) + 0.00318 (work) + 0.1 (share) USD, a quarter on top, at 100,000 USD: 130.475 sats.
  assert.deepEqual(worstCase(quoteOf(), MIN), { wantedSats: 131, leastSats: 128 });
  assert.deepEqual(worstCase(NO_EVALUATION, MIN), { wantedSats: 129, leastSats: 127 });
});

Deno.test("worstCase: who asks for less than the smallest useful answer pays for what was asked", () => {
  const { wantedSats, leastSats } = worstCase(quoteOf({ outputTokens: 1, maxOutputTokens: 1 }), MIN);
  assert.equal(leastSats, wantedSats);
});

const decide = (balanceSats: number, allowanceSats = Infinity) =>
  decideReservation({ quote: quoteOf(), balanceSats, allowanceSats, minOutputTokens: MIN });

Deno.test("decideReservation: holds the worst case, and no more than the balance or the token's allowance has", () => {
  assert.deepEqual(decide(500), { outcome: "reserved", reservedSats: 131 });
  assert.deepEqual(decide(131), { outcome: "reserved", reservedSats: 131 });
  assert.deepEqual(decide(130), { outcome: "reserved", reservedSats: 130 });
  assert.deepEqual(decide(500, 130), { outcome: "reserved", reservedSats: 130 });
  assert.deepEqual(decide(129, 130), { outcome: "reserved", reservedSats: 129 });
});

Deno.test("decideReservation: a balance below the smallest useful answer is short, by the price of just that", () => {
  assert.deepEqual(decide(128), { outcome: "reserved", reservedSats: 128 });
  assert.deepEqual(decide(127), { outcome: "short", priceSats: 128 });
  assert.deepEqual(decide(0), { outcome: "short", priceSats: 128 });
});

Deno.test("decideReservation: a balance that would do under an allowance that does not is capped; short of both is short", () => {
  assert.deepEqual(decide(500, 127), { outcome: "capped", priceSats: 128 });
  assert.deepEqual(decide(100, 50), { outcome: "short", priceSats: 128 });
});

// ---- the limit handed to the model -----------------------------------------------------------------------------------

Deno.test("outputLimit: what the hold pays for after the evaluation, to the last token", () => {
  const request = running({ reservedSats: 131 });
  const evalUsage = used(500, 200);
  const limit = outputLimit(request, evalUsage, MIN);
  assert.ok(limit > MIN && limit < 800, `${limit} is no limit of the hold`);
  assert.ok(actualSats(request.quote, complete(used(60, limit), evalUsage)) <= 131);
  assert.ok(actualSats(request.quote, complete(used(60, limit + 1), evalUsage)) > 131);
});

Deno.test("outputLimit: what the evaluation did not take is left for the answer", () => {
  const request = running({ reservedSats: 131 });
  assert.ok(outputLimit(request, used(10, 5), MIN) > outputLimit(request, used(500, 200), MIN));
});

Deno.test("outputLimit: however much is held, no more than the longest answer", () => {
  assert.equal(outputLimit(running({ reservedSats: 10_000 }), used(500, 200), MIN), 800);
  assert.equal(outputLimit(running({ quote: quoteOf({ rates: FREE }), reservedSats: 131 }), used(1, 1), MIN), 800);
});

Deno.test("outputLimit: an evaluation that took more than its dearest leaves a useful answer all the same", () => {
  const request = running({ reservedSats: 128 });
  assert.equal(outputLimit(request, used(50_000, 5_000), MIN), MIN);
  assert.equal(
    outputLimit(running({ quote: quoteOf({ maxOutputTokens: 5 }), reservedSats: 1 }), used(1, 1), MIN),
    5,
    "nor more than was asked for",
  );
});

// ---- what it cost ----------------------------------------------------------------------------------------------------

Deno.test("actualSats: an answer pays evaluation, work and one infrastructure share, with margin, rounded once", () => {
  const { sats } = price({
    inputTokens: 70,
    outputTokens: 150,
    rates: SONNET,
    config: CONFIG,
    btcUsd: 100_000,
    evaluationUsd: (400 * 0.0008 + 100 * 0.004) / 1_000,
  });
  assert.equal(actualSats(quoteOf(), complete(used(70, 150), used(400, 100))), sats);
});

Deno.test("actualSats: a refusal pays its evaluation with margin and without the infrastructure share", () => {
  // (500 × 0.0008 + 200 × 0.004) / 1,000 = 0.0012 USD, a quarter on top: 1.5 sats. A share would be 125 more.
  assert.equal(actualSats(quoteOf(), rejected(used(500, 200))), 2);
  assert.equal(actualSats(quoteOf({ config: { ...CONFIG, marginPct: 0 } }), rejected(used(5_000, 2_000))), 12);
  assert.equal(actualSats(quoteOf(), rejected(null)), 0);
});

Deno.test("actualSats: a failure pays nothing, whatever it took", () => assert.equal(actualSats(quoteOf(), failed), 0));

Deno.test("actualSats: one that was broken off pays what was produced until then, and its share once work began", () => {
  const whole = actualSats(quoteOf(), complete(used(60, 150), used(500, 200)));
  const half = actualSats(quoteOf(), interrupted(used(60, 5), used(500, 200)));
  assert.ok(125 < half && half < whole, `${half} of ${whole}`);
  assert.equal(
    actualSats(quoteOf(), interrupted(used(60, 150), used(500, 200))),
    whole,
    "as much as an answer of that length",
  );
  assert.equal(actualSats(quoteOf(), interrupted(null, used(500, 200))), 2, "before the work: its evaluation");
  assert.equal(actualSats(quoteOf(), interrupted(null, null)), 0, "before anything: nothing");
});

Deno.test("actualSats: without an evaluation in the quote none is charged, whatever is said of one", () => {
  assert.equal(
    actualSats(NO_EVALUATION, complete(used(60, 150), used(9_999, 9_999))),
    actualSats(NO_EVALUATION, complete(used(60, 150), null)),
  );
  assert.equal(actualSats(NO_EVALUATION, rejected(used(9_999, 9_999))), 0);
});

// ---- its end ---------------------------------------------------------------------------------------------------------

const movesOf = (end: RequestEnd, request = running()) =>
  endRequest(request, end, 300, NOW + 5)?.postings.map(({ id, from, to, sats }) => [id, from, to, sats]);

Deno.test("endRequest: what it cost is earned and the rest of the hold goes back to the session", () => {
  const end = complete(used(60, 100), used(500, 200));
  const cost = actualSats(quoteOf(), end);
  assert.deepEqual(movesOf(end), [
    ["charge:r1", "reserved:r1", "revenue:session", cost],
    ["released:r1", "reserved:r1", "session:s1", 200 - cost],
  ]);
  const { request } = endRequest(running(), end, 300, NOW + 5) ?? {};
  assert.deepEqual(
    request,
    running({
      state: "complete",
      endedAt: NOW + 5,
      usage: used(60, 100),
      evalUsage: used(500, 200),
      actualSats: cost,
      chargeSats: cost,
      balanceSats: 500 - cost,
      finish: "stop",
    }),
  );
});

Deno.test("endRequest: a failure gives the whole hold back and says whose fault it was", () => {
  assert.deepEqual(movesOf(failed), [["released:r1", "reserved:r1", "session:s1", 200]]);
  const blamed = endRequest(running(), { ...failed, causedByRequest: true }, 0, NOW)?.request;
  assert.deepEqual(
    [blamed?.state, blamed?.chargeSats, blamed?.balanceSats, blamed?.errorMessage, blamed?.causedByRequest],
    ["failed", 0, 200, "the model is down", true],
  );
});

Deno.test("endRequest: a refusal keeps its reason, an interruption its cause", () => {
  assert.deepEqual(endRequest(running(), rejected(used(500, 200)), 0, NOW)?.request.reason, "no");
  const broken = endRequest(running(), interrupted(used(60, 9), null), 0, NOW)?.request;
  assert.deepEqual([broken?.errorMessage, broken?.usage, broken?.causedByRequest], ["gone", used(60, 9), false]);
});

Deno.test("endRequest: a cost above the hold is the operator's: the hold is all that is debited", () => {
  const end = complete(used(60, 100_000), null);
  const request = endRequest(running(), end, 0, NOW)?.request;
  assert.equal(request?.chargeSats, 200);
  assert.ok((request?.actualSats ?? 0) > 200);
  assert.deepEqual(movesOf(end), [["charge:r1", "reserved:r1", "revenue:session", 200]]);
});

Deno.test("endRequest: one that has ended ends once", () => {
  for (const state of ["complete", "rejected", "failed", "interrupted"] as const) {
    assert.equal(endRequest(running({ state }), complete(used(1, 1), null), 0, NOW), null);
  }
});

// ---- properties ------------------------------------------------------------------------------------------------------

const tokens = (max: number) => fc.integer({ min: 0, max });
const rates = fc.record({
  inputUsdPer1k: fc.double({ min: 0, max: 0.1, noNaN: true }),
  outputUsdPer1k: fc.double({ min: 0, max: 0.5, noNaN: true }),
});
const quotes: fc.Arbitrary<RequestQuote> = fc.record({
  inputTokens: tokens(20_000),
  outputTokens: fc.integer({ min: 1, max: 4_000 }),
  longer: tokens(4_000),
  rates,
  evaluation: fc.option(fc.record({ inputTokens: tokens(10_000), outputTokens: tokens(500), rates })),
  marginPct: fc.integer({ min: 0, max: 300 }),
  doMonthlyCostUsd: fc.integer({ min: 0, max: 1_000 }),
  usd: fc.integer({ min: 1_000, max: 1_000_000 }),
}).map(({ marginPct, doMonthlyCostUsd, usd, longer, ...rest }) => ({
  ...rest,
  maxOutputTokens: rest.outputTokens + longer,
  config: { ...CONFIG, marginPct, doMonthlyCostUsd },
  btc: { usd, source: "test", at: NOW },
}));
const sats = fc.oneof(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 0, max: 1_000_000 }));
const allowances = fc.oneof(sats, fc.constant(Infinity));
/** A part of a whole: 0 to 1. */
const part = fc.double({ min: 0, max: 1, noNaN: true });

Deno.test("property: a hold is never above balance, allowance or worst case, nor below a useful answer", () => {
  fc.assert(fc.property(quotes, sats, allowances, (quote, balanceSats, allowanceSats) => {
    const { wantedSats, leastSats } = worstCase(quote, MIN);
    const decision = decideReservation({ quote, balanceSats, allowanceSats, minOutputTokens: MIN });
    if (decision.outcome === "reserved") {
      assert.ok(decision.reservedSats <= Math.min(balanceSats, allowanceSats, wantedSats));
      assert.ok(decision.reservedSats >= leastSats);
    } else {
      assert.equal(decision.priceSats, leastSats);
      assert.ok((decision.outcome === "short" ? balanceSats : allowanceSats) < leastSats);
    }
  }));
});

Deno.test("property: the worst case never falls when a token is added, and is never below its least", () => {
  const more = fc.record({ inputTokens: tokens(50), outputTokens: tokens(50), evaluation: tokens(50) });
  fc.assert(fc.property(quotes, more, (quote, added) => {
    const before = worstCase(quote, MIN);
    const after = worstCase({
      ...quote,
      inputTokens: quote.inputTokens + added.inputTokens,
      outputTokens: quote.outputTokens + added.outputTokens,
      evaluation: quote.evaluation &&
        { ...quote.evaluation, outputTokens: quote.evaluation.outputTokens + added.evaluation },
    }, MIN);
    assert.ok(before.leastSats <= before.wantedSats);
    assert.ok(after.wantedSats >= before.wantedSats && after.leastSats >= before.leastSats);
  }));
});

Deno.test("property: whoever keeps the output limit and the quoted input never costs more than the hold", () => {
  fc.assert(fc.property(quotes, sats, part, part, part, (quote, balanceSats, evaluated, read, written) => {
    const decision = decideReservation({ quote, balanceSats, allowanceSats: Infinity, minOutputTokens: MIN });
    fc.pre(decision.outcome === "reserved");
    const evalUsage = quote.evaluation && used(
      Math.floor(quote.evaluation.inputTokens * evaluated),
      Math.floor(quote.evaluation.outputTokens * evaluated),
    );
    const request = running({ quote, reservedSats: decision.reservedSats });
    const limit = outputLimit(request, evalUsage, MIN);
    assert.ok(limit <= quote.maxOutputTokens);
    const usage = used(Math.floor(quote.inputTokens * read), Math.floor(limit * written));
    for (const end of [complete(usage, evalUsage), interrupted(usage, evalUsage), rejected(evalUsage)]) {
      const step = endRequest(request, end, balanceSats - decision.reservedSats, NOW);
      assert.ok(step);
      const { actualSats: actual, chargeSats } = step.request;
      assert.ok(actual <= decision.reservedSats, `${actual} of ${decision.reservedSats}`);
      assert.equal(chargeSats, actual);
    }
  }));
});

const usages = fc.record({ inputTokens: tokens(30_000), outputTokens: tokens(10_000) })
  .map(({ inputTokens, outputTokens }) => used(inputTokens, outputTokens));
const ends: fc.Arbitrary<RequestEnd> = fc.tuple(fc.option(usages), fc.option(usages), usages).chain((
  [work, evaluation, own],
) => fc.constantFrom(complete(own, evaluation), rejected(evaluation), failed, interrupted(work, evaluation)));

Deno.test("property: held = debited + released, whatever was used, and nothing is debited beyond the hold", () => {
  fc.assert(
    fc.property(quotes, ends, fc.integer({ min: 1, max: 100_000 }), sats, (quote, end, reservedSats, balanceSats) => {
      const step = endRequest(running({ quote, reservedSats }), end, balanceSats, NOW);
      assert.ok(step);
      const { chargeSats } = step.request;
      const sum = (to: string) =>
        step.postings.filter((posting) => posting.to === to).reduce((all, { sats }) => all + sats, 0);
      assert.ok(step.postings.every(({ from, sats }) => from === reservedAccount("r1") && sats > 0));
      assert.equal(sum("revenue:session"), chargeSats);
      assert.equal(sum("revenue:session") + sum("session:s1"), reservedSats);
      assert.ok(chargeSats >= 0 && chargeSats <= reservedSats && chargeSats <= step.request.actualSats);
      assert.equal(step.request.balanceSats, balanceSats + reservedSats - chargeSats);
      if (end.state === "failed") assert.equal(chargeSats, 0);
    }),
  );
});

Deno.test("property: what the pool granted is used first, and held + granted is accounted for to the satoshi", () => {
  const amounts = fc.integer({ min: 0, max: 2_000 });
  fc.assert(fc.property(quotes, ends, amounts, amounts, (quote, end, reservedSats, grantedSats) => {
    const step = endRequest(running({ quote, reservedSats, grantedSats }), end, 0, NOW);
    assert.ok(step);
    const { actualSats: actual, chargeSats, subsidySats } = step.request;
    assert.equal(subsidySats, Math.min(actual, grantedSats));
    assert.ok(chargeSats >= 0 && chargeSats <= reservedSats);
    assert.ok(chargeSats === 0 || subsidySats === grantedSats, "the session pays only what the subsidy does not");
    const out = step.postings.reduce((sum, { sats }) => sum + sats, 0);
    assert.equal(out, reservedSats + subsidySats, "what was granted and not used stays for the pool");
  }));
});

Deno.test("property: a refusal costs no more than an answer after the same evaluation, nor an interruption", () => {
  fc.assert(fc.property(quotes, usages, usages, (quote, work, evaluation) => {
    const refusal = actualSats(quote, rejected(evaluation));
    assert.ok(refusal <= actualSats(quote, complete(work, evaluation)));
    assert.ok(refusal <= actualSats(quote, interrupted(work, evaluation)));
    assert.equal(refusal, actualSats(quote, interrupted(null, evaluation)));
  }));
});
