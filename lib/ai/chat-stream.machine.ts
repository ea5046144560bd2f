import { isErrorObject, isRecord, type SaidError, saidError } from "./openai-error.rules.ts";
import { createEventParser, type ServerSentEvent } from "./server-sent-events.machine.ts";

/** How an answer ended well, or `refused`: the provider's filter, or the model by a refusal, gave none. */
export type Finish = "stop" | "length" | "refused";

/** What a piece of an answer says. */
export type ChatStreamEvent =
  /** Text of the answer. */
  | { kind: "text"; text: string }
  /** Text that the model wrote and that is paid, but is not the answer: reasoning, refusals, arguments of tools. */
  | { kind: "hidden"; text: string }
  /** What the provider has counted up to here: totals of the call. */
  | { kind: "usage"; inputTokens: number; outputTokens: number }
  /** Nothing of the answer is missing. Only usage follows. */
  | { kind: "finished"; finish: Finish }
  /** The answer is not whole. Nothing follows. */
  | ({ kind: "broken" } & Broken);

/** Why an answer is not whole, if it was not simply cut. */
export type Broken = { why: "error"; said: SaidError } | { why: "not_a_chunk" | "finish_reason" };

interface ChatStream {
  /** @returns what these bytes have completed, in order. */
  push(bytes: Uint8Array): ChatStreamEvent[];
  /** The body is over, in order or not: an answer that has neither finished nor broken until then is cut. */
  end(): ChatStreamEvent[];
  /** True when no further byte can change anything. */
  readonly over: boolean;
}

/**
 * The finish reasons that end an answer. Beside OpenAI's: `eos_token` and `stop_sequence` (TGI), `eos` (Together),
 * `model_length` (Mistral). Any other is a broken answer: `abort` (vLLM), `error` (OpenRouter, Mistral),
 * `insufficient_system_resource` (DeepSeek) come with text that has no end.
 */
const FINISHES = new Map<unknown, Finish>([
  ["stop", "stop"],
  ["tool_calls", "stop"],
  ["function_call", "stop"],
  ["eos", "stop"],
  ["eos_token", "stop"],
  ["stop_sequence", "stop"],
  ["length", "length"],
  ["model_length", "length"],
  ["content_filter", "refused"],
]);

const KEEP_ALIVES = new Set<unknown>(["ping", "keepalive", "keep-alive", "heartbeat"]);

/**
 * Reads an answer of the chat completions protocol from the bytes of a body cut anywhere: server-sent events, or one
 * JSON document, whichever came. What is not part of an answer is never a success, and a finished answer stays
 * finished whatever follows.
 */
export function createChatStream(): ChatStream {
  const decoder = new TextDecoder(); // also drops a byte order mark
  const parser = createEventParser();
  let form: "unknown" | "events" | "json" = "unknown";
  /** Blanks before the first character that tells the form; then the pieces of the JSON document. */
  let held: string[] = [];
  let state: "open" | "finished" | "over" = "open";
  let isWritten = false;
  let isRefused = false;
  let isEnding = false;

  const broken = (about: Broken): ChatStreamEvent[] => {
    state = "over";
    return [{ kind: "broken", ...about }];
  };
  const brokenBy = (error: unknown) => broken({ why: "error", said: saidError(error) });
  const noChunk = () => broken({ why: "not_a_chunk" });

  function takeText(text: string): ChatStreamEvent[] {
    if (form === "unknown") {
      const first = /\S/.exec(text)?.[0];
      if (first !== undefined) form = first === "{" || first === "[" ? "json" : "events";
    }
    held.push(text);
    if (form !== "events") return [];
    const all = held.join("");
    held = [];
    return parser.push(all).flatMap(takeEvent);
  }

  function takeEvent({ name, data }: ServerSentEvent): ChatStreamEvent[] {
    if (state === "over") return [];
    const text = data.trim();
    if (text === "[DONE]") {
      state = "over";
      return [];
    }
    const value = parseJson(text);
    if (state === "finished") return isRecord(value) ? takeUsage(value) : [];
    if (name === "error") return brokenBy(value ?? text);
    if (text === "" || value === null || KEEP_ALIVES.has(name)) return [];
    return takeValue(value);
  }

  function takeValue(value: unknown): ChatStreamEvent[] {
    if (value === undefined && isEnding) return []; // a document that was cut
    if (Array.isArray(value) && value.some((one) => isRecord(one) && isErrorObject(one))) {
      return brokenBy(value);
    }
    if (!isRecord(value)) return noChunk();
    const groq = value["x_groq"];
    const failed = isErrorObject(value) ? value : isRecord(groq) && groq["error"] ? groq : undefined;
    if (failed) return [...takeUsage(value), ...brokenBy(failed)];
    const { choices, usage, type, object } = value;
    if (choices === undefined || choices === null) {
      const isNothing = Object.keys(value).length === 0 || KEEP_ALIVES.has(type);
      const isChunk = choices === null || usage !== undefined || object === "chat.completion.chunk";
      return isNothing ? [] : isChunk ? takeUsage(value) : noChunk();
    }
    if (!Array.isArray(choices)) return noChunk();
    // One answer is asked for: another index would be somebody else's.
    const choice = choices.find((one) => isRecord(one) && (one["index"] ?? 0) === 0);
    return isRecord(choice) ? takeChoice(choice, value) : takeUsage(value);
  }

  function takeChoice(choice: Record<string, unknown>, chunk: Record<string, unknown>): ChatStreamEvent[] {
    const { delta, message, text, finish_reason: reason } = choice;
    const written = writtenIn(delta ?? message ?? { content: text });
    if (!written) return noChunk();
    isWritten ||= written.pieces.length > 0;
    isRefused ||= written.isRefusal;
    const told = [...written.pieces, ...takeUsage(chunk)];
    if (reason === undefined || reason === null || reason === "") return told;
    const finish = FINISHES.get(reason);
    if (!finish) return [...told, ...broken({ why: "finish_reason" })];
    state = "finished";
    return [...told, { kind: "finished", finish: isRefused ? "refused" : finish }];
  }

  /** The usage that is believable: not one without input, nor one without output for a text that is there. */
  function takeUsage(chunk: Record<string, unknown>): ChatStreamEvent[] {
    const groq = chunk["x_groq"];
    const usage = chunk["usage"] ?? (isRecord(groq) ? groq["usage"] : undefined);
    if (!isRecord(usage)) return [];
    const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = usage;
    if (!isCount(inputTokens) || !isCount(outputTokens)) return [];
    if (inputTokens === 0 || (outputTokens === 0 && isWritten)) return [];
    return [{ kind: "usage", inputTokens, outputTokens }];
  }

  return {
    get over() {
      return state === "over";
    },
    push: (bytes) => takeText(decoder.decode(bytes, { stream: true })),
    end() {
      const last = takeText(decoder.decode());
      isEnding = true;
      if (form === "json") return [...last, ...takeValue(parseJson(held.join("")))];
      return [...last, ...parser.end().flatMap(takeEvent)];
    },
  };
}

/** What a delta or a message holds; null when its content has a shape whose text would be lost. */
function writtenIn(delta: unknown): { pieces: ChatStreamEvent[]; isRefusal: boolean } | null {
  if (!isRecord(delta)) return null;
  const content = readContent(delta["content"]);
  if (!content) return null;
  const { reasoning_content, reasoning, refusal, tool_calls, function_call } = delta;
  const isRefusal = typeof refusal === "string" && refusal !== "";
  const hidden = [
    // Servers that send both names send the same text in both.
    typeof reasoning_content === "string" && reasoning_content !== "" ? reasoning_content : reasoning,
    content.hidden,
    refusal,
    ...[function_call, ...Array.isArray(tool_calls) ? tool_calls : []].map(argumentsOf),
  ].filter((text) => typeof text === "string").join("");
  const pieces: ChatStreamEvent[] = [];
  if (hidden !== "") pieces.push({ kind: "hidden", text: hidden });
  if (content.text !== "") pieces.push({ kind: "text", text: content.text });
  return { pieces, isRefusal };
}

/** Text in a string or in a list of parts; a part that thinks (Mistral's `thinking`) is not the answer. */
function readContent(content: unknown): { text: string; hidden: string } | null {
  if (content === undefined || content === null) return { text: "", hidden: "" };
  if (typeof content === "string") return { text: content, hidden: "" };
  if (!Array.isArray(content) || !content.every((part) => typeof part === "string" || isRecord(part))) return null;
  const thoughts = content.flatMap((part) => isRecord(part) ? part["thinking"] ?? [] : []);
  return { text: textOf(content), hidden: textOf(thoughts) };
}

function textOf(parts: readonly unknown[]): string {
  return parts.map((part) => isRecord(part) ? part["text"] : part).filter((text) => typeof text === "string").join("");
}

function argumentsOf(call: unknown): unknown {
  if (!isRecord(call)) return undefined;
  return isRecord(call["function"]) ? call["function"]["arguments"] : call["arguments"];
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
