import assert from "node:assert/strict";
import fc from "fast-check";
import { quoteOf } from "@/lib/metering/quote.rules.ts";
import { TEST_RATES, TEST_SETTINGS } from "@/tests/harness/world.ts";
import { depositFor, mostOutputTokens } from "./deposit.rules.ts";

const TERMS = { leastSats: 500, minBalanceSats: 50, maxSats: 10_000 };
const BTC = { usd: 100_000, source: "fallback" as const, at: 0 };

const quote = (inputTokens: number, outputTokens: number, evaluated = true) =>
  quoteOf({
    inputTokens,
    mostInputTokens: inputTokens,
    outputTokens,
    maxOutputTokens: outputTokens,
    rates: TEST_RATES,
    evaluation: evaluated ? { inputTokens, outputTokens: 100, rates: TEST_RATES } : null,
    config: TEST_SETTINGS.price,
    btc: BTC,
  });
const costing = (sats: number) => ({ ...quote(0, 0), sats });

Deno.test("depositFor: 10 % more, up to the next hundred, between the least and the most", () => {
  const cases: [sats: number, wanted: number | null][] = [
    [1, 500],
    [454, 500],
    [455, 600],
    [1_000, 1_100],
    [1_001, 1_200],
    [9_090, 10_000],
    [9_091, null],
  ];
  for (const [sats, wanted] of cases) assert.equal(depositFor(costing(sats), 0, TERMS), wanted, String(sats));
  assert.equal(depositFor(costing(1), 0, { ...TERMS, minBalanceSats: 700 }), 700, "a smaller one would stay paused");
  assert.equal(
    depositFor(costing(900), 0, { ...TERMS, maxSats: 990 }),
    990,
    "a largest deposit that is no whole hundred",
  );
});

Deno.test("depositFor: what is there already counts, for the largest deposit alone", () => {
  assert.equal(depositFor(costing(9_091), 1, TERMS), 10_000);
  assert.equal(depositFor(costing(9_091), 0, TERMS), null);
  assert.equal(depositFor(costing(1_000), 900, TERMS), 1_100);
});

Deno.test("property: mostOutputTokens has a deposit, and one token more has none", () => {
  const any = fc.record({
    input: fc.nat({ max: 400_000 }),
    have: fc.nat({ max: 300 }),
    maxSats: fc.integer({ min: 100, max: 3_000 }),
    evaluated: fc.boolean(),
  });
  let [some, none] = [0, 0];
  fc.assert(
    fc.property(any, ({ input, have, maxSats, evaluated }) => {
      const terms = { ...TERMS, leastSats: 100, maxSats };
      const most = mostOutputTokens(quote(input, 1, evaluated), have, terms);
      if (most > 0) {
        some++;
        assert.notEqual(depositFor(quote(input, most, evaluated), have, terms), null);
      } else none++;
      if (most < 8_192) assert.equal(depositFor(quote(input, most + 1, evaluated), have, terms), null);
    }),
    { numRuns: 300 },
  );
  assert.ok(some > 30 && none > 30, `${some} ${none}`);
});
