import { type Clock, sleep, withDeadline } from "@/lib/clock.ts";
import type { Logger } from "@/lib/logger.ts";
import type { BtcPrice, BtcPriceFeed, BtcPriceSource } from "./port.ts";
import { priceOf } from "./price.rules.ts";

interface BtcPriceFeedOptions {
  /** All are asked at once; `price.rules.ts` says what of their answers counts. */
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

interface RefreshingFeed extends BtcPriceFeed {
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
  /** True while the answers contradict the last good price, or one another: said once. */
  let doubted = false;
  let last: BtcPrice | null = null;
  let round: Promise<void> | null = null;
  let loop: Promise<void> | null = null;

  async function fetchFrom(source: BtcPriceSource): Promise<BtcPrice> {
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

  /** @returns nothing from a source that failed, and says so once. */
  async function ask(source: BtcPriceSource): Promise<BtcPrice[]> {
    try {
      const answer = await fetchFrom(source);
      if (failing.delete(source.name)) log.info({ backend: source.name }, "the BTC price source answers again");
      return [answer];
    } catch (error) {
      if (!stopper.signal.aborted && !failing.has(source.name)) {
        failing.add(source.name);
        const reason = error instanceof Error ? error.message : String(error);
        log.warn({ backend: source.name, reason }, "a BTC price source gave no usable price; it is tried every minute");
      }
      return [];
    }
  }

  async function askAll(): Promise<void> {
    const answers = (await Promise.all(sources.map(ask))).flat();
    if (answers.length === 0 || stopper.signal.aborted) return;
    const price = priceOf(answers, fresh()?.usd ?? null);
    if (price) last = { ...price, at: Math.min(...answers.map(({ at }) => at)) };
    else if (!doubted) {
      const reason = answers.map(({ source, usd }) => `${source} ${usd}`).join(", ");
      log.warn(
        { reason },
        "the BTC price jumped and no two sources agree: the last good one counts, then the fallback",
      );
    }
    doubted = price === null;
  }

  /** The last good price while it is young enough. */
  const fresh = (): BtcPrice | null => last && clock.now() - last.at < maxAgeMs ? last : null;

  function refresh(): Promise<void> {
    round ??= askAll().finally(() => round = null);
    return round;
  }

  return {
    current: () => fresh() ?? { usd: fallbackUsd, source: "fallback", at: clock.now() },
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
