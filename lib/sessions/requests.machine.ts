/**
 * One request of a session (economy.md §6): hold before it starts, settle when it has ended. Pure. The hold is the
 * smaller of what may be spent and the worst case; the output limit follows from the hold, so actual ≤ held.
 */
import type { Usage } from "@/lib/ai/port.ts";
import type { BtcPrice } from "@/lib/btc-price/port.ts";
import { reservedAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import {
  charge,
  evaluationCharge,
  nonZero,
  type Posting,
  reservationReleased,
  subsidyUsed,
} from "@/lib/ledger/postings.ts";
import {
  affordableOutputTokens,
  modelUsd,
  price,
  type PriceConfig,
  type Rates,
  settle,
} from "@/lib/metering/pricing.rules.ts";
import type { TrustEvent } from "@/lib/identity/trust.rules.ts";

/** `interrupted`: broken off by either side after something was used; that much is paid. `failed`: nothing was, nothing is. */
export type RequestState = "running" | "complete" | "rejected" | "failed" | "interrupted";
/** `request`: one text, taken up again after a crash. `chat`: somebody waits for it, so it ends with the process. */
export type RequestMode = "request" | "chat";

/** Everything the price of a request is made from; locked in when it begins. */
export interface RequestQuote {
  /** Tokens expected in, and wanted out (whole). */
  inputTokens: number;
  outputTokens: number;
  /** However much the hold could pay for, no more than this is written. */
  maxOutputTokens: number;
  rates: Rates;
  /** The evaluation at its dearest; null when none is made. */
  evaluation: { inputTokens: number; outputTokens: number; rates: Rates } | null;
  config: PriceConfig;
  btc: BtcPrice;
}

export interface SessionRequest {
  v: 1;
  /** Grows with time, so that a session's requests lie in their order. */
  id: string;
  session: string;
  mode: RequestMode;
  state: RequestState;
  at: number;
  endedAt: number | null;
  model: string;
  evalModel: string | null;
  /** The text of a `request`; a chat's messages are not kept. */
  text: string | null;
  quote: RequestQuote;
  reservedSats: number;
  /** The Nostr key it is asked for, hex; null: nobody in particular. */
  pubkey: string | null;
  /** sha256 of what was asked, hex. */
  requestHash: string;
  /** Reserved from the pool when it began, or taken when it ended. */
  grantedSats: number;
  /** What the free tier advised: taken when it has ended, as far as it is there then. */
  adviceSats: number;
  freeTier: { serve: "free" | "partial" | "gate"; absorbSats: number; chargeSats: number } | null;
  /** Name of the very token that asked (see lib/sessions/tokens.ts), and of the narrowed allowances its spend counts under. */
  token: string;
  allowances: string[];
  evalUsage: Usage | null;
  usage: Usage | null;
  actualSats: number;
  chargeSats: number;
  subsidySats: number;
  /** The session's balance right after the settlement (sats). */
  balanceSats: number | null;
  finish: "stop" | "length" | null;
  reason: string | null;
  errorMessage: string | null;
  /** It failed because of what was asked: asking the same again would fail again. */
  causedByRequest: boolean;
}

const evaluationUsd = (quote: RequestQuote): number =>
  quote.evaluation ? modelUsd(quote.evaluation, quote.evaluation.rates) : 0;

const priceOf = (quote: RequestQuote, outputTokens: number, evalUsd: number): number =>
  price({
    inputTokens: quote.inputTokens,
    outputTokens,
    rates: quote.rates,
    config: quote.config,
    btcUsd: quote.btc.usd,
    evaluationUsd: evalUsd,
  }).sats;

/** What the worst case costs, and the least that a useful answer may cost (sats). `minOutputTokens`: MIN_OUTPUT_TOKENS. */
export function worstCase(quote: RequestQuote, minOutputTokens: number): { wantedSats: number; leastSats: number } {
  const evalUsd = evaluationUsd(quote);
  return {
    wantedSats: priceOf(quote, quote.outputTokens, evalUsd),
    leastSats: priceOf(quote, Math.min(quote.outputTokens, minOutputTokens), evalUsd),
  };
}

/**
 * How much to hold.
 * @param input.allowanceSats the least that any narrowing of the token leaves; Infinity without one.
 * @returns `short`: the balance does not cover a useful answer. `capped`: it would, the token's allowance does not.
 */
export function decideReservation(
  input: { quote: RequestQuote; balanceSats: number; allowanceSats: number; minOutputTokens: number },
): { outcome: "reserved"; reservedSats: number } | { outcome: "short" | "capped"; priceSats: number } {
  const { quote, balanceSats, allowanceSats, minOutputTokens } = input;
  const { wantedSats, leastSats } = worstCase(quote, minOutputTokens);
  if (balanceSats < leastSats) return { outcome: "short", priceSats: leastSats };
  if (allowanceSats < leastSats) return { outcome: "capped", priceSats: leastSats };
  return { outcome: "reserved", reservedSats: Math.min(wantedSats, balanceSats, allowanceSats) };
}

/**
 * The hard limit handed to the model, once it is known what the evaluation took. It never falls below
 * `minOutputTokens` (or what was asked for): should the evaluation have taken more than its dearest, the operator bears it.
 */
export function outputLimit(request: SessionRequest, evalUsage: Usage | null, minOutputTokens: number): number {
  const { quote } = request;
  const affordable = affordableOutputTokens({
    paidSats: request.reservedSats + request.grantedSats,
    inputTokens: quote.inputTokens,
    rates: quote.rates,
    config: quote.config,
    btcUsd: quote.btc.usd,
    evaluationUsd: actualEvaluationUsd(quote, evalUsage),
    max: quote.maxOutputTokens,
  });
  return Math.max(affordable, Math.min(quote.outputTokens, quote.maxOutputTokens, minOutputTokens));
}

function actualEvaluationUsd(quote: RequestQuote, evalUsage: Usage | null): number {
  return quote.evaluation && evalUsage ? modelUsd(evalUsage, quote.evaluation.rates) : 0;
}

/** How a request ended, and what it used until then. */
export type RequestEnd =
  | { state: "complete"; usage: Usage; evalUsage: Usage | null; finish: "stop" | "length" }
  | { state: "rejected"; evalUsage: Usage | null; reason: string }
  /** Nothing was delivered: nothing is paid. */
  | { state: "failed"; errorMessage: string; causedByRequest: boolean }
  /** `usage` null: the work had not begun, so only the evaluation is paid. */
  | { state: "interrupted"; evalUsage: Usage | null; usage: Usage | null; errorMessage: string };

/** What it really cost (sats): one rounding, the infrastructure share once and only with work, margin once. */
export function actualSats(quote: RequestQuote, end: RequestEnd): number {
  if (end.state === "failed") return 0;
  const evalUsd = actualEvaluationUsd(quote, end.evalUsage);
  const work = end.state === "rejected" ? null : end.usage;
  if (work === null && evalUsd === 0) return 0;
  return price({
    inputTokens: work?.inputTokens ?? 0,
    outputTokens: work?.outputTokens ?? 0,
    rates: quote.rates,
    config: quote.config,
    btcUsd: quote.btc.usd,
    evaluationUsd: evalUsd,
    withInfra: work !== null,
  }).sats;
}

/**
 * Ends a running request: `hold → revenue:session` for what it cost, `hold → session` for the rest. What the pool granted
 * (`request.grantedSats`) is used before the session's sats; what is left of it goes back where subsidies are settled.
 * @param balanceSats of the session before the rest comes back.
 * @returns null when it has ended before.
 */
export function endRequest(
  request: SessionRequest,
  end: RequestEnd,
  balanceSats: number,
  now: number,
): { request: SessionRequest; postings: Posting[] } | null {
  if (request.state !== "running") return null;
  const actual = actualSats(request.quote, end);
  const { reservedSats: paidSats, grantedSats } = request;
  const { chargeSats, subsidySats, refundSats } = settle({ actualSats: actual, paidSats, grantedSats });
  const from = reservedAccount(request.id);
  return {
    request: {
      ...request,
      state: end.state,
      endedAt: now,
      evalUsage: "evalUsage" in end ? end.evalUsage : null,
      usage: "usage" in end ? end.usage : null,
      actualSats: actual,
      chargeSats: chargeSats,
      subsidySats,
      balanceSats: balanceSats + refundSats,
      finish: end.state === "complete" ? end.finish : null,
      reason: end.state === "rejected" ? end.reason : null,
      errorMessage: "errorMessage" in end ? end.errorMessage : null,
      causedByRequest: end.state === "failed" && end.causedByRequest,
    },
    postings: nonZero([
      end.state === "rejected"
        ? evaluationCharge(request.id, from, chargeSats)
        : charge(request.id, from, REVENUE.session, chargeSats),
      subsidyUsed(request.id, from, REVENUE.session, subsidySats),
      reservationReleased(request.id, request.session, refundSats),
    ]),
  };
}

/** What an ended request means to the key that asked: paid answers raise its trust, what the request caused lowers it. */
export function trustOf(request: SessionRequest): TrustEvent | null {
  if (request.state === "complete") return { kind: "success", paidSats: request.chargeSats };
  if (request.state === "rejected" || (request.state === "failed" && request.causedByRequest)) {
    return { kind: "failure" };
  }
  return null;
}
