import type { Clock } from "@/lib/clock.ts";
import { ModelError, type Usage } from "./port.ts";

/** What one call to a model knows while it runs. */
export interface Attempt {
  /** Aborted by the caller's signal, by the deadline, and when the call failed: hand it to everything below. */
  readonly signal: AbortSignal;
  /**
   * What the provider charges if the call ends now; replaced by whoever knows. Asked only when a call fails, so that
   * counting costs nothing while text is told.
   */
  usage: () => Usage | undefined;
  /**
   * Says that nothing of the answer is missing and only the provider's count may follow: instead of the deadline,
   * `stopWaiting` is called {@link USAGE_GRACE_MS} later, for a provider that leaves its connection open.
   */
  answered(stopWaiting: () => void): void;
}

/** How long a finished answer waits for the provider's count, in milliseconds. */
export const USAGE_GRACE_MS = 2_000;

/**
 * Runs one call with a deadline, and turns every way it can end badly into a {@link ModelError}. It settles at once
 * when the caller aborts or the deadline passes, whether or not `run` reacts to its signal.
 * @param provider words for messages ("the model provider"); no secret, no address with credentials.
 * @throws {ModelError} and nothing else. Aborted and late calls are passing errors: the request may be asked again.
 */
export async function attempt<T>(
  clock: Clock,
  provider: string,
  { signal, deadlineMs }: { signal: AbortSignal; deadlineMs: number },
  run: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const stopped = Promise.withResolvers<never>();
  let stoppedBy: ModelError | undefined;
  const stop = (kind: "aborted" | "timeout", what: string) => {
    stoppedBy ??= new ModelError(what, { kind, usage: current.usage() });
    stopped.reject(stoppedBy);
    controller.abort();
  };
  const aborted = () => stop("aborted", `the call to ${provider} was aborted`);
  if (signal.aborted) {
    throw new ModelError(`the call to ${provider} was aborted before it began`, { kind: "aborted" });
  }
  signal.addEventListener("abort", aborted, { once: true });
  let cancelTimer = clock.after(
    deadlineMs,
    () => stop("timeout", `${provider} did not answer within ${deadlineMs} ms`),
  );
  const current: Attempt = {
    signal: controller.signal,
    usage: () => undefined,
    answered(stopWaiting) {
      if (controller.signal.aborted) return; // too late: nobody would cancel the timer
      cancelTimer();
      cancelTimer = clock.after(USAGE_GRACE_MS, stopWaiting);
    },
  };
  try {
    return await Promise.race([run(current), stopped.promise]);
  } catch (error) {
    throw stoppedBy ?? asModelError(error, provider, current.usage());
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", aborted);
    // Whatever still runs below (an unread body, a stream) is of no use to anybody.
    controller.abort();
  }
}

/** A provider's own error object may quote prompts and bodies, so only its class is named and it is not kept as cause. */
function asModelError(error: unknown, provider: string, usage: Usage | undefined): ModelError {
  if (error instanceof ModelError) return error;
  const name = error instanceof Error ? error.name : "not an Error";
  return new ModelError(`the call to ${provider} failed (${name})`, { kind: "broken", usage });
}

/**
 * A safe way to call the listener of generated text: nothing is told after the call was stopped, and a listener that
 * throws is not called again, since the answer it listens to has been paid for and is delivered whole anyway.
 */
export function textListener(
  onText: ((piece: string) => void) | undefined,
  signal: AbortSignal,
): (piece: string) => void {
  let listener = onText;
  return (piece) => {
    if (!listener || signal.aborted || piece === "") return;
    try {
      listener(piece);
    } catch {
      listener = undefined;
    }
  };
}
