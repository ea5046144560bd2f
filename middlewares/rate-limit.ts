import type { Clock } from "@/lib/clock.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";
import { tooManyRequests } from "@/lib/http/errors.ts";

const SLICE_MS = 5_000;
const SLICES = 13; // the running slice and twelve whole ones: between 60 and 65 seconds

/** Says whether one more is allowed now, and counts it if so. */
export interface RateLimiter {
  /** @returns null when allowed (and counted), else after how many milliseconds the next one will be. */
  take(key: string): number | null;
  /** How many keys are held at the moment. */
  readonly size: number;
}

/**
 * At most `perMinute` in any 60 seconds per key, counted in slices of 5 seconds: never more than that, and a key that
 * used up its share waits at most 65 seconds. Refused calls are not counted.
 *
 * Own code, because it has to run on an injected clock with memory that is bounded whoever calls: each key costs
 * thirteen small numbers, and above `maxKeys` the one that was quiet longest is forgotten (and starts afresh). The
 * usual library keeps one timer-cleared record per caller, without a bound, and would be one dependency more.
 *
 * @param options.perMinute a positive whole number
 */
export function createRateLimiter(options: { perMinute: number; clock: Clock; maxKeys?: number }): RateLimiter {
  const { perMinute, clock, maxKeys = 10_000 } = options;
  if (!Number.isSafeInteger(perMinute) || perMinute < 1) throw new Error("a rate limit is a positive whole number");
  if (!Number.isSafeInteger(maxKeys) || maxKeys < 1) throw new Error("a rate limiter holds at least one key");
  // A Map iterates in insertion order: re-inserting on every use keeps the quietest key first.
  const keys = new Map<string, { slice: number; counts: Uint32Array }>();

  return {
    take(key) {
      // Not the wall clock: one that is set must neither free anybody nor lock anybody out.
      const now = clock.monotonic();
      let entry = keys.get(key);
      const slice = Math.floor(now / SLICE_MS);
      if (entry) {
        keys.delete(key);
        const passed = Math.min(slice - entry.slice, SLICES);
        for (let i = 1; i <= passed; i++) entry.counts[(entry.slice + i) % SLICES] = 0;
        entry.slice = slice;
      } else {
        if (keys.size >= maxKeys) {
          const quietest = keys.keys().next();
          if (!quietest.done) keys.delete(quietest.value);
        }
        entry = { slice, counts: new Uint32Array(SLICES) };
      }
      keys.set(key, entry);

      let used = 0;
      let oldest = slice;
      for (let s = slice; s > slice - SLICES; s--) {
        const count = entry.counts[((s % SLICES) + SLICES) % SLICES] ?? 0;
        if (count > 0) oldest = s;
        used += count;
      }
      if (used >= perMinute) return Math.max(1, (oldest + SLICES) * SLICE_MS - now);
      const index = slice % SLICES;
      entry.counts[index] = (entry.counts[index] ?? 0) + 1;
      return null;
    },
    get size() {
      return keys.size;
    },
  };
}

/**
 * 429 `rate_limited` with `Retry-After` above the limit, per `clientAddress`.
 * @param options.perMinute `RATE_LIMIT_PER_MINUTE`; 0 switches it off
 * @param options.exempt paths that are never limited: a supervisor asks for liveness whatever others do
 */
export function rateLimit(
  options: { perMinute: number; clock: Clock; maxAddresses?: number; exempt?: readonly string[] },
): AppMiddleware {
  const { perMinute, clock } = options;
  if (perMinute === 0) return (_c, next) => next();
  const limiter = createRateLimiter({
    perMinute,
    clock,
    ...(options.maxAddresses === undefined ? {} : { maxKeys: options.maxAddresses }),
  });
  const exempt = new Set(options.exempt ?? []);
  return async (c, next) => {
    const waitMs = exempt.has(c.req.path) ? null : limiter.take(c.get("clientAddress"));
    if (waitMs !== null) {
      const seconds = Math.ceil(waitMs / 1000);
      throw tooManyRequests(
        "rate_limited",
        `More than ${perMinute} requests in a minute. Try again in ${seconds} seconds.`,
        seconds,
      );
    }
    await next();
  };
}
