/** BTC/USD as it is locked into a job when its work invoice is made. */
export interface BtcPrice {
  /** USD for one bitcoin; finite and > 0. */
  usd: number;
  /** Where it came from: the sources' names (`coinbase+coingecko+kraken`) or `fallback`. A stale price keeps them. */
  source: string;
  /** Milliseconds since the epoch at which the first of them had answered; for `fallback` the time of asking. */
  at: number;
}

/** The price in a payer's way: answers from memory, at once, never throws, never fetches. */
export interface BtcPriceFeed {
  current(): BtcPrice;
}

/** One public source. @throws any error when it has no usable price within the signal's life. */
export interface BtcPriceSource {
  readonly name: string;
  fetchUsd(signal: AbortSignal): Promise<number>;
}
