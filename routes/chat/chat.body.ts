import type { ChatMessage } from "@/lib/ai/port.ts";
import { badRequest, printable } from "@/lib/http/errors.ts";
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
const MUST_BE_TEXT = "must be a text or a list of text parts";

/** The messages of a body, text only. @throws {ApiError} 400 that names the first thing that cannot be honoured. */
export function readMessages(messages: readonly unknown[]): ChatMessage[] {
  return messages.map((message, i) => readMessage(message, `messages[${i}]`));
}

/** `null` is unset, whatever the field: so clients write what they have not. A `name` changes nothing and is taken. */
function readMessage(message: unknown, field: string): ChatMessage {
  if (!isObject(message)) throw wrongField(field, "must be an object with role and content");
  const { role, content, name, tool_calls, function_call, audio, refusal, ...rest } = message;
  if (role === "tool" || role === "function") throw wrongField(`${field}.role`, TOOLS_REFUSED);
  if (typeof role !== "string" || !Object.hasOwn(ROLES, role)) {
    throw wrongField(`${field}.role`, "must be one of: system, developer, user, assistant");
  }
  if (!isUnset(tool_calls) && !isEmptyList(tool_calls)) throw wrongField(`${field}.tool_calls`, TOOLS_REFUSED);
  if (!isUnset(function_call)) throw wrongField(`${field}.function_call`, TOOLS_REFUSED);
  if (!isUnset(audio)) {
    throw wrongField(`${field}.audio`, "is not supported: audio is not understood here; leave it out");
  }
  if (!isUnset(name) && typeof name !== "string") throw wrongField(`${field}.name`, "must be a text");
  if (role === "assistant") return { role, text: readAnswer(content, refusal, field) };
  const unknown = Object.entries({ refusal, ...rest }).find(([, value]) => !isUnset(value))?.[0];
  if (unknown !== undefined) {
    throw wrongField(`${field}.${printable(unknown)}`, "is not a field of a message; remove it");
  }
  return { role: ROLES[role] as ChatMessage["role"], text: readContent(content, `${field}.content`) };
}

/**
 * An answer, ours or another server's, as a client keeps it: a refusal stands in place of its text or beside it, and both may be
 * missing. Fields that some server or client added (`annotations`, `parsed`, `reasoning_content`, …) are no part of what is asked.
 */
function readAnswer(content: unknown, refusal: unknown, field: string): string {
  const text = isUnset(content) || isEmptyList(content) ? "" : readContent(content, `${field}.content`, true);
  if (isUnset(refusal)) return text;
  if (typeof refusal !== "string") throw wrongField(`${field}.refusal`, "must be a text");
  return [text, refusal].filter((said) => said !== "").join("\n\n");
}

/** @param answered an assistant's, which may hold refusals and fields of its parts that are not ours */
function readContent(content: unknown, field: string, answered = false): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content) || content.length === 0) throw wrongField(field, MUST_BE_TEXT);
  return content.map((part, i) => {
    const at = `${field}[${i}]`;
    if (!isObject(part)) throw wrongField(at, "must be an object with type and text");
    const { type, ...rest } = part;
    const key = answered && type === "refusal" ? "refusal" : "text";
    if (type !== key) throw wrongField(`${at}.type`, PARTS_REFUSED);
    const text = part[key];
    if (typeof text !== "string") throw wrongField(`${at}.${key}`, "must be a text");
    const unknown = answered ? undefined : Object.keys(rest).find((name) => name !== "text" && !isUnset(rest[name]));
    if (unknown !== undefined) {
      throw wrongField(`${at}.${printable(unknown)}`, "is not a field of a text part; remove it");
    }
    return text;
  }).join("");
}

export const isUnset = (value: unknown): value is null | undefined => value === undefined || value === null;
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A 400 that names one field. */
export const wrongField = (field: string, problem: string) =>
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
