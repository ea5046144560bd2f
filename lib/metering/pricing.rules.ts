import { countCharacters } from "@/lib/ai/tokens.rules.ts";
import { assertSats } from "@/lib/sats.rules.ts";

/** What a model costs, in USD per 1,000 tokens. */
export interface Rates {
  inputUsdPer1k: number;
  outputUsdPer1k: number;
}

/** What a price depends on besides the model and BTC/USD (economy.md §3 has their defaults). */
export interface PriceConfig {
  /** USD a month for the machine; every request carries its share, once. */
  doMonthlyCostUsd: number;
  /** Requests a month among which the machine's cost is divided; at least 1. */
  doMonthlyRequestVolume: number;
  /** Percent on top of model and infrastructure, applied once. */
  marginPct: number;
  /** Output tokens expected for a request of at most `shortMaxChars` characters. */
  outputTokensShort: number;
  /** Output tokens expected for a request of at most `mediumMaxChars` characters. */
  outputTokensMedium: number;
  /** Output tokens expected for anything longer. */
  outputTokensLong: number;
  shortMaxChars: number;
  mediumMaxChars: number;
  /** Tokens of our own instructions, added to every request. */
  systemPromptTokens: number;
}

/** A price in its parts. USD are floating point and for showing; `sats` is the amount. */
export interface Price {
  /** What the model takes, before margin. */
  modelCostUsd: number;
  /** The request's share of the machine, before margin. */
  infraUsd: number;
  /** Both, with margin. */
  totalUsd: number;
  /** `totalUsd` at the given BTC/USD, rounded up to whole satoshis, at least 1. */
  sats: number;
}

export interface CostInput {
  /** Whole tokens. */
  inputTokens: number;
  /** Whole tokens. */
  outputTokens: number;
  rates: Rates;
  config: PriceConfig;
  /** USD for one bitcoin; finite, above 0. */
  btcUsd: number;
  /** False leaves the infrastructure share out (it is charged once a request). Default true. */
  withInfra?: boolean;
  /** What the request's evaluation took, USD before margin, when both are charged together. Default 0. */
  evaluationUsd?: number;
}

/** What tokens of a model take, USD before infrastructure and margin. */
export const usdOfTokens = (tokens: { inputTokens: number; outputTokens: number }, rates: Rates): number =>
  (tokens.inputTokens * rates.inputUsdPer1k + tokens.outputTokens * rates.outputUsdPer1k) / 1000;

/** Dollars in satoshis, not rounded. @param btcUsd USD for one bitcoin, above 0 */
export const satsOf = (usd: number, btcUsd: number): number => usd / btcUsd * SATS_PER_BTC;

/** The most output tokens ever asked of a model, whatever was paid: what bounds a model that costs nothing. */
export const MAX_OUTPUT_TOKENS = 8192;

const CHARACTERS_PER_TOKEN = 4;
const SATS_PER_BTC = 1e8;

/**
 * How far above a whole number of satoshis a computed price may lie, as a part of it, and still be that number.
 * A price takes about eight floating-point steps, each wrong by at most 1.1e-16 of its result, so 1e-12 is a
 * thousand times the error and a millionth of a satoshi in a price of 0.01 BTC.
 */
const FLOAT_ERROR = 1e-12;

/** Tokens of `text` as far as its length tells: 4 characters a token, rounded up (economy.md §3). */
export function approximateTokens(text: string): number {
  return Math.ceil(countCharacters(text) / CHARACTERS_PER_TOKEN);
}

/** Input tokens to expect of a request, our own instructions included, before a model has counted them. */
export function estimateInputTokens(text: string, config: Pick<PriceConfig, "systemPromptTokens">): number {
  return approximateTokens(text) + config.systemPromptTokens;
}

/** Output tokens to expect of a request by its length alone; both limits belong to the shorter class. */
export function priorOutputTokens(
  text: string,
  config: Pick<
    PriceConfig,
    "outputTokensShort" | "outputTokensMedium" | "outputTokensLong" | "shortMaxChars" | "mediumMaxChars"
  >,
): number {
  const characters = countCharacters(text);
  if (characters <= config.shortMaxChars) return config.outputTokensShort;
  if (characters <= config.mediumMaxChars) return config.outputTokensMedium;
  return config.outputTokensLong;
}

/**
 * The price of a model call: the one formula behind estimate, quote and actual cost (economy.md §3), and the only
 * place where dollars are rounded to satoshis.
 *
 * `(tokens × rates + infrastructure share) × (1 + margin)`, then up to whole satoshis, at least 1. A result that is
 * whole but for floating-point error is taken as whole: 128 stays 128 when the machine computes 128.00000000000003,
 * and the payer is not charged a satoshi for how doubles work. The price never falls when a token is added.
 *
 * @throws {RangeError} for token counts that are not whole and non-negative, for rates, costs or BTC/USD that are not
 * finite or below 0 (BTC/USD and the request volume: not above 0), and for a price above all the bitcoin there is.
 */
export function price(input: CostInput): Price {
  const { inputTokens, outputTokens, rates, config, btcUsd, withInfra = true, evaluationUsd = 0 } = input;
  assertAmount(evaluationUsd, "evaluationUsd");
  assertTokens(inputTokens, "inputTokens");
  assertTokens(outputTokens, "outputTokens");
  assertAmount(rates.inputUsdPer1k, "inputUsdPer1k");
  assertAmount(rates.outputUsdPer1k, "outputUsdPer1k");
  assertAmount(config.doMonthlyCostUsd, "doMonthlyCostUsd");
  assertAmount(config.marginPct, "marginPct");
  assertPositive(config.doMonthlyRequestVolume, "doMonthlyRequestVolume");
  assertPositive(btcUsd, "btcUsd");

  const modelCostUsd = evaluationUsd + usdOfTokens({ inputTokens, outputTokens }, rates);
  const infraUsd = withInfra ? config.doMonthlyCostUsd / config.doMonthlyRequestVolume : 0;
  const totalUsd = (modelCostUsd + infraUsd) * (1 + config.marginPct / 100);
  const sats = Math.max(1, roundUp(satsOf(totalUsd, btcUsd)));
  assertSats(sats, "a price");
  return { modelCostUsd, infraUsd, totalUsd, sats };
}

/**
 * The most output tokens that the sats set aside can pay for, which is the limit to hand to the model so that the actual
 * price stays within the reservation: `price(n) ≤ paidSats < price(n + 1)`, or `max` when even that many are covered (always
 * so for a model whose output is free).
 *
 * @param input.paidSats satoshis set aside for this request: what was paid and what was granted.
 * @param input.max upper limit in tokens, default {@link MAX_OUTPUT_TOKENS}.
 * @returns whole tokens from 0 to `max`. 0 means that no call may start: no output is covered, perhaps not even the
 * input alone.
 * @throws {RangeError} as {@link price} does, and for a `paidSats` that is no amount.
 */
export function affordableOutputTokens(
  input: Omit<CostInput, "outputTokens"> & { paidSats: number; max?: number },
): number {
  const { paidSats, max = MAX_OUTPUT_TOKENS, ...rest } = input;
  assertSats(paidSats, "paidSats");
  assertTokens(max, "max");
  const covered = (outputTokens: number) => price({ ...rest, outputTokens }).sats <= paidSats;
  if (!covered(0)) return 0;
  if (covered(max)) return max;
  // The price never falls with n, so halving finds the last n that is covered: `low` is, `high` is not.
  let low = 0;
  let high = max;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (covered(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function roundUp(value: number): number {
  const nearest = Math.round(value);
  return Math.abs(value - nearest) <= Math.max(1, nearest) * FLOAT_ERROR ? nearest : Math.ceil(value);
}

function assertTokens(n: number, what: string): void {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`${what} must be a whole number of tokens, not ${n}`);
}

function assertAmount(n: number, what: string): void {
  if (!Number.isFinite(n) || n < 0) throw new RangeError(`${what} must be a finite number of at least 0, not ${n}`);
}

function assertPositive(n: number, what: string): void {
  if (!Number.isFinite(n) || n <= 0) throw new RangeError(`${what} must be a finite number above 0, not ${n}`);
}
