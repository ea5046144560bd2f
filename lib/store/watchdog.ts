import type { Clock } from "@/lib/clock.ts";
import { StoreError } from "./types.ts";

/**
 * Looks after a busy store: ends a function that waits for something other than `tx`, which would stop every other
 * transaction of the process, and lets the scheduler refuse those that wait too long.
 */
export class Watchdog {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #running: { isReading(): boolean; end(error: StoreError): void; idleTurns: number } | null = null;
  #stop = () => {};

  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  /** @param onTurn called at each look. */
  start(onTurn: () => void): void {
    this.#stop = this.#clock.after(this.#everyMs, () => {
      this.start(onTurn);
      this.#look();
      onTurn();
    });
  }

  stop(): void {
    this.#stop();
  }

  /** Settles as `promise` does, or rejects when it waits for something that is not `tx`. */
  async guard<T>(promise: Promise<T>, isReading: () => boolean): Promise<T> {
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#running = { isReading, end: reject, idleTurns: 0 };
        promise.then(resolve, reject);
      });
    } finally {
      this.#running = null;
    }
  }

  /**
   * Time spent in the engine, or with the processor busy elsewhere, does not count: a function must be found idle twice, a
   * whole turn apart.
   */
  #look(): void {
    if (!this.#running) return;
    this.#running.idleTurns = this.#running.isReading() ? 0 : this.#running.idleTurns + 1;
    if (this.#running.idleTurns < 2) return;
    this.#running.end(new StoreError("stuck", `a transaction waited ${this.#everyMs} ms for something that is not tx`));
  }
}
