import assert from "node:assert/strict";
import fc from "fast-check";
import { LEAST_USD, MOST_USD, priceOf } from "./price.rules.ts";

const NAMES = ["coingecko", "coinbase", "kraken"];
const quotes = (...prices: number[]) => prices.map((usd, i) => ({ source: NAMES[i] ?? `source-${i}`, usd }));
const usdOf = (prices: number[], lastUsd: number | null) => priceOf(quotes(...prices), lastUsd)?.usd ?? null;

/** A price that honest sources name, within 1 % of one another. */
const truth = fc.double({ min: 2_000, max: MOST_USD / 2, noNaN: true });
const lie = fc.oneof(
  fc.double({ min: -1e12, max: 1e12 }),
  fc.constantFrom(999_999_999, 0, NaN, -1, Infinity, -Infinity, LEAST_USD, MOST_USD),
);
const noise = fc.double({ min: 0.995, max: 1.005, noNaN: true });

Deno.test("priceOf: the median, and the mean of the two in the middle of an even number", () => {
  assert.deepEqual(priceOf(quotes(100_000, 102_000, 101_000), null), {
    usd: 101_000,
    source: "coinbase+coingecko+kraken",
  });
  assert.deepEqual(priceOf(quotes(100_000, 101_000), 99_000), { usd: 100_500, source: "coinbase+coingecko" });
  assert.deepEqual(priceOf(quotes(100_000), null), { usd: 100_000, source: "coingecko" });
  assert.equal(usdOf([1, 2, 4, 8, 16].map((n) => n * 10_000), 40_000), 40_000);
  assert.equal(priceOf([], 100_000), null);
});

Deno.test("priceOf: what is no price in dollars is not counted, nor named", () => {
  for (const usd of [999_999_999, MOST_USD + 1, LEAST_USD - 1, 0, -100_000, NaN, Infinity]) {
    assert.equal(priceOf(quotes(usd), null), null, String(usd));
    assert.deepEqual(priceOf(quotes(usd, 100_000), null), { usd: 100_000, source: "coinbase" }, String(usd));
  }
  assert.equal(usdOf([LEAST_USD], null), LEAST_USD);
  assert.equal(usdOf([MOST_USD], null), MOST_USD);
});

Deno.test("priceOf: a jump counts only when two agree", () => {
  const last = 100_000;
  assert.equal(usdOf([70_000, 70_500, 69_800], last), 70_000, "a crash of 30 % that all see");
  assert.equal(usdOf([70_000, 70_500], last), 70_250, "that two see, the third one down");
  assert.equal(usdOf([70_000, 70_500, 100_000], last), 70_500, "that two see, the third one behind");
  assert.equal(usdOf([70_000], last), null, "that one alone sees");
  assert.equal(usdOf([60_000, 75_000, 130_000], last), null, "and nobody agrees");
  assert.equal(usdOf([60_000, 62_000], last), null, "two that are further apart than 2 %");
  assert.equal(usdOf([100_000, 50_000], last), null, "one says as before, one a half");
  // Up to 20 % is no jump.
  assert.equal(usdOf([80_000], last), 80_000);
  assert.equal(usdOf([120_000], last), 120_000);
  assert.equal(usdOf([79_999], last), null);
  assert.equal(usdOf([120_001], last), null);
  // Exactly 2 % apart agrees, a little more does not.
  assert.equal(usdOf([50_000, 51_000], last), 50_500);
  assert.equal(usdOf([50_000, 51_001], last), null);
});

Deno.test("priceOf: at the start, one source is believed, and two that contradict each other are not", () => {
  assert.equal(usdOf([43_000.1], null), 43_000.1);
  assert.equal(usdOf([100_000, 110_000], null), 105_000);
  assert.equal(usdOf([100_000, 50_000_000], null), null);
  assert.equal(usdOf([100_000, 101_000, 50_000_000], null), 101_000);
});

Deno.test("priceOf: one source that lies, high or low, moves no price out of what the honest two say", () => {
  fc.assert(
    fc.property(
      truth,
      noise,
      noise,
      lie,
      fc.boolean(),
      fc.integer({ min: 0, max: 2 }),
      (usd, a, b, lied, first, at) => {
        const honest = [usd * a, usd * b];
        const all = honest.toSpliced(at, 0, lied);
        const price = usdOf(all, first ? null : usd);
        assert.ok(price !== null && price >= Math.min(...honest) && price <= Math.max(...honest), `${all}: ${price}`);
      },
    ),
  );
});

Deno.test("priceOf: one source alone moves the last good price by 20 % at most, whatever it says", () => {
  fc.assert(fc.property(truth, lie, (last, lied) => {
    const price = usdOf([lied], last);
    assert.ok(price === null || Math.abs(price - last) <= last * 0.2 * (1 + 1e-9), `${lied} after ${last}: ${price}`);
  }));
});

Deno.test("priceOf: of two sources, one that lies moves the last good price by 20 % at most", () => {
  fc.assert(fc.property(truth, noise, lie, (last, a, lied) => {
    const price = usdOf([last * a, lied], last);
    assert.ok(price === null || Math.abs(price - last) <= last * 0.2 * (1 + 1e-9), `${lied} after ${last}: ${price}`);
  }));
});

Deno.test("priceOf: whatever is answered, the price is in range and the order of the answers does not matter", () => {
  fc.assert(fc.property(fc.array(fc.oneof(truth, lie), { maxLength: 6 }), fc.option(truth), (prices, last) => {
    const found = priceOf(quotes(...prices), last);
    if (found) assert.ok(found.usd >= LEAST_USD && found.usd <= MOST_USD);
    assert.deepEqual(priceOf(quotes(...prices).reverse(), last), found);
  }));
});

Deno.test("priceOf: a real change is followed at once when two of three confirm it", () => {
  fc.assert(fc.property(truth, truth, noise, noise, (last, now, a, b) => {
    const price = usdOf([now * a, last, now * b], last);
    assert.ok(price !== null);
    const [low, high] = [Math.min(now * a, now * b, last), Math.max(now * a, now * b, last)];
    assert.ok(price >= low && price <= high);
    if (Math.abs(now - last) > last * 0.05) {
      assert.ok(Math.abs(price - now) <= now * 0.006, `${price} instead of ${now}`);
    }
  }));
});
