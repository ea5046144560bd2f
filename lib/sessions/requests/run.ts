/** What is done for a request between its hold and its settlement: the evaluation and the work. Writes nothing. */
import { ModelError, type Usage, type WorkResult } from "@/lib/ai/port.ts";
import { EVALUATION_TOOL_PROMPT } from "@/lib/ai/prompts.ts";
import { estimatedUsage } from "@/lib/ai/usage.ts";
import type { Services } from "@/lib/services.ts";
import { outputLimit, type RequestEnd, type SessionRequest } from "@/lib/sessions/requests.machine.ts";
import { type Chat, type Chats, textOf } from "./ask.ts";
import { type Ended, MAX_TEXT } from "./end.ts";

export interface Work {
  /** Answers a request. @throws whatever the queue may try again */
  answered(request: SessionRequest, stopped: AbortSignal): Promise<Ended>;
  /** It is not tried again. */
  forget(id: string): void;
}

/** @param chats what callers wait for; each is taken out once it was tried. */
export function createWork({ model, settings }: Pick<Services, "model" | "settings">, chats: Chats): Work {
  /** Verdicts of requests whose work is tried again: what was bought is not bought twice. */
  const verdicts = new Map<string, { usage: Usage }>();

  async function answered(request: SessionRequest, stopped: AbortSignal): Promise<Ended> {
    if (request.mode === "request") return await answer(request, stopped);
    const chat = chats.get(request.id);
    if (!chat) {
      const errorMessage = "Timmy was restarted while this was answered. Nothing was charged; ask again.";
      return { end: { state: "failed", errorMessage, causedByRequest: false } };
    }
    try {
      return await converse(request, chat, AbortSignal.any([stopped, chat.gone]));
    } finally {
      chats.delete(request.id);
    }
  }

  /** A `request`: whatever the model throws is the queue's to try again. */
  async function answer(request: SessionRequest, signal: AbortSignal): Promise<Ended> {
    const text = request.text as string;
    let evalUsage = verdicts.get(request.id)?.usage ?? null;
    if (!evalUsage) {
      const verdict = await evaluate(request, text, signal);
      evalUsage = verdict.usage;
      if (!verdict.accepted) return { end: { state: "rejected", evalUsage, reason: verdict.reason } };
      verdicts.set(request.id, { usage: evalUsage });
    }
    const maxOutputTokens = outputLimit(request, evalUsage, settings.minOutputTokens);
    const deadlineMs = settings.modelDeadlineMs;
    const work = await model.work({ model: request.model, request: text, maxOutputTokens, signal, deadlineMs });
    return completed(work, evalUsage);
  }

  /** A chat: tried once, and what was delivered before it broke is paid. */
  async function converse(request: SessionRequest, chat: Chat, signal: AbortSignal): Promise<Ended> {
    let evalUsage: Usage | null = null;
    let told = "";
    let working = false;
    let judging = false;
    try {
      if (request.evalModel !== null) {
        judging = !signal.aborted;
        const verdict = await evaluate(request, textOf(chat), signal);
        evalUsage = verdict.usage;
        judging = false;
        if (!verdict.accepted) return { end: { state: "rejected", evalUsage, reason: verdict.reason } };
      }
      const { onText } = chat;
      const excess = new AbortController();
      working = true;
      const work = await model.chat({
        model: chat.model,
        messages: chat.messages,
        ...(chat.temperature !== undefined && { temperature: chat.temperature }),
        ...(chat.stop !== undefined && { stop: chat.stop }),
        maxOutputTokens: outputLimit(request, evalUsage, settings.minOutputTokens),
        signal: AbortSignal.any([signal, excess.signal]),
        deadlineMs: settings.modelDeadlineMs,
        ...(onText && {
          onText: (piece: string) => {
            // A provider that ignores its limit must fill neither our memory nor a stream that nobody reads.
            if (told.length + piece.length > MAX_TEXT) return excess.abort();
            told += piece;
            onText(piece);
          },
        }),
      });
      return completed(work, evalUsage);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      // Left while it was judged: that call was made, and its input is paid. Nobody gets evaluations for hanging up.
      if (judging && chat.gone.aborted) {
        evalUsage = error.usage ?? estimatedUsage(EVALUATION_TOOL_PROMPT + textOf(chat), "");
      }
      return broken(error, { told, working, evalUsage, chat });
    }
  }

  function broken(
    error: ModelError,
    { told, working, evalUsage, chat }: { told: string; working: boolean; evalUsage: Usage | null; chat: Chat },
  ): Ended {
    const gone = chat.gone.aborted;
    const usage = working ? error.usage ?? estimatedUsage(textOf(chat), told) : null;
    const errorMessage = gone
      ? "The caller went away. What was written until then is paid."
      : `The answer broke off: ${error.message}.`;
    // The provider's failure before the first word is not the payer's; a caller who leaves pays for what was begun.
    if (told === "" && !gone) return { end: failure(error) };
    return { end: { state: "interrupted", evalUsage, usage, errorMessage }, text: told };
  }

  async function evaluate(request: SessionRequest, text: string, signal: AbortSignal) {
    const evalModel = request.evalModel as string;
    return await model.evaluate({ model: evalModel, request: text, signal, deadlineMs: settings.modelDeadlineMs });
  }

  return { answered, forget: (id) => void verdicts.delete(id) };
}

const completed = ({ text, usage, finish }: WorkResult, evalUsage: Usage | null): Ended => ({
  end: { state: "complete", usage, evalUsage, finish },
  text,
});

/** What the payer reads: that it failed and cost nothing, nothing of the backend's inside. */
export function failure(cause: unknown): Extract<RequestEnd, { state: "failed" }> {
  const known = cause instanceof ModelError ? cause : null;
  const why = known?.message ?? "a backend did not answer";
  const errorMessage = `The request failed: ${why}. Nothing was charged.`;
  return { state: "failed", errorMessage, causedByRequest: known?.causedByRequest ?? false };
}
