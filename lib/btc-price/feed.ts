import { type Clock, sleep, withDeadline } from "@/lib/clock.ts";
import type { Logger } from "@/lib/http/logger.ts";
import type { BtcPrice, BtcPriceFeed, BtcPriceSource } from "./port.ts";

export interface BtcPriceFeedOptions {
  /** Asked in this order; the first that answers counts. */
  sources: readonly BtcPriceSource[];
  clock: Clock;
  /** How old the last good price may be (ms). */
  maxAgeMs: number;
  /** Used when there is no price young enough (USD). */
  fallbackUsd: number;
  log: Logger;
  refreshMs?: number;
  /** Limit of one source (ms). */
  timeoutMs?: number;
}

export interface RefreshingFeed extends BtcPriceFeed {
  /** Refreshes now, then `refreshMs` after each round, in the background. Another call changes nothing. */
  start(): void;
  /** Ends a round under way and every later one, for good. */
  stop(): Promise<void>;
  /** Asks the sources once; calls at the same time share one round. Never rejects. */
  refresh(): Promise<void>;
}

/** A price in memory, kept fresh in the background: nobody who pays ever waits for a source. */
export function createBtcPriceFeed(options: BtcPriceFeedOptions): RefreshingFeed {
  const { sources, clock, maxAgeMs, fallbackUsd, log } = options;
  const { refreshMs = 60_000, timeoutMs = 5_000 } = options;
  const stopper = new AbortController();
  /** Sources whose last try failed: said once, not every minute. */
  const failing = new Set<string>();
  let last: BtcPrice | null = null;
  let round: Promise<void> | null = null;
  let loop: Promise<void> | null = null;

  async function ask(source: BtcPriceSource): Promise<BtcPrice> {
    const abort = new AbortController();
    const stop = () => abort.abort();
    stopper.signal.addEventListener("abort", stop, { once: true });
    try {
      const usd = await withDeadline(
        clock,
        timeoutMs,
        `the price source ${source.name}`,
        source.fetchUsd(abort.signal),
      );
      return { usd, source: source.name, at: clock.now() };
    } finally {
      stopper.signal.removeEventListener("abort", stop);
      abort.abort(); // a source that was too slow must not go on in the background
    }
  }

  async function askAll(): Promise<void> {
    for (const source of sources) {
      try {
        last = await ask(source);
        if (failing.delete(source.name)) log.info({ backend: source.name }, "the BTC price source answers again");
        return;
      } catch (error) {
        if (stopper.signal.aborted) return;
        if (failing.has(source.name)) continue;
        failing.add(source.name);
        const reason = error instanceof Error ? error.message : String(error);
        log.warn({ backend: source.name, reason }, "a BTC price source gave no usable price; it is tried every minute");
      }
    }
  }

  function refresh(): Promise<void> {
    round ??= askAll().finally(() => round = null);
    return round;
  }

  return {
    current() {
      const now = clock.now();
      if (last && now - last.at < maxAgeMs) return last;
      return { usd: fallbackUsd, source: "fallback", at: now };
    },
    refresh,
    start() {
      loop ??= (async () => {
        while (!stopper.signal.aborted) {
          await refresh();
          await sleep(clock, refreshMs, stopper.signal);
        }
      })();
    },
    async stop() {
      stopper.abort();
      await loop;
    },
  };
}
