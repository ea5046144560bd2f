/** What is done for a request between its reservation and its close: the evaluation and the work. Writes nothing. */
import type { Usage } from "@/lib/ai/port.ts";
import { EVALUATION_TOOL_PROMPT } from "@/lib/ai/prompts.ts";
import { failedBy, type Ran, run, type RunLimits } from "@/lib/metering/run.ts";
import type { Services } from "@/lib/services.ts";
import type { SessionRequest } from "../requests.machine.ts";
import { type Chat, type Chats, textOf } from "./ask.ts";

export interface RequestWork {
  /** Answers a request. @throws whatever the queue may try again */
  answered(request: SessionRequest, stopped: AbortSignal): Promise<Ran>;
  /** It is not tried again. */
  forget(id: string): void;
}

/** @param chats what callers wait for; each is taken out once it was tried. */
export function createRequestWork(
  { model, settings }: Pick<Services, "model" | "settings">,
  chats: Chats,
): RequestWork {
  /** What evaluations took whose work is tried again: what was bought is not bought twice. */
  const evaluated = new Map<string, Usage>();
  const { modelDeadlineMs: deadlineMs, minOutputTokens } = settings;
  const NEVER = new AbortController().signal;

  const limitsOf = (request: SessionRequest, rest: Pick<RunLimits, "gone" | "stopped" | "triedAgain">): RunLimits => ({
    quote: request.quote,
    fundsSats: request.reservedSats + request.grantedSats,
    minOutputTokens,
    ...rest,
  });

  const evaluation = ({ id, evalModel }: SessionRequest, text: string) =>
    evalModel === null ? null : async (signal: AbortSignal) => {
      const verdict = await model.evaluate({ model: evalModel, request: text, signal, deadlineMs });
      if (verdict.accepted) evaluated.set(id, verdict.usage);
      return verdict;
    };

  async function answered(request: SessionRequest, stopped: AbortSignal): Promise<Ran> {
    if (request.mode === "request") return await answer(request, stopped);
    const chat = chats.get(request.id);
    if (!chat) return { outcome: RESTARTED, text: "" };
    try {
      return await converse(request, chat, stopped);
    } finally {
      chats.delete(request.id);
    }
  }

  /** A `request`: whatever the model throws in passing is the queue's to try again. */
  async function answer(request: SessionRequest, stopped: AbortSignal): Promise<Ran> {
    const text = request.text as string;
    return await run({
      evaluate: evaluation(request, text),
      evaluated: evaluated.get(request.id) ?? null,
      work: (limit) => model.work({ model: request.model, request: text, deadlineMs, ...limit }),
      prompt: () => text,
    }, limitsOf(request, { gone: NEVER, stopped, triedAgain: true }));
  }

  /** A chat: tried once, and what was delivered before it broke is charged. */
  async function converse(request: SessionRequest, chat: Chat, stopped: AbortSignal): Promise<Ran> {
    const { temperature, stop, messages, onText } = chat;
    const text = textOf(chat);
    return await run({
      evaluate: evaluation(request, text),
      work: (limit) =>
        model.chat({
          model: chat.model,
          messages,
          ...(temperature !== undefined && { temperature }),
          ...(stop !== undefined && { stop }),
          deadlineMs,
          ...limit,
        }),
      ...(onText && { deliver: onText }),
      prompt: () => EVALUATION_TOOL_PROMPT + text,
    }, limitsOf(request, { gone: chat.gone, stopped, triedAgain: false }));
  }

  return { answered, forget: (id) => void evaluated.delete(id) };
}

const RESTARTED: Ran["outcome"] = {
  ...failedBy(null),
  end: "failed",
  by: "us",
  errorMessage: "Timmy was restarted while this was answered. Nothing was charged; ask again.",
};
