/**
 * Time as a dependency. Nothing below `index.ts` reads the wall clock or sets a timer by itself:
 * a fake clock can then drive every expiry, lease, retry and deadline in tests.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds since some moment before this process' first look; never steps, whatever is done to the wall clock. */
  monotonic(): number;
  /**
   * Calls `fn` once, after at least `ms` milliseconds.
   * @returns a function that cancels the call; calling it again, or late, does nothing.
   */
  after(ms: number, fn: () => void): () => void;
}

/** The machine's own clock. A timer never keeps the process alive by itself. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const id = setTimeout(fn, ms);
    Deno.unrefTimer(id);
    return () => clearTimeout(id);
  },
};

/** The UTC day of a time (ms since the epoch), as `2026-11-21`. */
export const utcDay = (now: number): string => new Date(now).toISOString().slice(0, 10);

/** Resolves after `ms` milliseconds of `clock`, or at once when `signal` aborts. Never rejects. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Thrown by {@link withDeadline} when the promise did not settle in time. */
export class DeadlineExceeded extends Error {
  override name = "DeadlineExceeded";
  constructor(readonly what: string, readonly ms: number) {
    super(`${what} took longer than ${ms} ms`);
  }
}

/**
 * Settles as `promise` does, or rejects with {@link DeadlineExceeded} after `ms`.
 * The work behind the promise is not stopped: give it the signal of an own AbortController for that.
 */
export function withDeadline<T>(clock: Clock, ms: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.after(ms, () => reject(new DeadlineExceeded(what, ms)));
    promise.then(resolve, reject).finally(cancel);
  });
}
