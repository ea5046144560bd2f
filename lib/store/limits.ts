import { type Clock, withDeadline } from "@/lib/clock.ts";
import type { Engine } from "./engine.ts";
import { UnreadableRow } from "./readable.ts";
import { StoreError } from "./types.ts";

/** An engine whose every call is answered, or rejected, within a limit of time. */
export interface LimitedEngine extends Engine {
  /** Whether the last call was answered in time. */
  answering(): boolean;
}

/** @param timeoutMs limit of one call; a commit that takes longer may still land. */
export function limitCalls(engine: Engine, clock: Clock, timeoutMs: number): LimitedEngine {
  let answering = true;
  const limited = async <T>(what: string, promise: Promise<T>): Promise<T> => {
    try {
      const answer = await withDeadline(clock, timeoutMs, what, promise);
      answering = true;
      return answer;
    } catch (error) {
      answering = false;
      throw error;
    }
  };
  return {
    exclusive: engine.exclusive,
    get: (keys) => limited("reading rows", engine.get(keys)),
    list: (prefix, options) => limited("listing rows", engine.list(prefix, options)),
    commit: (commit) => limited("a commit", engine.commit(commit)),
    onBell: (ring) => engine.onBell(ring),
    close: () => engine.close(),
    answering: () => answering,
  };
}

/** What callers hear when the engine failed before anything was written, or gave a row that nobody can read. */
export const unavailable = (cause: unknown): StoreError | UnreadableRow =>
  cause instanceof StoreError || cause instanceof UnreadableRow
    ? cause
    : new StoreError("unavailable", "the database does not answer; try again", { cause });
