/** What several callers hold at the same time, with the same limit for each of them. */
interface Shares {
  /** @returns false, and nothing is taken, when `key` would then hold more than the limit. */
  take(key: string, amount: number): boolean;
  give(key: string, amount: number): void;
  /** How many keys hold something. */
  readonly size: number;
}

/** @param max what one key may hold at a time. A key that holds nothing is not remembered. */
export function createShares(max: number): Shares {
  const held = new Map<string, number>();
  return {
    take(key, amount) {
      const after = (held.get(key) ?? 0) + amount;
      if (after > max) return false;
      held.set(key, after);
      return true;
    },
    give(key, amount) {
      const after = (held.get(key) ?? 0) - amount;
      if (after < 0) throw new Error("more was given back than was taken");
      if (after === 0) held.delete(key);
      else held.set(key, after);
    },
    get size() {
      return held.size;
    },
  };
}
