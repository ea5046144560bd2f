/** All the satoshis there will ever be: 21 million bitcoin. Far below 2^53, so sums of amounts stay exact. */
export const MAX_SATS = 21e14;

/**
 * Refuses anything that is not a whole number of satoshis from 0 to {@link MAX_SATS}. A fraction, NaN or negative
 * amount of money is a mistake in the program, never something to round.
 * @param what names the amount in the error, e.g. "paidSats".
 * @throws {RangeError}
 */
export function assertSats(n: number, what: string): void {
  if (!Number.isInteger(n) || n < 0 || n > MAX_SATS) {
    throw new RangeError(`${what} must be a whole number of satoshis from 0 to ${MAX_SATS}, not ${n}`);
  }
}
