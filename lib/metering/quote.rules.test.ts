import assert from "node:assert/strict";
import fc from "fast-check";
import { costOf } from "./close.rules.ts";
import { decideReservation, leastSats, outputLimit, type Quote, quoteOf } from "./quote.rules.ts";
import { anyQuote, anySats, anyTokens, FREE, testQuote, used } from "./testing/quotes.ts";

/** MIN_OUTPUT_TOKENS. */
const MIN = 64;
const QUOTE = testQuote();
const NO_EVALUATION = testQuote({ evaluation: null });

const costOfAnswer = (quote: Quote, evaluation: ReturnType<typeof used> | null, work: ReturnType<typeof used>) =>
  costOf(quote, { end: "complete", used: { evaluation, work }, finish: "stop" }, true).sats;

Deno.test("quoteOf: the evaluation at its dearest, the work, the infrastructure share and the margin, rounded once", () => {
  // 0.0012 (evaluation) + 0.00318 (work) + 0.1 (share) USD, a quarter on top, at 100,000 USD: 130.475 sats.
  assert.equal(QUOTE.sats, 131);
  assert.ok(Math.abs(QUOTE.usd - 0.130475) < 1e-8, `${QUOTE.usd} USD`);
  assert.equal(NO_EVALUATION.sats, 129);
});

Deno.test("quoteOf: the price that is told is that of the expected input, whatever there may be at most", () => {
  assert.equal(testQuote({ mostInputTokens: 50_000 }).sats, 131);
});

Deno.test("leastSats: a useful answer, or what was asked for where that is less", () => {
  assert.equal(leastSats(QUOTE, MIN), 128);
  assert.equal(leastSats(NO_EVALUATION, MIN), 127);
  const short = testQuote({ outputTokens: 1, maxOutputTokens: 1 });
  assert.equal(leastSats(short, MIN), short.sats);
});

const decide = (balanceSats: number, allowanceSats = Infinity) =>
  decideReservation({ quote: QUOTE, balanceSats, allowanceSats, minOutputTokens: MIN });

Deno.test("decideReservation: sets the quote aside, and no more than the balance or the token's allowance has", () => {
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

const limit = (quote: Quote, fundsSats: number, evaluation: ReturnType<typeof used> | null) =>
  outputLimit(quote, { fundsSats, evaluation, minOutputTokens: MIN });

Deno.test("outputLimit: what was set aside pays for after the evaluation, to the last token", () => {
  const evaluation = used(500, 200);
  const most = limit(QUOTE, 131, evaluation);
  assert.ok(most > MIN && most < 800, `${most} is no limit of what was set aside`);
  assert.ok(costOfAnswer(QUOTE, evaluation, used(60, most)) <= 131);
  assert.ok(costOfAnswer(QUOTE, evaluation, used(60, most + 1)) > 131);
});

Deno.test("outputLimit: what the evaluation did not take is left for the answer; the most input there can be is not", () => {
  assert.ok(limit(QUOTE, 131, used(10, 5)) > limit(QUOTE, 131, used(500, 200)));
  assert.ok(limit(testQuote({ mostInputTokens: 200 }), 131, null) < limit(QUOTE, 131, null));
});

Deno.test("outputLimit: however much was set aside, no more than the longest answer", () => {
  assert.equal(limit(QUOTE, 10_000, used(500, 200)), 800);
  assert.equal(limit(testQuote({ rates: FREE }), 131, used(1, 1)), 800);
});

Deno.test("outputLimit: an evaluation that took more than its dearest leaves a useful answer all the same", () => {
  assert.equal(limit(QUOTE, 128, used(50_000, 5_000)), MIN);
  assert.equal(limit(testQuote({ maxOutputTokens: 5 }), 1, used(1, 1)), 5, "nor more than was asked for");
});

Deno.test("property: what is set aside is never above balance, allowance or quote, nor below a useful answer", () => {
  const allowances = fc.oneof(anySats, fc.constant(Infinity));
  fc.assert(fc.property(anyQuote, anySats, allowances, (quote, balanceSats, allowanceSats) => {
    const least = leastSats(quote, MIN);
    const decision = decideReservation({ quote, balanceSats, allowanceSats, minOutputTokens: MIN });
    if (decision.outcome === "reserved") {
      assert.ok(decision.reservedSats <= Math.min(balanceSats, allowanceSats, quote.sats));
      assert.ok(decision.reservedSats >= least);
    } else {
      assert.equal(decision.priceSats, least);
      assert.ok((decision.outcome === "short" ? balanceSats : allowanceSats) < least);
    }
  }));
});

Deno.test("property: a quote never falls when a token is added, and is never below a useful answer's price", () => {
  const more = fc.record({ inputTokens: anyTokens(50), outputTokens: anyTokens(50), evaluation: anyTokens(50) });
  fc.assert(fc.property(anyQuote, more, (quote, added) => {
    const after = quoteOf({
      ...quote,
      inputTokens: quote.inputTokens + added.inputTokens,
      outputTokens: quote.outputTokens + added.outputTokens,
      evaluation: quote.evaluation &&
        { ...quote.evaluation, outputTokens: quote.evaluation.outputTokens + added.evaluation },
    });
    assert.ok(leastSats(quote, MIN) <= quote.sats);
    assert.ok(after.sats >= quote.sats && leastSats(after, MIN) >= leastSats(quote, MIN));
  }));
});

Deno.test("property: whoever keeps the output limit and the most input never costs more than was set aside", () => {
  /** A part of a whole: 0 to 1. */
  const part = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(fc.property(anyQuote, anySats, part, part, part, (quote, balanceSats, evaluated, read, written) => {
    const dearest = { ...quote, inputTokens: quote.mostInputTokens };
    const priceSats = quoteOf(dearest).sats;
    fc.pre(balanceSats >= leastSats(dearest, MIN));
    const fundsSats = Math.min(balanceSats, priceSats);
    const evaluation = quote.evaluation && used(
      Math.floor(quote.evaluation.inputTokens * evaluated),
      Math.floor(quote.evaluation.outputTokens * evaluated),
    );
    const most = limit(quote, fundsSats, evaluation);
    assert.ok(most <= quote.maxOutputTokens);
    const work = used(Math.floor(quote.mostInputTokens * read), Math.floor(most * written));
    const actual = costOfAnswer(quote, evaluation, work);
    assert.ok(actual <= fundsSats, `${actual} of ${fundsSats}`);
  }));
});
