import { setImmediate } from "node:timers";
import type { Clock } from "@/lib/clock.ts";

/** Time that only a test moves. */
export interface FakeClock extends Clock {
  /**
   * Moves time by `ms`, fires what falls due on the way in order of time (then of setting), those set meanwhile too, and
   * lets promises and pending I/O settle before the first, between two and after the last.
   * @throws what a timer's function throws, and when called while another move is under way.
   */
  advance(ms: number): Promise<void>;
  /**
   * Moves time from timer to timer until `promise` settles, and settles as it does.
   * @throws when it has not after `limitMs` of this clock (default: one day) or when no timer is left and no I/O is pending.
   */
  drive<T>(promise: Promise<T>, limitMs?: number): Promise<T>;
  /** Lets promises and pending I/O settle without moving time. */
  settle(): Promise<void>;
  /** Timers that have neither fired nor been cancelled. */
  pending(): number;
  /** Milliseconds until the next timer (0 when one is overdue), or null when there is none. */
  nextIn(): number | null;
  /**
   * Time stands still while `busy` says so (real I/O in flight: a slow disk must not look like a passed deadline), for at
   * most 5 real seconds at once. Without it settling is a guess of a few milliseconds.
   * @returns a function that takes it back.
   */
  waitWhile(busy: () => boolean): () => void;
}

interface Timer {
  at: number;
  fn: () => void;
}

/** 2025-01-01T00:00:00Z: late enough for every subtraction, and the same in each run. */
export const FAKE_START_MS = 1_735_689_600_000;
const DAY_MS = 86_400_000;
const STILL_TURNS = 3;
const BUSY_LIMIT_MS = 5_000;

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));
const rest = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

/** A clock that stands at `startMs` (ms since the epoch) until a test moves it. */
export function createFakeClock(startMs: number = FAKE_START_MS): FakeClock {
  const timers = new Set<Timer>();
  const busyWhile = new Set<() => boolean>();
  let now = startMs;
  let moving = false;

  const isBusy = () => {
    for (const busy of busyWhile) if (busy()) return true;
    return false;
  };

  /** What runs between two timers of a real event loop: until nothing was busy for a few turns in a row. */
  async function settle(): Promise<void> {
    if (busyWhile.size === 0) await rest(0);
    const limit = performance.now() + BUSY_LIMIT_MS;
    for (let still = 0, turns = 0; still < STILL_TURNS; turns++) {
      if (isBusy() && performance.now() < limit) {
        still = 0;
        await (turns < 200 ? turn() : rest(1));
      } else {
        still++;
        await turn();
      }
    }
  }

  /** The earliest timer at or before `until`; a Set keeps the order of setting, which decides between equals. */
  function next(until: number): Timer | null {
    let first: Timer | null = null;
    for (const timer of timers) if (timer.at <= until && (!first || timer.at < first.at)) first = timer;
    return first;
  }

  function fire(timer: Timer): void {
    timers.delete(timer);
    now = Math.max(now, timer.at);
    timer.fn();
  }

  async function alone<T>(move: () => Promise<T>): Promise<T> {
    if (moving) throw new Error("this clock is already being moved: await the other advance() or drive() first");
    moving = true;
    try {
      return await move();
    } finally {
      moving = false;
    }
  }

  const nextIn = () => {
    const timer = next(Infinity);
    return timer && Math.max(0, timer.at - now);
  };

  return {
    now: () => now,
    monotonic: () => now - startMs,
    after(ms, fn) {
      if (!Number.isFinite(ms)) throw new RangeError(`a timer of ${ms} ms would fire at once on a real clock`);
      const timer = { at: now + Math.max(0, ms), fn };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance(ms) {
      if (!(ms >= 0 && Number.isFinite(ms))) throw new RangeError(`time cannot be moved by ${ms} ms`);
      return alone(async () => {
        const until = now + ms;
        await settle();
        for (let timer = next(until); timer; timer = next(until)) {
          fire(timer);
          await settle();
        }
        now = until;
      });
    },
    drive(promise, limitMs = DAY_MS) {
      return alone(async () => {
        let settled = false;
        const mark = () => void (settled = true);
        promise.then(mark, mark);
        const until = now + limitMs;
        for (;;) {
          await settle();
          if (settled) return await promise;
          const timer = next(until);
          if (timer) fire(timer);
          else if (isBusy()) await rest(1);
          else {
            throw new Error(
              timers.size === 0
                ? "the promise waits for something that no timer of this clock will bring"
                : `the promise has not settled within ${limitMs} ms of this clock`,
            );
          }
        }
      });
    },
    settle,
    pending: () => timers.size,
    nextIn,
    waitWhile(busy) {
      busyWhile.add(busy);
      return () => void busyWhile.delete(busy);
    },
  };
}
