/** What is done for a request between its reservation and its close: the evaluation and the work. Writes nothing. */
import type { Usage } from "@/lib/ai/port.ts";
import { type Ran, run, type RunLimits } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import type { SessionRequest } from "../requests.machine.ts";
import type { Chat } from "./ask.ts";

const NEVER = new AbortController().signal;
type Parts = Pick<Services, "model" | "settings">;

const limitsOf = (
  { settings }: Parts,
  request: SessionRequest,
  rest: Pick<RunLimits, "gone" | "stopped" | "triedAgain">,
): RunLimits => ({
  quote: request.quote,
  fundsSats: request.reservedSats + request.grantedSats,
  minOutputTokens: settings.minOutputTokens,
  ...rest,
});

const evaluation = ({ model, settings }: Parts, { evalModel }: SessionRequest, text: string) =>
  evalModel === null
    ? null
    : (signal: AbortSignal) =>
      model.evaluate({ model: evalModel, request: text, signal, deadlineMs: settings.modelDeadlineMs });

/**
 * Answers a `request`. What the model throws in passing is the task runner's to try again.
 * @param known what an earlier try's evaluation took, and where this one's is kept: what was bought is not bought twice
 */
export async function answerRequest(
  parts: Parts,
  request: SessionRequest,
  known: { get(): Usage | null; keep(usage: Usage): void },
  stopped: AbortSignal,
): Promise<Ran> {
  const text = request.text as string;
  const evaluate = evaluation(parts, request, text);
  const { model, settings } = parts;
  return await run({
    evaluate: evaluate && (async (signal) => {
      const verdict = await evaluate(signal);
      if (verdict.accepted) known.keep(verdict.usage);
      return verdict;
    }),
    evaluated: known.get(),
    work: (limit) =>
      model.work({ model: request.model, request: text, deadlineMs: settings.modelDeadlineMs, ...limit }),
    prompt: () => text,
  }, limitsOf(parts, request, { gone: NEVER, stopped, triedAgain: true }));
}

/** Holds a chat: tried once, since its caller is there to try again. @param deliver takes each piece of a streamed one */
export async function converse(
  parts: Parts,
  request: SessionRequest,
  { chat, text, deliver, stopped }: {
    chat: Chat;
    text: string;
    deliver: ((piece: string) => void) | null;
    stopped: AbortSignal;
  },
): Promise<Ran> {
  const { temperature, topP, seed, stop, messages, gone } = chat;
  const { model, settings } = parts;
  return await run({
    evaluate: evaluation(parts, request, text),
    work: (limit) =>
      model.chat({
        model: chat.model,
        messages,
        ...(temperature !== undefined && { temperature }),
        ...(topP !== undefined && { topP }),
        ...(seed !== undefined && { seed }),
        ...(stop !== undefined && { stop }),
        deadlineMs: settings.modelDeadlineMs,
        ...limit,
      }),
    ...(deliver && { deliver }),
    prompt: () => text,
  }, limitsOf(parts, request, { gone, stopped, triedAgain: false }));
}
