/** Quotes for tests: one to compute with by hand, and any that may come. */
import fc from "fast-check";
import type { Usage } from "@/lib/ai/port.ts";
import type { PriceConfig, Rates } from "../pricing.rules.ts";
import { type Quote, type QuoteInput, quoteOf } from "../quote.rules.ts";

/** The defaults of economy.md §3. */
export const CONFIG: PriceConfig = {
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
export const SONNET: Rates = { inputUsdPer1k: 0.003, outputUsdPer1k: 0.015 };
export const HAIKU: Rates = { inputUsdPer1k: 0.0008, outputUsdPer1k: 0.004 };
export const FREE: Rates = { inputUsdPer1k: 0, outputUsdPer1k: 0 };

/** 60 tokens in and 200 out of Sonnet after an evaluation by Haiku; 1 sat is 0.001 USD. */
export const testQuote = (part: Partial<QuoteInput> = {}): Quote =>
  quoteOf({
    inputTokens: 60,
    mostInputTokens: 60,
    outputTokens: 200,
    maxOutputTokens: 800,
    rates: SONNET,
    evaluation: { inputTokens: 500, outputTokens: 200, rates: HAIKU },
    config: CONFIG,
    btc: { usd: 100_000, source: "test", at: 0 },
    ...part,
  });

export const used = (inputTokens: number, outputTokens: number): Usage => ({
  inputTokens,
  outputTokens,
  source: "api",
});

export const anyTokens = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
export const anySats: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 0, max: 2_000 }),
  fc.integer({ min: 0, max: 1_000_000 }),
);
const anyRates = fc.oneof(
  fc.record({
    inputUsdPer1k: fc.double({ min: 0, max: 0.1, noNaN: true }),
    outputUsdPer1k: fc.double({ min: 0, max: 0.5, noNaN: true }),
  }),
  fc.constantFrom(SONNET, HAIKU, FREE),
);

/** Any quote that an operator's settings and a payer's request may lead to. */
export const anyQuote: fc.Arbitrary<Quote> = fc.record({
  inputTokens: anyTokens(20_000),
  moreInputTokens: anyTokens(5_000),
  outputTokens: fc.integer({ min: 1, max: 4_000 }),
  longer: anyTokens(4_000),
  rates: anyRates,
  evaluation: fc.option(fc.record({ inputTokens: anyTokens(10_000), outputTokens: anyTokens(500), rates: anyRates })),
  marginPct: fc.integer({ min: 0, max: 300 }),
  doMonthlyCostUsd: fc.integer({ min: 0, max: 1_000 }),
  usd: fc.integer({ min: 1_000, max: 1_000_000 }),
}).map(({ marginPct, doMonthlyCostUsd, usd, longer, moreInputTokens, ...rest }) =>
  quoteOf({
    ...rest,
    mostInputTokens: rest.inputTokens + moreInputTokens,
    maxOutputTokens: rest.outputTokens + longer,
    config: { ...CONFIG, marginPct, doMonthlyCostUsd },
    btc: { usd, source: "test", at: 0 },
  })
);
