import type { Clock } from "@/lib/clock.ts";

/** A clock that only moves when told to. */
export interface FakeClock extends Clock {
  /** Moves on by `ms` milliseconds and runs what falls due, in order. */
  advance(ms: number): void;
  /** How many calls are waiting. */
  readonly waiting: number;
  /** Resolves once at least `count` calls are waiting: code under test has then set its timers. */
  untilWaiting(count: number): Promise<void>;
}

/** @param startMs milliseconds since the epoch at which it begins. */
export function createFakeClock(startMs = 0): FakeClock {
  let now = startMs;
  let timers: { at: number; fn: () => void }[] = [];
  let watchers: { count: number; resolve: () => void }[] = [];
  return {
    now: () => now,
    after(ms, fn) {
      const timer = { at: now + ms, fn };
      timers.push(timer);
      watchers = watchers.filter(({ count, resolve }) => timers.length < count || (resolve(), false));
      return () => void (timers = timers.filter((other) => other !== timer));
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        timers = timers.filter((other) => other !== due);
        now = Math.max(now, due.at);
        due.fn();
      }
      now = end;
    },
    get waiting() {
      return timers.length;
    },
    untilWaiting(count) {
      if (timers.length >= count) return Promise.resolve();
      return new Promise((resolve) => watchers.push({ count, resolve }));
    },
  };
}
