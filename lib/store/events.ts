import type { Clock } from "@/lib/clock.ts";
import type { Store, StoredEvent } from "./store.ts";

/** Waits for something that a commit will announce. */
export interface EventWait {
  /** The first event that matches, or null after the time is over or the wait was cancelled. Never rejects. */
  event: Promise<StoredEvent | null>;
  cancel(): void;
}

/**
 * Listens from now on: begin before the change that leads to the event, so that it cannot be missed.
 * @param ms how long to wait at most.
 */
export function waitForEvent(
  store: Pick<Store, "onEvent">,
  clock: Clock,
  matches: (event: StoredEvent) => boolean,
  ms: number,
): EventWait {
  let finish: (event: StoredEvent | null) => void = () => {};
  const event = new Promise<StoredEvent | null>((resolve) => finish = resolve);
  const stopListening = store.onEvent((candidate) => {
    if (matches(candidate)) end(candidate);
  });
  const stopTimer = clock.after(ms, () => end(null));
  function end(result: StoredEvent | null): void {
    stopListening();
    stopTimer();
    finish(result);
  }
  return { event, cancel: () => end(null) };
}
