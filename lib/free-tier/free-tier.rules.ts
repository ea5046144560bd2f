/**
 * Who is served from the pool (economy.md §7). Pure. Nothing is served free that was not reserved beforehand; partial help
 * is advice until the payer has paid.
 */
import type { Tier } from "@/lib/identity/trust.rules.ts";

export interface FreeTierConfig {
  /** Sats a key of each tier may take in one UTC day. */
  dailySats: Readonly<Record<Exclude<Tier, "anonymous">, number>>;
  /** Per cent of every earned charge for work that goes to the pool; evaluation fees give nothing. */
  poolCreditPct: number;
}

/**
 * `free`: the whole estimate can be reserved. `partial`: so much could be, which is advice, not a promise.
 * `gate`: the payer pays it all.
 */
export type Decision =
  | { serve: "free"; sats: number }
  | { serve: "partial"; adviceSats: number }
  | { serve: "gate" };

const DAY_MS = 86_400_000;

/** When the day of `now` ends (ms since the epoch). */
export const dayEnd = (now: number): number => (Math.floor(now / DAY_MS) + 1) * DAY_MS;

/** Sats a key of this tier may take in a day; nobody in particular takes nothing. */
export const dailyBudget = (tier: Tier, config: FreeTierConfig): number =>
  tier === "anonymous" ? 0 : config.dailySats[tier];

/**
 * @param input.estimateSats what the request is expected to cost; at least 1.
 * @param input.usedSats what the key took today: reserved, or absorbed already.
 */
export function decide(
  input: { estimateSats: number; dailySats: number; usedSats: number; poolSats: number },
): Decision {
  const { estimateSats, dailySats, usedSats, poolSats } = input;
  const left = Math.min(poolSats, Math.max(0, dailySats - usedSats));
  if (left <= 0) return { serve: "gate" };
  return left >= estimateSats ? { serve: "free", sats: estimateSats } : { serve: "partial", adviceSats: left };
}

/** The subsidy of an advice when the payer has paid: no more than there is by then, which may be nothing. */
export const subsidyOf = (
  input: { adviceSats: number; dailySats: number; usedSats: number; poolSats: number },
): number => Math.max(0, Math.min(input.adviceSats, input.poolSats, input.dailySats - input.usedSats));

/**
 * What an earned charge gives to the pool: whole sats, and what is left of them for the next one, so that many small
 * charges feed it as much as a large one.
 * @param carry hundredths of a satoshi from before, 0 to 99.
 */
export function poolCredit(chargeSats: number, pct: number, carry: number): { sats: number; carry: number } {
  const hundredths = chargeSats * pct + carry;
  return { sats: Math.floor(hundredths / 100), carry: hundredths % 100 };
}
