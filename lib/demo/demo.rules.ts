/** How many demo answers there are (economy.md §1, wire.md §1). Pure. */
import type { Usage } from "@/lib/ai/port.ts";
import { modelUsd, price, type PriceConfig, type Rates } from "@/lib/metering/pricing.rules.ts";

/** Answers an address gets in any hour. */
export const DEMO_PER_HOUR = 5;
/** Short answers: the hard limit handed to the model. */
export const DEMO_OUTPUT_TOKENS = 150;
export const HOUR_MS = 3_600_000;

/** What is taken of both limits: when this address was served in the last hour, and how many everybody got today. */
export interface DemoUse {
  /** ms since the epoch, oldest first. */
  times: readonly number[];
  usedToday: number;
}

export type Counted =
  | { outcome: "counted"; use: DemoUse; remainingThisHour: number; remainingToday: number }
  /** `hour`: this address had its share; `day`: everybody together did. @param waitMs until there is one again */
  | { outcome: "hour" | "day"; waitMs: number };

/**
 * Counts one more, or says which limit is reached.
 * @param input.dayEndsAt when the UTC day of `now` ends (ms since the epoch).
 */
export function countDemo(
  before: DemoUse,
  { dailyLimit, dayEndsAt, now }: { dailyLimit: number; dayEndsAt: number; now: number },
): Counted {
  const recent = before.times.filter((at) => at > now - HOUR_MS);
  const [oldest] = recent.slice(-DEMO_PER_HOUR);
  if (recent.length >= DEMO_PER_HOUR && oldest !== undefined) {
    return { outcome: "hour", waitMs: oldest + HOUR_MS - now };
  }
  if (before.usedToday >= dailyLimit) return { outcome: "day", waitMs: dayEndsAt - now };
  const use = { times: [...recent, now], usedToday: before.usedToday + 1 };
  return {
    outcome: "counted",
    use,
    remainingThisHour: DEMO_PER_HOUR - use.times.length,
    remainingToday: dailyLimit - use.usedToday,
  };
}

/**
 * What a demo answer costs the operator (sats): the price of any work, its evaluation included, with one rounding. A refused
 * request has no work, and no infrastructure share then, as in a session (economy.md §6).
 * @param input.work null: the request was refused.
 */
export function demoSats(input: {
  evaluation: { usage: Usage; rates: Rates };
  work: { usage: Usage; rates: Rates } | null;
  config: PriceConfig;
  btcUsd: number;
}): number {
  const { evaluation, work, config, btcUsd } = input;
  return price({
    inputTokens: work?.usage.inputTokens ?? 0,
    outputTokens: work?.usage.outputTokens ?? 0,
    rates: work?.rates ?? evaluation.rates,
    config,
    btcUsd,
    evaluationUsd: modelUsd(evaluation.usage, evaluation.rates),
    withInfra: work !== null,
  }).sats;
}
