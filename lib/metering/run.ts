/** Runs what was reserved for: the evaluation, then the work within the limit; and says how it ended. Writes nothing. */
import { type Evaluation, ModelError, type WorkResult } from "@/lib/ai/port.ts";
import { countedTokens } from "@/lib/ai/tokens.rules.ts";
import { estimatedUsage } from "@/lib/ai/usage.ts";
import type { Usage } from "@/lib/ai/port.ts";
import type { Failure, Outcome, Used } from "./close.rules.ts";
import { outputLimit, type Quote } from "./quote.rules.ts";

/** Characters of one answer that are delivered and kept: some ten for each token that may be asked for; a commit has a limit. */
export const MAX_TEXT = 100_000;

/** How one request is done. */
export interface Work {
  /** Judges the request; null: it is not judged, or was before. */
  evaluate: ((signal: AbortSignal) => Promise<Evaluation>) | null;
  /** What an earlier try's evaluation took: what was bought is not bought again. */
  evaluated?: Usage | null;
  work(limit: { maxOutputTokens: number; signal: AbortSignal; onText?: (piece: string) => void }): Promise<WorkResult>;
  /** Takes each piece of text as it comes; left out, nobody reads along. */
  deliver?: (piece: string) => void;
  /** All that the model reads, for counting a call that told nothing. */
  prompt(): string;
}

export interface RunLimits {
  quote: Quote;
  /** Set aside by payer and pool (sats). */
  fundsSats: number;
  minOutputTokens: number;
  /** Aborted when the caller has gone. */
  gone: AbortSignal;
  /** Aborted when the process stops or another one took the work over. */
  stopped: AbortSignal;
  /** Whether somebody tries again what failed in passing before any text: the task runner does. */
  triedAgain: boolean;
}

export interface Ran {
  outcome: Outcome;
  /** The answer, or what of it was delivered. */
  text: string;
}

/**
 * @throws what the task runner may try again (`triedAgain`), and what was thrown once the process stops: how the request ends is
 * then not known yet.
 */
export async function run(work: Work, limits: RunLimits): Promise<Ran> {
  const used: Used = { evaluation: work.evaluated ?? null, work: null };
  const calls = AbortSignal.any([limits.gone, limits.stopped]);
  const excess = new AbortController();
  let delivered = "";
  /** The call under way, or the last one; null: the caller had gone before the first. */
  let called: keyof Used | null = null;
  const deliver = work.deliver;
  try {
    if (work.evaluate && used.evaluation === null) {
      if (!calls.aborted) called = "evaluation";
      const verdict = await work.evaluate(calls);
      used.evaluation = verdict.usage;
      if (!verdict.accepted) {
        const { reason } = verdict;
        return {
          outcome: { end: "refused", by: "evaluator", used, delivered: false, reason, failure: null },
          text: "",
        };
      }
    }
    if (!calls.aborted) called = "work";
    const signal = AbortSignal.any([calls, excess.signal]);
    const result = await work.work({
      maxOutputTokens: outputLimit(limits.quote, { ...limits, evaluation: used.evaluation }),
      signal,
      ...(deliver && {
        onText: (piece: string) => {
          // A provider that goes on after it was stopped would deliver text behind a hole, or to nobody.
          if (signal.aborted) return;
          // A provider that ignores its limit must fill neither our memory nor a stream that nobody reads.
          if (delivered.length + piece.length > MAX_TEXT) return excess.abort();
          delivered += piece;
          deliver(piece);
        },
      }),
    });
    used.work = result.usage;
    return { outcome: { end: "complete", used, finish: result.finish }, text: result.text.slice(0, MAX_TEXT) };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    if (limits.stopped.aborted && delivered === "") throw error;
    // A caller who leaves pays for the call that was under way, counted by its text where the provider told nothing.
    if (called) used[called] = error.usage ?? (limits.gone.aborted ? estimatedUsage(work.prompt(), delivered) : null);
    return { outcome: endOf(error, { used, delivered, limits }), text: delivered };
  }
}

/** How a model call that gave no answer ends the request. @throws the error, when it is to be tried again */
function endOf(
  error: ModelError,
  { used, delivered, limits }: { used: Used; delivered: string; limits: RunLimits },
): Outcome {
  if (limits.gone.aborted) {
    const errorMessage = "The caller went away.";
    return { end: "left", used, delivered: delivered !== "", errorMessage };
  }
  if (error.causedByRequest) {
    const reason = `The model's provider refused it: ${error.message}.`;
    return { end: "refused", by: "provider", used, delivered: delivered !== "", reason, failure: failureOf(error) };
  }
  if (delivered !== "") {
    const errorMessage = `The answer broke off: ${error.message}.`;
    const deliveredTokens = countedTokens(delivered);
    return { end: "broken", used, deliveredTokens, errorMessage, failure: failureOf(error) };
  }
  if (limits.triedAgain && !error.permanent) {
    usedUntil.set(error, used);
    throw error;
  }
  return failedBy(error, used);
}

/** What a request had used when an error was thrown for another try: whoever gives up has only the error. */
const usedUntil = new WeakMap<object, Used>();
const NOTHING: Used = { evaluation: null, work: null };

/** A failure before any text: by the provider when a model call says so, else by us. */
export function failedBy(cause: unknown, used: Used = usedUntil.get(cause as object) ?? NOTHING): Outcome {
  const known = cause instanceof ModelError ? cause : null;
  const why = known?.message ?? "a backend did not answer";
  const counted = known?.usage !== undefined && used.evaluation === null && used.work === null
    ? { ...used, work: known.usage }
    : used;
  const failure = known && failureOf(known);
  return { end: "failed", by: known ? "provider" : "us", used: counted, errorMessage: `It failed: ${why}.`, failure };
}

const failureOf = ({ kind, retryAfterMs }: ModelError): Failure => ({ kind, retryAfterMs: retryAfterMs ?? null });
