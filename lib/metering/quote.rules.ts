/** What a request would take, before anything is set aside for it (economy.md §3). Pure. */
import type { BtcPrice } from "@/lib/btc-price/port.ts";
import {
  affordableOutputTokens,
  type CostInput,
  type Price,
  price,
  type PriceConfig,
  type Rates,
  usdOfTokens,
} from "./pricing.rules.ts";

/** Everything the price of a request is made from; locked in when it is quoted, so that the same figures convert its cost. */
export interface Quote {
  /** Tokens expected in, for the price that is told, and the most there can be, for what is set aside (whole). */
  inputTokens: number;
  mostInputTokens: number;
  /** Tokens wanted out. */
  outputTokens: number;
  /** However much was set aside, no more than this is written. */
  maxOutputTokens: number;
  rates: Rates;
  /** The evaluation at its dearest; null where none is made, or where it was paid by itself. */
  evaluation: { inputTokens: number; outputTokens: number; rates: Rates } | null;
  config: PriceConfig;
  btc: BtcPrice;
  /** All of it, infrastructure share and margin included. */
  usd: number;
  sats: number;
}

export type QuoteInput = Omit<Quote, "usd" | "sats">;

/** The quote of these figures: evaluation, expected input and wanted output, with one rounding. @throws {RangeError} as `price` does */
export function quoteOf(input: QuoteInput): Quote {
  const { totalUsd, sats } = priceOf(input, input.outputTokens);
  return { ...input, usd: totalUsd, sats };
}

/** The least that a useful answer may cost (sats). @param minOutputTokens MIN_OUTPUT_TOKENS */
export const leastSats = (quote: Quote, minOutputTokens: number): number =>
  priceOf(quote, Math.min(quote.outputTokens, minOutputTokens)).sats;

function priceOf(quote: QuoteInput, outputTokens: number): Price {
  const { inputTokens, evaluation } = quote;
  const evaluationUsd = evaluation ? usdOfTokens(evaluation, evaluation.rates) : 0;
  return price({ ...costInput(quote), inputTokens, outputTokens, evaluationUsd });
}

/** What converts tokens of this quote to sats: its rates, its terms and its price of a bitcoin. */
export const costInput = ({ rates, config, btc }: QuoteInput): Omit<CostInput, "inputTokens" | "outputTokens"> => ({
  rates,
  config,
  btcUsd: btc.usd,
});

/**
 * How much of a payer's balance to set aside.
 * @param input.allowanceSats the least that any narrowing of a token leaves; Infinity without one.
 * @returns `short`: the balance does not cover a useful answer. `capped`: it would, the token's allowance does not.
 */
export function decideReservation(
  input: { quote: Quote; balanceSats: number; allowanceSats: number; minOutputTokens: number },
):
  | { outcome: "reserved"; reservedSats: number }
  | { outcome: "short"; priceSats: number }
  | { outcome: "capped"; priceSats: number } {
  const { quote, balanceSats, allowanceSats, minOutputTokens } = input;
  const priceSats = leastSats(quote, minOutputTokens);
  if (balanceSats < priceSats) return { outcome: "short", priceSats };
  if (allowanceSats < priceSats) return { outcome: "capped", priceSats };
  return { outcome: "reserved", reservedSats: Math.min(quote.sats, balanceSats, allowanceSats) };
}

/**
 * The hard limit handed to the model: what is left of the sats set aside once the evaluation and the most input there can be are
 * paid. It never falls below `minOutputTokens` (or what was asked for): a payer was promised a useful answer for what they
 * paid, and should the evaluation have taken more than its dearest, the operator bears the difference.
 * @param input.fundsSats set aside by payer and pool together.
 * @param input.evaluation what the evaluation took; null: none was made.
 */
export function outputLimit(
  quote: Quote,
  input: {
    fundsSats: number;
    evaluation: { inputTokens: number; outputTokens: number } | null;
    minOutputTokens: number;
  },
): number {
  const { fundsSats, evaluation, minOutputTokens } = input;
  const affordable = affordableOutputTokens({
    ...costInput(quote),
    paidSats: fundsSats,
    inputTokens: quote.mostInputTokens,
    evaluationUsd: evaluationUsd(quote, evaluation),
    max: quote.maxOutputTokens,
  });
  return Math.max(affordable, Math.min(quote.outputTokens, quote.maxOutputTokens, minOutputTokens));
}

/** What an evaluation took, USD before infrastructure and margin. */
export const evaluationUsd = (
  quote: Quote,
  usage: { inputTokens: number; outputTokens: number } | null,
): number => quote.evaluation && usage ? usdOfTokens(usage, quote.evaluation.rates) : 0;
