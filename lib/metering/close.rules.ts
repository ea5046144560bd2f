/**
 * Who pays for what, however a request ended (economy.md §4a): one table for everything that is metered. Pure.
 *
 * Text that a payer has read is never free, text that nobody was given is never charged, and a cost that one side can choose is
 * borne by that side.
 */
import type { ModelErrorKind, Usage } from "@/lib/ai/port.ts";
import type { TrustEvent } from "@/lib/identity/trust.rules.ts";
import { assertSats } from "@/lib/sats.rules.ts";
import { price, satsOf } from "./pricing.rules.ts";
import { costInput, evaluationUsd, type Quote } from "./quote.rules.ts";

/** What was used until the end; null where that call was never made, or nobody knows. */
export interface Used {
  evaluation: Usage | null;
  work: Usage | null;
}

/** Which model call was to blame, and how long its provider asked to wait (ms; null: it did not say). */
export interface Failure {
  kind: ModelErrorKind;
  retryAfterMs: number | null;
}

/**
 * How a request ended; `failure` is null where no model call was to blame.
 * - `complete`: the whole answer is there.
 * - `refused`: by our evaluator, or by the provider (content filter, too long, not valid for the model): the request is to blame.
 * - `left`: the caller hung up.
 * - `broken`: the provider broke off after text had been delivered; that text's tokens are all that is charged.
 * - `failed`: before any text, by the provider, or by us (a restart is ours too).
 */
export type Outcome =
  | { end: "complete"; used: Used; finish: "stop" | "length" }
  | {
    end: "refused";
    by: "evaluator" | "provider";
    used: Used;
    delivered: boolean;
    reason: string;
    failure: Failure | null;
  }
  | { end: "left"; used: Used; delivered: boolean; errorMessage: string }
  | { end: "broken"; used: Used; deliveredTokens: number; errorMessage: string; failure: Failure | null }
  | { end: "failed"; by: "provider" | "us"; used: Used; errorMessage: string; failure: Failure | null };

/** How a request ended whose text nobody was given, since every caller had left before any: as if none had been delivered. */
export function unread(outcome: Outcome): Outcome {
  switch (outcome.end) {
    case "complete":
      return { end: "left", used: outcome.used, delivered: false, errorMessage: "The caller left before the answer." };
    case "refused":
    case "left":
      return { ...outcome, delivered: false };
    case "broken": {
      const { used, errorMessage, failure } = outcome;
      return { end: "failed", by: "provider", used, errorMessage, failure };
    }
    case "failed":
      return outcome;
  }
}

/** What a request really cost: sats with one rounding, its parts in USD before margin for showing. */
interface Cost {
  sats: number;
  modelCostUsd: number;
  infraUsd: number;
}
const NOTHING: Cost = { sats: 0, modelCostUsd: 0, infraUsd: 0 };

/**
 * What is charged for an end, by §4a's table.
 * @param failuresAreFree whether a failure before any text is still within what the instance bears for this payer.
 */
export function costOf(quote: Quote, outcome: Outcome, failuresAreFree: boolean): Cost {
  const { used } = outcome;
  switch (outcome.end) {
    case "complete":
      return counted(quote, used, true);
    case "refused":
      return outcome.by === "evaluator"
        ? counted(quote, { ...used, work: null }, false)
        : counted(quote, used, outcome.delivered);
    case "left":
      return counted(quote, used, outcome.delivered);
    case "broken":
      return priced(quote, { inputTokens: 0, outputTokens: outcome.deliveredTokens }, 0, false);
    case "failed":
      return outcome.by === "us" || failuresAreFree ? NOTHING : counted(quote, used, false);
  }
}

/** What a failure before any text cost the instance, which bears it (sats): 0 where nothing was counted, or the fault is ours. */
export const borneSats = (quote: Quote, outcome: Outcome): number =>
  outcome.end === "failed" && outcome.by === "provider" ? counted(quote, outcome.used, false).sats : 0;

function counted(quote: Quote, { evaluation, work }: Used, withInfra: boolean): Cost {
  return priced(quote, work, evaluationUsd(quote, evaluation), withInfra);
}

function priced(
  quote: Quote,
  work: { inputTokens: number; outputTokens: number } | null,
  evalUsd: number,
  withInfra: boolean,
): Cost {
  const { inputTokens, outputTokens } = work ?? { inputTokens: 0, outputTokens: 0 };
  if (!withInfra && evalUsd === 0 && inputTokens === 0 && outputTokens === 0) return NOTHING;
  const cost = price({ ...costInput(quote), inputTokens, outputTokens, evaluationUsd: evalUsd, withInfra });
  return { sats: cost.sats, modelCostUsd: cost.modelCostUsd, infraUsd: cost.infraUsd };
}

/** Where the satoshis of a request go. `paid + granted = charge + subsidy + refund + returned`, exactly. */
interface Shares {
  /** Earned from the payer. */
  chargeSats: number;
  /** Earned from the pool. */
  subsidySats: number;
  /** The payer's again. */
  refundSats: number;
  /** The pool's again. */
  returnedSats: number;
}

/**
 * Divides what was paid and granted by what the request really cost (economy.md §4). The grant is used up before the payer's
 * money; a cost above both is the operator's loss, never a debt of the payer. All in satoshis.
 * @throws {RangeError} for an amount that is not whole or out of range.
 */
export function divide(
  { actualSats, paidSats, grantedSats }: { actualSats: number; paidSats: number; grantedSats: number },
): Shares {
  assertSats(actualSats, "actualSats");
  assertSats(paidSats, "paidSats");
  assertSats(grantedSats, "grantedSats");
  const subsidySats = Math.min(actualSats, grantedSats);
  const chargeSats = Math.min(paidSats, Math.max(0, actualSats - subsidySats));
  return { chargeSats, subsidySats, refundSats: paidSats - chargeSats, returnedSats: grantedSats - subsidySats };
}

/** What a request really cost, and where every sat went. */
export interface CostSheet extends Shares {
  evalUsage: Usage | null;
  usage: Usage | null;
  modelCostUsd: number;
  infraUsd: number;
  actualSats: number;
  /** Of the charge: what the model took for it, and the pool's share, both rounded up. The rest is the operator's. */
  modelCostSats: number;
  poolShareSats: number;
}

/** @param funds what lies in the request's account: from its payer and from the pool (sats). */
export function costSheetOf(
  outcome: Outcome,
  cost: Cost,
  { poolCreditPct, btcUsd, ...funds }: { paidSats: number; grantedSats: number; poolCreditPct: number; btcUsd: number },
): CostSheet {
  const shares = divide({ actualSats: cost.sats, ...funds });
  const { chargeSats, subsidySats } = shares;
  const earnedSats = chargeSats + subsidySats;
  const chargedPart = earnedSats === 0 ? 0 : chargeSats / earnedSats;
  return {
    evalUsage: outcome.used.evaluation,
    usage: usageOf(outcome),
    modelCostUsd: cost.modelCostUsd,
    infraUsd: cost.infraUsd,
    actualSats: cost.sats,
    modelCostSats: Math.ceil(satsOf(cost.modelCostUsd, btcUsd) * chargedPart),
    poolShareSats: feedsPool(outcome) ? Math.ceil(chargeSats * poolCreditPct / 100) : 0,
    ...shares,
  };
}

/** The tokens that a receipt shows: of a broken answer those that were delivered, since no others are charged. */
function usageOf(outcome: Outcome): Usage | null {
  if (outcome.end !== "broken") return outcome.used.work;
  return { inputTokens: 0, outputTokens: outcome.deliveredTokens, source: "estimated" };
}

/** What an end means to the key that asked: paid answers raise its trust, what the request caused lowers it. */
export function trustOf(outcome: Outcome, chargeSats: number): TrustEvent | null {
  if (outcome.end === "complete") return { kind: "success", paidSats: chargeSats };
  return outcome.end === "refused" ? { kind: "failure" } : null;
}

/** Whether an end's charge feeds the pool: one for an evaluation alone does not. */
export const feedsPool = (outcome: Outcome): boolean => !(outcome.end === "refused" && outcome.by === "evaluator");
