/** A price outside of these is taken for a mistake of its source (USD for one bitcoin). */
export const LEAST_USD = 1_000;
export const MOST_USD = 100_000_000;
/** A change larger than this against the last good price needs two sources that agree. */
const JUMP = 0.2;
/** Two sources agree when they differ by no more than this. */
const AGREEMENT = 0.02;

/** What one source answered. */
interface Quote {
  source: string;
  usd: number;
}

/**
 * The price that counts (economy.md §3): the median of the answers in range; of an even number the mean of the two in the
 * middle. One that is more than 20 % off the last good price counts only when the answers in its middle agree within 2 %;
 * without a last good price, two answers alone that are more than 20 % apart count for nothing: nobody can tell which one lies.
 * @param lastUsd the last good price while it is young enough, or null.
 * @returns null when the last good price, or the fallback, must do.
 */
export function priceOf(quotes: readonly Quote[], lastUsd: number | null): Quote | null {
  const sorted = quotes.filter(({ usd }) => usd >= LEAST_USD && usd <= MOST_USD).sort((a, b) => a.usd - b.usd);
  const prices = sorted.map(({ usd }) => usd);
  const middle = middleOf(prices);
  const [low, high] = [middle[0], middle[middle.length - 1]];
  if (low === undefined || high === undefined) return null;
  const usd = (low + high) / 2;
  const isJump = lastUsd === null
    ? prices.length === 2 && high > low * (1 + JUMP)
    : Math.abs(usd - lastUsd) > JUMP * lastUsd;
  if (isJump && !isConfirmed(prices, middle)) return null;
  return { usd, source: sorted.map(({ source }) => source).sort().join("+") };
}

/** The one or two in the middle of sorted prices; none of none. */
const middleOf = (sorted: readonly number[]): readonly number[] =>
  sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);

/** Whether two sources stand behind the median: the two it lies between, or the one it is and a neighbour. */
function isConfirmed(sorted: readonly number[], middle: readonly number[]): boolean {
  const agree = (low: number | undefined, high: number | undefined) =>
    low !== undefined && high !== undefined && high <= low * (1 + AGREEMENT);
  if (middle.length === 2) return agree(middle[0], middle[1]);
  const at = (sorted.length - 1) / 2;
  return agree(sorted[at - 1], sorted[at]) || agree(sorted[at], sorted[at + 1]);
}
