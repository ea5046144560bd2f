import type { ChatMessage } from "@/lib/ai/port.ts";
import { badRequest } from "@/lib/http/errors.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { CompletionBody, TimmyBody } from "./chat.routes.ts";

const ROLES: Readonly<Record<string, ChatMessage["role"]>> = {
  system: "system",
  developer: "system", // the newer name
  user: "user",
  assistant: "assistant",
};

const PARTS_REFUSED = 'is supported only as "text": images, audio and files are not understood here; remove the part';
const TOOLS_REFUSED = "is not supported: tools and functions are not called here; leave it out";

/** The messages of a body, text only. @throws {ApiError} 400 that names the first thing that cannot be honoured. */
export function readMessages(messages: readonly unknown[]): ChatMessage[] {
  return messages.map((message, i) => readMessage(message, `messages[${i}]`));
}

function readMessage(message: unknown, field: string): ChatMessage {
  if (!isObject(message)) throw wrong(field, "must be an object with role and content");
  const { role, content, name, tool_calls, function_call, refusal, ...rest } = message;
  if (role === "tool" || role === "function") throw wrong(`${field}.role`, TOOLS_REFUSED);
  if (typeof role !== "string" || !Object.hasOwn(ROLES, role)) {
    throw wrong(`${field}.role`, "must be one of: system, developer, user, assistant");
  }
  if (tool_calls !== undefined && tool_calls !== null) throw wrong(`${field}.tool_calls`, TOOLS_REFUSED);
  if (function_call !== undefined && function_call !== null) throw wrong(`${field}.function_call`, TOOLS_REFUSED);
  if (name !== undefined && name !== null) throw wrong(`${field}.name`, "is not supported; leave it out");
  // What we answered with `refusal: null` may come back as it was.
  if (refusal !== undefined && refusal !== null) throw wrong(`${field}.refusal`, "is not supported; leave it out");
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw wrong(`${field}.${unknown.slice(0, 64)}`, "is not a field of a message; remove it");
  return { role: ROLES[role] as ChatMessage["role"], text: readContent(content, `${field}.content`) };
}

function readContent(content: unknown, field: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content) || content.length === 0) throw wrong(field, "must be a text or a list of text parts");
  return content.map((part, i) => {
    const at = `${field}[${i}]`;
    if (!isObject(part)) throw wrong(at, "must be an object with type and text");
    if (part.type !== "text") throw wrong(`${at}.type`, PARTS_REFUSED);
    if (typeof part.text !== "string") throw wrong(`${at}.text`, "must be a text");
    const unknown = Object.keys(part).find((key) => key !== "type" && key !== "text");
    if (unknown !== undefined) throw wrong(`${at}.${unknown.slice(0, 64)}`, "is not a field of a text part; remove it");
    return part.text;
  }).join("");
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const wrong = (field: string, problem: string) =>
  badRequest("validation_failed", `The request is not valid: ${field} ${problem}.`, { fields: [{ field, problem }] });

/** The account of a request that has ended. */
export function timmyBody(request: SessionRequest, simulated: readonly string[]): TimmyBody {
  return {
    requestId: request.id,
    state: request.state,
    debitedSats: request.chargeSats,
    balanceSats: request.balanceSats ?? 0,
    evaluation: request.evalModel === null ? "off" : "on",
    ...(request.evalUsage && { evaluationUsage: request.evalUsage }),
    ...(request.usage && { usageSource: request.usage.source }),
    ...(request.freeTier && { freeTier: request.freeTier, absorbedSats: request.subsidySats }),
    stubMode: simulated.length > 0,
    simulated: [...simulated],
  };
}

/** `refusal` in place of content when the evaluator refused. */
export const finishReason = (request: SessionRequest): "stop" | "length" | "content_filter" =>
  request.state === "rejected"
    ? "content_filter"
    : request.state === "interrupted"
    ? "length"
    : request.finish ?? "stop";

export const usageBody = ({ usage }: SessionRequest) => ({
  prompt_tokens: usage?.inputTokens ?? 0,
  completion_tokens: usage?.outputTokens ?? 0,
  total_tokens: (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0),
});

/** What is the same in a completion and in every chunk of its stream. */
export const headOf = <O extends string>(request: SessionRequest, object: O) => ({
  id: `chatcmpl-${request.id}`,
  object,
  created: Math.floor(request.at / 1_000),
  model: request.model,
});

/** A whole completion. @param text what was written; null: nothing */
export function completionBody(
  request: SessionRequest,
  text: string | null,
  simulated: readonly string[],
): CompletionBody {
  return {
    ...headOf(request, "chat.completion" as const),
    choices: [{
      index: 0,
      message: {
        role: "assistant",
        content: request.state === "rejected" ? null : text ?? "",
        refusal: request.state === "rejected" ? request.reason : null,
      },
      logprobs: null,
      finish_reason: finishReason(request),
    }],
    usage: usageBody(request),
    timmy: timmyBody(request, simulated),
  };
}
