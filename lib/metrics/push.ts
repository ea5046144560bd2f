/** Sends the figures to a collector that the operator names, for machines that nobody can reach. */
import { type Clock, sleep } from "@/lib/clock.ts";
import type { Logger } from "@/lib/logger.ts";
import { type GuardedFetch, GuardedFetchError } from "@/lib/public-fetch.ts";
import { otlpOf } from "./otlp.rules.ts";
import type { Registry } from "./registry.ts";

/** METRICS_PUSH_URL, METRICS_PUSH_TOKEN and METRICS_PUSH_SECONDS. */
export interface PushSettings {
  url: string;
  /** Sent as `Authorization: Bearer`; null: none. */
  token: string | null;
  everyMs: number;
}

interface PushParts {
  settings: PushSettings;
  registry: Registry;
  publicFetch: GuardedFetch;
  clock: Clock;
  log: Logger;
  version: string;
  /** See {@link otlpOf}. */
  instance: string;
}

export interface MetricsPush {
  /** Sends what was collected, again and again; the first time after one interval. */
  start(): void;
  /** Sends nothing more. What is being sent is not waited for. */
  stop(): void;
}

/** A collector that is away for a week writes 168 lines (ms). */
const LOG_EVERY_MS = 3_600_000;
/** An answer says how many figures were refused, and why. */
const MAX_ANSWER_BYTES = 16_384;

/**
 * OTLP/HTTP in JSON over the guarded fetcher: a collector on this machine or in an inner network is never reached. What fails is
 * counted, logged at most once an hour, and not sent again: the next figures contain it.
 */
export function createMetricsPush(parts: PushParts): MetricsPush {
  const { settings, registry, publicFetch, clock, log, version, instance } = parts;
  const stopper = new AbortController();
  const startedAt = clock.now();
  const port = Number(new URL(settings.url).port);
  const headers = {
    "Content-Type": "application/json",
    ...(settings.token !== null && { Authorization: `Bearer ${settings.token}` }),
  };
  const pushes = registry.counter("timmy_metrics_pushes", "Times that the figures were sent, by outcome", ["outcome"], {
    zeros: [{ outcome: "sent" }, { outcome: "failed" }],
  });
  let loggedAt: number | null = null;
  let unlogged = 0;

  async function push(): Promise<void> {
    const request = otlpOf(await registry.collect(), { version, instance, startedAt, now: clock.now() });
    const body = new TextEncoder().encode(JSON.stringify(request));
    const ports = port > 0 ? [port] : [];
    const answer = await publicFetch(settings.url, { post: { body, headers }, ports, maxBytes: MAX_ANSWER_BYTES });
    if (answer.status < 200 || answer.status > 299) throw new Error(`the collector answered ${answer.status}`);
  }

  function failed(error: unknown): void {
    pushes.add({ outcome: "failed" });
    unlogged++;
    if (loggedAt !== null && clock.monotonic() - loggedAt < LOG_EVERY_MS) return;
    const reason = error instanceof GuardedFetchError ? `${error.code}: ${error.message}` : (error as Error).message;
    log.warn({ reason, count: unlogged }, "the metrics could not be sent to METRICS_PUSH_URL; it is tried again");
    loggedAt = clock.monotonic();
    unlogged = 0;
  }

  async function run(): Promise<void> {
    for (;;) {
      await sleep(clock, settings.everyMs, stopper.signal);
      if (stopper.signal.aborted) return;
      await push().then(() => pushes.add({ outcome: "sent" }), failed);
    }
  }

  let started = false;
  return {
    start() {
      if (!started) void run();
      started = true;
    },
    stop: () => stopper.abort(),
  };
}
