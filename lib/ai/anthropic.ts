import Anthropic from "@anthropic-ai/sdk";
import { z } from "zod";
import type { Clock } from "@/lib/clock.ts";
import { type Attempt, attempt, textListener } from "./attempt.ts";
import { boundBody } from "./bounded-body.ts";
import { countOf, FINISHES, readEvent, usageOf } from "./anthropic-answer.ts";
import { type AnthropicConversation, refusedChoice, toAnthropicConversation } from "./anthropic-conversation.ts";
import { type ChatInput, type EvaluateInput, type Model, ModelError, type WorkInput, type WorkResult } from "./port.ts";
import {
  encodeRequest,
  EVALUATION_TOOL_PROMPT,
  VERDICT_TOOL,
  VERDICT_TOOL_DEFINITION,
  WORK_PROMPT,
} from "./prompts.ts";
import { providerError, refusedByProvider, withText } from "./provider-error.ts";
import { createUsageMeter, estimatedUsage } from "./usage.ts";
import { EVALUATION_MAX_OUTPUT_TOKENS, parseVerdict } from "./verdict.ts";

export interface AnthropicModelOptions {
  apiKey: string;
  /** Without the `/v1`; Anthropic's own when left out. */
  baseURL?: string | undefined;
  clock: Clock;
  /** For tests and proxies; the platform's when left out. */
  fetch?: typeof fetch;
  /** Most bytes of one answer, stream included. A streamed token takes some 150 bytes. */
  maxBodyBytes?: number;
}

const PROVIDER = "the model provider";
const DEFAULT_BASE_URL = "https://api.anthropic.com";
const DEFAULT_MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The SDK's own time limit runs on the machine's clock; it only backs up ours, so it comes this much later. */
const SDK_TIMEOUT_MARGIN_MS = 5_000;
const SDK_TIMEOUT_MAX_MS = 2_147_483_647; // the longest a timer can be set to

const answerShape = z.object({
  content: z.array(z.object({ type: z.string(), name: z.unknown().optional(), input: z.unknown().optional() })),
  stop_reason: z.string().nullish(),
  usage: z.unknown().optional(),
});

const errorBodyShape = z.object({
  error: z.object({ type: z.string().nullish(), message: z.string().nullish() }),
});

/**
 * The Messages API through Anthropic's SDK, one attempt per call: the task owns the retries. The verdict is the input
 * of one forced tool call and nothing else; the work is streamed. Environment variables play no part, except
 * `ANTHROPIC_CUSTOM_HEADERS`, which the SDK reads whatever it is given.
 */
export function createAnthropicModel(options: AnthropicModelOptions): Model {
  const { apiKey, clock } = options;
  if (apiKey.trim() === "") throw new Error("the Anthropic API key is empty: set it, or leave it out to run simulated");
  const call = options.fetch ?? fetch;
  const maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
  // Everything is passed, null and false too: what is left undefined, the SDK looks for in the environment.
  const client = new Anthropic({
    apiKey,
    authToken: null,
    webhookKey: null,
    baseURL: options.baseURL ?? DEFAULT_BASE_URL,
    maxRetries: 0,
    logLevel: "off",
    openTelemetry: false,
    // A redirect would carry the key and the prompt to an address nobody configured.
    fetch: async (url, { method = "POST", headers, body, signal } = {}) => {
      // Field by field: the SDK's own types of these differ from those of some Deno versions.
      if (typeof body !== "string" || !(headers instanceof Headers) || !signal) {
        throw new TypeError("the SDK called fetch in a way this adapter does not know");
      }
      return boundBody(await call(url, { method, headers, body, signal, redirect: "manual" }), maxBodyBytes, signal);
    },
  });

  const requestOptions = (signal: AbortSignal, deadlineMs: number) => ({
    signal,
    timeout: Math.min(Math.max(0, deadlineMs) + SDK_TIMEOUT_MARGIN_MS, SDK_TIMEOUT_MAX_MS),
  });

  /** Streams one answer, and tells each piece as it comes. */
  async function answer(
    current: Attempt,
    input: Omit<ChatInput, "messages">,
    conversation: AnthropicConversation,
  ): Promise<WorkResult> {
    const tell = textListener(input.onText, current.signal);
    const meter = createUsageMeter(() =>
      [conversation.system ?? "", ...conversation.messages.map(({ content }) => content)].join("")
    );
    current.usage = meter.soFar;
    let stopReason: string | undefined;
    let isOver = false;

    await orProviderError(clock, current, async () => {
      const stream = await client.messages.create({
        model: input.model,
        max_tokens: input.maxOutputTokens,
        ...conversation,
        stream: true,
      }, requestOptions(current.signal, input.deadlineMs));
      for await (const unread of stream) {
        const event = readEvent(unread);
        if (!event) continue;
        if (event.type === "message_start") meter.count(countOf(event.message.usage ?? {}));
        else if (event.type === "content_block_delta") {
          const { delta } = event;
          if (delta.type === "text_delta") {
            meter.add(delta.text);
            tell(delta.text);
          } else meter.addHidden(delta.type === "thinking_delta" ? delta.thinking : delta.partial_json);
        } else if (event.type === "message_delta") {
          stopReason ??= event.delta.stop_reason ?? undefined;
          meter.count(countOf(event.usage ?? {})); // some proxies tell the input only here
        } else {
          isOver = true;
          break; // what follows is no part of the answer
        }
      }
    }, (message) => refusedChoice(conversation, message));

    if (stopReason === "refusal") throw refusedByProvider(PROVIDER, meter.total());
    const finish = isOver && stopReason !== undefined ? FINISHES.get(stopReason) : undefined;
    if (finish) return { text: meter.text, usage: meter.total(), finish };
    const what = isOver && stopReason !== undefined
      ? "ended for a reason that is no natural end"
      : "ended before the answer did";
    throw new ModelError(`the stream of ${PROVIDER} ${what}`, { kind: "broken", usage: meter.soFar() });
  }

  return {
    name: "anthropic",
    simulated: false,
    can: () => false, // the API knows no seed, and some of its models no top_p

    evaluate(input: EvaluateInput) {
      return attempt(clock, PROVIDER, input, async (current) => {
        const answer = await orProviderError(
          clock,
          current,
          () =>
            client.messages.create({
              model: input.model,
              max_tokens: EVALUATION_MAX_OUTPUT_TOKENS,
              system: EVALUATION_TOOL_PROMPT,
              messages: [{ role: "user", content: encodeRequest(input.request) }],
              tools: [VERDICT_TOOL_DEFINITION],
              tool_choice: { type: "tool", name: VERDICT_TOOL, disable_parallel_tool_use: true },
            }, requestOptions(current.signal, input.deadlineMs)),
        );
        const parsed = answerShape.safeParse(answer);
        if (!parsed.success) {
          throw new ModelError(`${PROVIDER} sent an answer that is not a message of the Messages API`, {
            kind: "broken",
          });
        }
        const { content, stop_reason } = parsed.data;
        const calls = content.filter((block) => block.type === "tool_use");
        const usage = usageOf(parsed.data.usage) ??
          estimatedUsage(
            EVALUATION_TOOL_PROMPT + JSON.stringify(VERDICT_TOOL_DEFINITION) + input.request,
            JSON.stringify(content),
          );
        current.usage = () => usage;
        if (stop_reason === "refusal") throw refusedByProvider(PROVIDER, usage);
        const [only] = calls;
        const verdict = calls.length === 1 && only?.name === VERDICT_TOOL ? parseVerdict(only.input) : null;
        if (!verdict) {
          throw new ModelError(`${PROVIDER} gave no verdict: its answer holds no single, well-formed tool call`, {
            kind: "broken",
            usage,
          });
        }
        return { ...verdict, usage };
      });
    },

    work(input: WorkInput) {
      const conversation: AnthropicConversation = {
        system: WORK_PROMPT,
        messages: [{ role: "user", content: input.request }],
      };
      return attempt(
        clock,
        PROVIDER,
        input,
        async (current) => withText(PROVIDER, await answer(current, input, conversation)),
      );
    },

    chat(input: ChatInput) {
      return attempt(
        clock,
        PROVIDER,
        input,
        // async: what cannot be translated must reject, not throw
        // deno-lint-ignore require-await
        async (current) => answer(current, input, toAnthropicConversation(input)),
      );
    },
  };
}

/**
 * Runs a call of the SDK; what it throws becomes a ModelError that quotes nothing of it.
 * @param explain the error for a 400 with this message, where more is known about it.
 */
async function orProviderError<T>(
  clock: Clock,
  current: Attempt,
  run: () => Promise<T>,
  explain: (message: string) => ModelError | null = () => null,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Anthropic.APIError)) {
      const why = error instanceof Error ? error.name : "not an Error";
      const message = error instanceof ModelError
        ? error.message
        : `the answer of ${PROVIDER} broke off or cannot be read (${why})`;
      throw new ModelError(message, { kind: "broken", usage: current.usage() });
    }
    const body = errorBodyShape.safeParse(error.error);
    const said = body.success ? body.data.error : undefined;
    if (error.status === undefined && said === undefined) {
      throw new ModelError(`${PROVIDER} could not be reached, or the connection broke`, {
        kind: "broken",
        usage: current.usage(),
      });
    }
    const explained = error.status === 400 ? explain(said?.message ?? "") : null;
    if (explained) throw explained;
    throw providerError({
      provider: PROVIDER,
      status: error.status,
      types: said?.type ? [said.type] : [],
      message: said?.message ?? "",
      headers: error.headers,
      nowMs: clock.now(),
      usage: current.usage(),
    });
  }
}
