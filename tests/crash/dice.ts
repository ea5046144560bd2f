import type { Random } from "@/lib/ids.ts";

/** Decisions that a seed can repeat. */
export interface Dice {
  /** A whole number, 0 ≤ n < `limit`. */
  below(limit: number): number;
  /** A whole number, `low` ≤ n ≤ `high`. */
  between(low: number, high: number): number;
  /** True in about `probability` (0–1) of the calls. */
  chance(probability: number): boolean;
  pick<T>(list: readonly [T, ...T[]]): T;
}

export function createDice(random: Random): Dice {
  const fraction = () => new DataView(random.bytes(4).buffer).getUint32(0) / 2 ** 32;
  const below = (limit: number) => Math.floor(fraction() * limit);
  return {
    below,
    between: (low, high) => low + below(high - low + 1),
    chance: (probability) => fraction() < probability,
    pick: (list) => list[below(list.length)] ?? list[0],
  };
}
