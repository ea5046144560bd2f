/** How many demo answers there are (economy.md §1, wire.md §1). Pure. */

/** Answers an address gets in any hour. */
export const DEMO_PER_HOUR = 5;
/** Short answers: the hard limit handed to the model. */
export const DEMO_OUTPUT_TOKENS = 150;
export const HOUR_MS = 3_600_000;

/** What is taken of both limits: when this address was served in the last hour, and how many everybody got today. */
interface DemoUse {
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
