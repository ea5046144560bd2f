/** How much a 402 asks for (wire.md §2). Pure. */
import { affordableOutputTokens } from "@/lib/metering/pricing.rules.ts";
import { costInput, evaluationUsd, type Quote } from "@/lib/metering/quote.rules.ts";

/** What an operator lets a challenge be (sats). */
export interface DepositTerms {
  /** L402_DEPOSIT_SATS, SESSION_MIN_BALANCE_SATS and SESSION_MAX_DEPOSIT_SATS. */
  leastSats: number;
  minBalanceSats: number;
  maxSats: number;
}

/**
 * The invoice that lets a request begin: its worst case and 10 % more, for a price that moves until it is paid, rounded up to
 * 100 sats, and never less than an operator asks for anything.
 * @param haveSats what the payer can spend already: only the largest deposit and this together have to be enough
 * @returns sats, or null when no deposit is large enough
 */
export function depositFor(
  quote: Quote,
  haveSats: number,
  { leastSats, minBalanceSats, maxSats }: DepositTerms,
): number | null {
  const worstSats = Math.ceil(quote.sats * 11 / 10);
  if (worstSats > maxSats + haveSats) return null;
  return Math.min(maxSats, Math.max(leastSats, minBalanceSats, Math.ceil(quote.sats * 11 / 1_000) * 100));
}

/** The most output tokens for which {@link depositFor} finds a deposit; 0: none, the input alone takes more. */
export function mostOutputTokens(quote: Quote, haveSats: number, { maxSats }: DepositTerms): number {
  const { inputTokens, evaluation } = quote;
  return affordableOutputTokens({
    ...costInput(quote),
    paidSats: Math.floor((maxSats + haveSats) * 10 / 11),
    inputTokens,
    evaluationUsd: evaluationUsd(quote, evaluation),
  });
}
