import { z } from "zod";
import { ModelError, type Usage, type WorkResult } from "./port.ts";

/** The stop reasons that end an answer; `refusal` is a failure of its own, and any other reason is a broken answer. */
export const FINISHES = new Map<string, WorkResult["finish"]>([
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["tool_use", "stop"],
  ["pause_turn", "stop"],
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
]);

const usageShape = z.object({
  input_tokens: z.int().nonnegative(),
  output_tokens: z.int().nonnegative(),
  cache_creation_input_tokens: z.int().nonnegative().nullish(),
  cache_read_input_tokens: z.int().nonnegative().nullish(),
});

/** The name of an event, or of the delta that it brings. */
const namedShape = z.union([
  z.object({ type: z.literal("content_block_delta"), delta: z.object({ type: z.string() }) })
    .transform(({ delta }) => delta.type),
  z.object({ type: z.string() }).transform(({ type }) => type),
]);

/** The events and deltas that say something here. Others (pings, block starts, signatures) are skipped. */
const TOLD: ReadonlySet<string> = new Set([
  ...["message_start", "message_delta", "message_stop", "content_block_delta"],
  ...["text_delta", "thinking_delta", "input_json_delta"],
]);

const eventShape = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("message_start"),
    message: z.object({ usage: usageShape.partial().nullish().catch(null) }),
  }),
  z.object({
    type: z.literal("content_block_delta"),
    delta: z.discriminatedUnion("type", [
      z.object({ type: z.literal("text_delta"), text: z.string() }),
      z.object({ type: z.literal("thinking_delta"), thinking: z.string() }),
      z.object({ type: z.literal("input_json_delta"), partial_json: z.string() }),
    ]),
  }),
  z.object({
    type: z.literal("message_delta"),
    delta: z.object({ stop_reason: z.string().nullish() }),
    usage: usageShape.partial().extend({ input_tokens: z.int().nonnegative().nullish() }).nullish().catch(null),
  }),
  z.object({ type: z.literal("message_stop") }),
]);

/**
 * An event of a stream; null for one that says nothing here.
 * @throws {ModelError} `broken`, for one that should say something and cannot be read: its text would be lost.
 */
export function readEvent(unread: unknown): z.infer<typeof eventShape> | null {
  const named = namedShape.safeParse(unread);
  if (named.success && !TOLD.has(named.data)) return null;
  const event = eventShape.safeParse(unread);
  if (event.success) return event.data;
  throw new ModelError("the model provider sent an event that is not one of the Messages API", { kind: "broken" });
}

/** Undefined when it is not a usage, or counts no input, which cannot be. */
export function usageOf(value: unknown): Usage | undefined {
  const parsed = usageShape.safeParse(value);
  if (!parsed.success) return undefined;
  const inputTokens = inputOf(parsed.data);
  return inputTokens === 0 ? undefined : { inputTokens, outputTokens: parsed.data.output_tokens, source: "api" };
}

/** What an event of a stream has counted. */
export function countOf(usage: Parameters<typeof inputOf>[0] & { output_tokens?: number | undefined }) {
  return {
    inputTokens: inputOf(usage),
    ...(usage.output_tokens === undefined ? {} : { outputTokens: usage.output_tokens }),
  };
}

/** All input tokens of a usage: what was written to or read from the provider's cache is input too. */
function inputOf(usage: {
  input_tokens?: number | null | undefined;
  cache_creation_input_tokens?: number | null | undefined;
  cache_read_input_tokens?: number | null | undefined;
}): number {
  return (usage.input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0) + (usage.cache_read_input_tokens ?? 0);
}
