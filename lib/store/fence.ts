import type { Clock } from "@/lib/clock.ts";
import type { Engine } from "./engine.ts";
import type { Head } from "./head.ts";

const LONGEST_PAUSE_MS = 2_000;
const FIRST_PAUSE_MS = 50;

export interface FenceOptions {
  engine: Pick<Engine, "commit">;
  clock: Clock;
  head: Head;
  newId(): string;
}

/**
 * Finds out what became of a commit that was rejected: it may have landed, may land later, or never. Rewrites the head row:
 * once that is done, the group's own check can no longer hold, so it is known for good. No transaction runs meanwhile.
 */
export class Fence {
  readonly #options: FenceOptions;
  #isUp = false;
  #abandoned = false;

  constructor(options: FenceOptions) {
    this.#options = options;
  }

  /** Whether an outcome is being found out. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** The engine is being closed: nothing can be found out any more. */
  abandon(): void {
    this.#abandoned = true;
  }

  /**
   * @returns whether group `id` has landed (the head is then as it was read) or never will; `unknown` after
   * {@link abandon}.
   */
  async settle(id: string): Promise<"landed" | "never" | "unknown"> {
    this.#isUp = true;
    try {
      for (let attempt = 0; !this.#abandoned; attempt++) {
        try {
          const result = await this.#tryOnce(id);
          if (result !== "again") return result;
        } catch {
          // Neither answer nor refusal is knowledge: the engine is asked until it tells.
          if (!this.#abandoned) await this.#pause(attempt);
        }
      }
      return "unknown";
    } finally {
      this.#isUp = false;
    }
  }

  async #tryOnce(id: string): Promise<"landed" | "never" | "again"> {
    const { engine, head } = this.#options;
    await head.load();
    if (head.hasLanded(id)) return "landed";
    const next = head.afterFence(`fence-${this.#options.newId()}`);
    const result = await engine.commit({ check: head.check, set: [next.set], delete: [], bell: false });
    if (!result) return "again"; // somebody wrote in between, this very group perhaps
    next.landed(result.versionstamp);
    return "never";
  }

  #pause(attempt: number): Promise<void> {
    const ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 6));
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve));
  }
}
