import assert from "node:assert/strict";
import fc from "fast-check";
import { countCharacters } from "@/lib/ai/tokens.rules.ts";
import {
  affordableOutputTokens,
  approximateTokens,
  estimateInputTokens,
  MAX_OUTPUT_TOKENS,
  price,
  type PriceConfig,
  priorOutputTokens,
  type Rates,
} from "./pricing.rules.ts";

/** The defaults of economy.md §3. */
const CONFIG: PriceConfig = {
  doMonthlyCostUsd: 100,
  doMonthlyRequestVolume: 1000,
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
const BTC_USD = 100_000;

/** Dollars are shown, not booked: equal to a millionth of a cent. */
function assertUsd(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-8, `${actual} USD is not ${expected} USD`);
}

Deno.test("countCharacters: counts code points, not UTF-16 units or bytes", () => {
  assert.equal(countCharacters(""), 0);
  assert.equal(countCharacters("blank s"), 7);
  assert.equal(countCharacters("ä€"), 2);
  assert.equal(countCharacters("🌍🌍"), 2);
  assert.equal(countCharacters("\ud83c"), 1);
});

Deno.test("estimateInputTokens: a quarter of the characters rounded up, and our own instructions", () => {
  assert.equal(estimateInputTokens("", CONFIG), 50);
  assert.equal(estimateInputTokens("x", CONFIG), 51);
  assert.equal(estimateInputTokens("xxxx", CONFIG), 51);
  assert.equal(estimateInputTokens("xxxxx", CONFIG), 52);
  assert.equal(estimateInputTokens("🌍".repeat(8), CONFIG), 52);
  assert.equal(approximateTokens("xxxxx"), 2);
});

Deno.test("priorOutputTokens: each limit belongs to the shorter class", () => {
  const prior = (characters: number) => priorOutputTokens("🌍".repeat(characters), CONFIG);
  assert.deepEqual([0, 100, 101, 300, 301].map(prior), [200, 200, 400, 400, 800]);
});

Deno.test("price: short and long requests for Sonnet at the defaults, computed by hand", () => {
  // "What is Bitcoin?": 16 / 4 + 50 = 54 in, 200 out: 0.000162 + 0.003 = 0.003162 USD; + 0.1 = 0.103162; × 1.25 = 0.1289525 USD
  // = 128.9525 sats at 1 sat = 0.001 USD.
  const p = price({ inputTokens: 54, outputTokens: 200, rates: SONNET, config: CONFIG, btcUsd: BTC_USD });
  assertUsd(p.modelCostUsd, 0.003162);
  assertUsd(p.infraUsd, 0.1);
  assertUsd(p.totalUsd, 0.1289525);
  assert.equal(p.sats, 129);
  // 500 characters: 175 in, 800 out: 0.000525 + 0.012 = 0.012525; + 0.1; × 1.25 = 0.14065625 USD = 140.65625 sats.
  assert.equal(
    price({ inputTokens: 175, outputTokens: 800, rates: SONNET, config: CONFIG, btcUsd: BTC_USD }).sats,
    141,
  );
});

Deno.test("price: charges the infrastructure share once and margin once", () => {
  // Haiku, 1000 in, 1000 out: 0.0048 + 0.1 = 0.1048; × 1.25 = 0.131 USD = 131 sats exactly.
  const p = price({ inputTokens: 1000, outputTokens: 1000, rates: HAIKU, config: CONFIG, btcUsd: BTC_USD });
  assertUsd(p.modelCostUsd, 0.0048);
  assertUsd(p.infraUsd, 0.1);
  assertUsd(p.totalUsd, 0.131);
  assert.equal(p.sats, 131);
  // Without the share: 0.0048 × 1.25 = 0.006 USD = 6 sats.
  const bare = price({
    inputTokens: 1000,
    outputTokens: 1000,
    rates: HAIKU,
    config: CONFIG,
    btcUsd: BTC_USD,
    withInfra: false,
  });
  assert.equal(bare.sats, 6);
});

Deno.test("price: is at least one satoshi, also for what costs nothing", () => {
  const p = price({ inputTokens: 0, outputTokens: 0, rates: FREE, config: CONFIG, btcUsd: BTC_USD, withInfra: false });
  assert.equal(p.totalUsd, 0);
  assert.equal(p.sats, 1);
});

Deno.test("price: a whole number of satoshis is not rounded up by floating-point error", () => {
  // 160 output tokens of Sonnet are 0.0024 USD, with margin 3 sats: 125 + 3k, of which the machine gets 13 of 60 wrong
  // in its last digits (k = 0: 125.00000000000001).
  for (let k = 0; k < 60; k++) {
    const p = price({ inputTokens: 0, outputTokens: 160 * k, rates: SONNET, config: CONFIG, btcUsd: BTC_USD });
    assert.equal(p.sats, 125 + 3 * k, `${160 * k} tokens`);
  }
});

Deno.test("price: a millionth of a satoshi above a whole number is rounded up", () => {
  const config = { ...CONFIG, doMonthlyCostUsd: 100.0000008, marginPct: 25 }; // 125.000001 sats
  assert.equal(price({ inputTokens: 0, outputTokens: 0, rates: FREE, config, btcUsd: BTC_USD }).sats, 126);
});

/** Values as `units / 10^n`, so that the exact price is a fraction of integers. */
const exactCase = fc.record({
  inputTokens: fc.integer({ min: 0, max: 20_000 }),
  outputTokens: fc.integer({ min: 0, max: 20_000 }),
  inputRate: fc.integer({ min: 0, max: 1_000_000 }), // USD × 10^6 per 1k
  outputRate: fc.integer({ min: 0, max: 1_000_000 }),
  cost: fc.integer({ min: 0, max: 1_000_000 }), // USD cents a month
  volume: fc.integer({ min: 1, max: 100_000 }),
  marginPct: fc.integer({ min: 0, max: 500 }),
  btcUsd: fc.integer({ min: 1_000, max: 10_000_000 }),
});

Deno.test("price: equals the exact fraction rounded up, whatever the figures", () => {
  fc.assert(
    fc.property(exactCase, (c) => {
      const config = {
        ...CONFIG,
        doMonthlyCostUsd: c.cost / 100,
        doMonthlyRequestVolume: c.volume,
        marginPct: c.marginPct,
      };
      const rates = { inputUsdPer1k: c.inputRate / 1e6, outputUsdPer1k: c.outputRate / 1e6 };
      const { sats } = price({ ...c, rates, config });
      // model: tokens × rate / 10^9 USD; infra: cost / (100 × volume) USD; both over the denominator 10^9 × volume.
      const volume = BigInt(c.volume);
      const model = BigInt(c.inputTokens) * BigInt(c.inputRate) + BigInt(c.outputTokens) * BigInt(c.outputRate);
      const numerator = (model * volume + BigInt(c.cost) * 10_000_000n) * BigInt(100 + c.marginPct) * 100_000_000n;
      const denominator = 1_000_000_000n * volume * 100n * BigInt(c.btcUsd);
      const floor = numerator / denominator;
      const rest = numerator % denominator;
      const nearlyWhole = rest * 1_000_000_000_000n <= 2n * (floor + 1n) * denominator; // within 2e-12 of whole
      const exact = Math.max(1, Number(rest === 0n ? floor : floor + 1n));
      if (nearlyWhole) assert.ok(sats === exact || sats === Number(floor), `${sats} for ${exact}`);
      else assert.equal(sats, exact);
      if (rest === 0n) assert.equal(sats, exact);
    }),
    { numRuns: 500 },
  );
});

const inRange = (max: number) => fc.double({ min: 0, max, noNaN: true });
const anyRates = fc.record({ inputUsdPer1k: inRange(100), outputUsdPer1k: inRange(100) });
const anyConfig = fc.record({
  doMonthlyCostUsd: inRange(1e6),
  doMonthlyRequestVolume: fc.integer({ min: 1, max: 1e9 }),
  marginPct: inRange(1000),
}).map((c): PriceConfig => ({ ...CONFIG, ...c }));
const anyBtcUsd = fc.double({ min: 100, max: 1e9, noNaN: true });
const anyTokens = fc.integer({ min: 0, max: 20_000 });

Deno.test("price: never falls when a token is added", () => {
  fc.assert(
    fc.property(
      anyTokens,
      anyTokens,
      anyRates,
      anyConfig,
      anyBtcUsd,
      fc.boolean(),
      (i, o, rates, config, btcUsd, w) => {
        const at = (inputTokens: number, outputTokens: number) =>
          price({ inputTokens, outputTokens, rates, config, btcUsd, withInfra: w }).sats;
        assert.ok(at(i, o) <= at(i, o + 1));
        assert.ok(at(i, o) <= at(i + 1, o));
      },
    ),
  );
});

Deno.test("price: refuses token counts, rates and exchange rates that are no such thing", () => {
  const good = { inputTokens: 1, outputTokens: 1, rates: SONNET, config: CONFIG, btcUsd: BTC_USD };
  const bad: [object, RegExp][] = [
    [{ inputTokens: 1.5 }, /inputTokens/],
    [{ outputTokens: -1 }, /outputTokens/],
    [{ outputTokens: NaN }, /outputTokens/],
    [{ btcUsd: 0 }, /btcUsd/],
    [{ btcUsd: NaN }, /btcUsd/],
    [{ rates: { ...SONNET, outputUsdPer1k: NaN } }, /outputUsdPer1k/],
    [{ rates: { ...SONNET, inputUsdPer1k: -1 } }, /inputUsdPer1k/],
    [{ config: { ...CONFIG, doMonthlyRequestVolume: 0 } }, /doMonthlyRequestVolume/],
    [{ config: { ...CONFIG, doMonthlyCostUsd: Infinity } }, /doMonthlyCostUsd/],
    [{ config: { ...CONFIG, marginPct: NaN } }, /marginPct/],
    [{ config: { ...CONFIG, doMonthlyCostUsd: 1e12, doMonthlyRequestVolume: 1 }, btcUsd: 1 }, /a price must be/],
  ];
  for (const [change, message] of bad) {
    assert.throws(() => price({ ...good, ...change }), { name: "RangeError", message });
  }
});

Deno.test("affordableOutputTokens: 129 sats pay for 202 tokens after a 54-token request at the defaults", () => {
  // 129 sats = 0.129 USD; / 1.25 = 0.1032; − 0.1 − 0.000162 = 0.003038; / 0.000015 = 202.53.
  const input = { paidSats: 129, inputTokens: 54, rates: SONNET, config: CONFIG, btcUsd: BTC_USD };
  assert.equal(affordableOutputTokens(input), 202);
});

Deno.test("affordableOutputTokens: is the largest count within what was paid", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 100_000 }),
      anyTokens,
      anyRates,
      anyConfig,
      anyBtcUsd,
      fc.boolean(),
      fc.integer({ min: 0, max: 20_000 }),
      (paidSats, inputTokens, rates, config, btcUsd, withInfra, max) => {
        const call = { inputTokens, rates, config, btcUsd, withInfra };
        const n = affordableOutputTokens({ ...call, paidSats, max });
        const at = (outputTokens: number) => price({ ...call, outputTokens }).sats;
        assert.ok(Number.isInteger(n) && n >= 0 && n <= max);
        if (n > 0) assert.ok(at(n) <= paidSats, "what it allows is paid for");
        if (n < max) assert.ok(at(n + 1) > paidSats, "one more is not");
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("affordableOutputTokens: covers the price that was paid", () => {
  fc.assert(
    fc.property(anyTokens, anyTokens, anyRates, anyConfig, anyBtcUsd, (i, outputTokens, rates, config, btcUsd) => {
      const call = { inputTokens: i, rates, config, btcUsd };
      const { sats: paidSats } = price({ ...call, outputTokens });
      assert.ok(affordableOutputTokens({ ...call, paidSats, max: 20_000 }) >= outputTokens);
    }),
  );
});

Deno.test("affordableOutputTokens: a model that costs nothing is bounded by the limit", () => {
  const input = { paidSats: 125, inputTokens: 54, rates: FREE, config: CONFIG, btcUsd: BTC_USD };
  assert.equal(affordableOutputTokens(input), MAX_OUTPUT_TOKENS);
  assert.equal(affordableOutputTokens({ ...input, max: 100 }), 100);
});

Deno.test("affordableOutputTokens: 0 when the input alone costs more than was paid", () => {
  for (const rates of [SONNET, FREE]) {
    const input = { paidSats: 124, inputTokens: 54, rates, config: CONFIG, btcUsd: BTC_USD };
    assert.equal(affordableOutputTokens(input), 0);
  }
});

Deno.test("affordableOutputTokens: refuses an amount or a limit that is none", () => {
  const input = { paidSats: 125, inputTokens: 54, rates: SONNET, config: CONFIG, btcUsd: BTC_USD };
  assert.throws(() => affordableOutputTokens({ ...input, paidSats: 1.5 }), { message: /paidSats/ });
  assert.throws(() => affordableOutputTokens({ ...input, max: -1 }), { message: /max/ });
});
