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
}

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
  const current: Attempt = { signal: controller.signal, usage: () => undefined };
  const stopped = Promise.withResolvers<never>();
  let stoppedBy: ModelError | undefined;
  const stop = (what: string) => {
    stoppedBy ??= new ModelError(what, { permanent: false, usage: current.usage() });
    stopped.reject(stoppedBy);
    controller.abort();
  };
  const aborted = () => stop(`the call to ${provider} was aborted`);
  if (signal.aborted) throw new ModelError(`the call to ${provider} was aborted before it began`, { permanent: false });
  signal.addEventListener("abort", aborted, { once: true });
  const cancelDeadline = clock.after(
    deadlineMs,
    () => stop(`${provider} did not answer within ${deadlineMs} ms`),
  );
  try {
    return await Promise.race([run(current), stopped.promise]);
  } catch (error) {
    throw stoppedBy ?? asModelError(error, provider, current.usage());
  } finally {
    cancelDeadline();
    signal.removeEventListener("abort", aborted);
    // Whatever still runs below (an unread body, a stream) is of no use to anybody.
    controller.abort();
  }
}

/** A provider's own error object may quote prompts and bodies, so only its class is named and it is not kept as cause. */
function asModelError(error: unknown, provider: string, usage: Usage | undefined): ModelError {
  if (error instanceof ModelError) return error;
  const name = error instanceof Error ? error.name : "not an Error";
  return new ModelError(`the call to ${provider} failed (${name})`, { permanent: false, usage });
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
