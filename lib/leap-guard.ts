import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Says whether the wall clock may be believed when it tells that something's time is over for good. */
export interface LeapGuard {
  /** How long whatever cannot be taken back must still wait (ms of monotonic time); 0: the clock is believed. */
  waitMs(): number;
}

/**
 * A wall clock that jumps must not end anything for good (economy.md §5): when it moves more than an hour further than the
 * process' own monotonic time, nothing irrevocable happens for a day of monotonic time. A process may also begin with a
 * wrong clock that is set a little later, so nothing irrevocable happens in its first hour.
 */
export function createLeapGuard({ clock, log }: { clock: Clock; log: Logger }): LeapGuard {
  const ahead = () => clock.now() - clock.monotonic();
  /** The least that the wall clock was ahead of monotonic time while it was believed (ms): a clock set back may be right. */
  let believed = ahead();
  let heldUntil = clock.monotonic() + HOUR_MS;
  return {
    waitMs() {
      const jumped = ahead() - believed;
      believed = Math.min(believed, ahead());
      if (jumped > HOUR_MS) {
        believed = ahead();
        heldUntil = clock.monotonic() + DAY_MS;
        log.warn(
          { code: "clock_jumped", ms: jumped },
          "the wall clock jumped ahead; nothing expires for good for a day",
        );
      }
      return Math.max(0, heldUntil - clock.monotonic());
    },
  };
}
