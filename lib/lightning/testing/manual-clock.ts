import type { Clock } from "@/lib/clock.ts";

export interface ManualClock extends Clock {
  /** Moves time on and calls what is due, in order. */
  advance(ms: number): void;
}

/** A clock that only a test moves. */
export function manualClock(start: number): ManualClock {
  let now = start;
  const timers = new Set<{ at: number; fn: () => void }>();
  return {
    now: () => now,
    after(ms, fn) {
      const timer = { at: now + ms, fn };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        timers.delete(due);
        now = Math.max(now, due.at);
        due.fn();
      }
      now = end;
    },
  };
}
