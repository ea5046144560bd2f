import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import {
  body,
  freeTierDecision,
  idempotencyKey,
  json,
  onlyFields,
  PAID as security,
  simulation,
} from "@/lib/http/schemas.ts";

const tags = ["openai"];

/** Longest conversation (messages); its length in characters is bounded by the body's. */
export const MAX_MESSAGES = 2_000;

/** Longest answer (tokens): who asks for more gets as much. */
export const MAX_OUTPUT_TOKENS = 8_192;

type Json = string | number | boolean | readonly string[];

/**
 * A parameter that would change the answer and is taken only with values that change nothing: any other could not be honoured
 * (docs/spec/wire.md §4). In the document these are types and words, not enums with null, on which generators of clients fail.
 */
const only = (...values: [Json, ...Json[]]) => {
  const [first] = values;
  const said = values.map((value) => JSON.stringify(value)).join(" or ");
  const type = Array.isArray(first) ? "array" : typeof first as "string" | "number" | "boolean";
  return z.unknown().refine(
    (value) => [...values, null].some((one) => JSON.stringify(one) === JSON.stringify(value ?? null)),
    { error: `is supported only as ${said}; leave it out` },
  ).optional().openapi({
    type: [type, "null"],
    ...(type === "array" && { items: { type: "string" } }),
    description: `Supported only as ${said}; leave it out`,
  });
};
/** A parameter for something that no model here can do: null, as clients write it for "unset", and nothing else. */
const unset = (why: string) =>
  z.null({ error: `is not supported: ${why}; leave it out` }).optional().openapi({
    type: "null",
    description: `Not supported: ${why}; leave it out`,
  });
/** Tools, in either generation of the protocol: none at all. */
const noTools = z.array(z.unknown()).max(0, {
  error: "is not supported: tools and functions are not called here; leave it out",
})
  .nullish().openapi({ description: "Supported only as []: tools are not called here" });
const optional = <S extends z.ZodType>(schema: S) => schema.nullish();
/** A parameter that changes nothing of what is promised: taken, and neither kept, logged nor passed on. */
const ignored = <S extends z.ZodType>(schema: S) => schema.nullish().openapi({ description: "Taken; changes nothing" });

const messageSchema = z.unknown().openapi({
  type: "object",
  required: ["role"],
  properties: {
    role: { type: "string", enum: ["system", "developer", "user", "assistant"] },
    content: {
      oneOf: [
        { type: "string" },
        {
          type: "array",
          items: {
            type: "object",
            required: ["type", "text"],
            properties: { type: { type: "string", enum: ["text"] }, text: { type: "string" } },
          },
        },
        { type: "null" },
      ],
    },
    name: { type: ["string", "null"], description: "Taken; changes nothing" },
    refusal: { type: ["string", "null"], description: "An assistant's, in place of its content or beside it" },
  },
  description:
    "Text only: images, audio, files and tool calls are refused. A message of the assistant's is taken as it was answered, " +
    "with `refusal` in place of content and with whatever other fields a client kept.",
});

/** Which parameters are taken, passed on or refused: docs/spec/wire.md §4. */
const completionRequest = onlyFields({
  model: z.string().min(1).max(200).openapi({
    description: "One of `GET /api/v1/models`",
    example: "claude-sonnet-4-6",
  }),
  messages: z.array(messageSchema).min(1).max(MAX_MESSAGES),
  max_tokens: optional(z.int().min(1)).openapi({
    description:
      `Most output tokens; they are held for. More than ${MAX_OUTPUT_TOKENS}, or than the balance pays for, is ` +
      "lowered to that, and `X-Timmy-Max-Tokens` says so",
  }),
  max_completion_tokens: optional(z.int().min(1)).openapi({ description: "The newer name of `max_tokens`" }),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)).openapi({
    description: "Passed on to models that take it; refused for others, unless it is 1",
  }),
  seed: optional(z.int()).openapi({ description: "Passed on to models that take it; refused for others" }),
  stop: optional(z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)])),
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()) })).openapi({
    description: "Changes nothing without `stream`",
  }),

  user: ignored(z.string()),
  metadata: ignored(z.record(z.string(), z.unknown())),
  store: ignored(z.boolean()),
  safety_identifier: ignored(z.string()),
  prompt_cache_key: ignored(z.string()),
  service_tier: only("auto", "default"),

  n: only(1),
  presence_penalty: only(0),
  frequency_penalty: only(0),
  logprobs: only(false),
  top_logprobs: only(0),
  logit_bias: optional(
    z.record(z.string(), z.unknown()).refine((bias) => Object.keys(bias).length === 0, {
      error: "is supported only as {}; leave it out",
    }),
  ).openapi({ description: "Supported only as {}; leave it out" }),
  response_format: optional(
    z.strictObject({ type: z.literal("text", { error: 'is supported only as "text"; leave it out' }) }),
  ),
  modalities: only(["text"]),
  tools: noTools,
  functions: noTools,
  tool_choice: only("none", "auto"),
  function_call: only("none", "auto"),
  parallel_tool_calls: only(true),
  reasoning_effort: unset("no model here is told how long to think"),
  verbosity: unset("no model here is told how much to write; say it in a message, or set max_tokens"),
  audio: unset("answers are text"),
  prediction: unset("answers are written from the start"),
  web_search_options: unset("nothing is searched"),
}).openapi("ChatCompletionRequest");

const timmySchema = z.object({
  requestId: z.string(),
  state: z.string(),
  debitedSats: z.int().openapi({ description: "What it cost, its evaluation included" }),
  balanceSats: z.int(),
  evaluation: z.enum(["on", "off"]).openapi({ description: "Whether it was evaluated first, at the session's cost" }),
  evaluationUsage: z.object({ inputTokens: z.int(), outputTokens: z.int(), source: z.enum(["api", "estimated"]) })
    .optional(),
  usageSource: z.enum(["api", "estimated"]).optional(),
  freeTier: freeTierDecision.optional().openapi({
    description: "What was decided for the key that asked, before it began",
  }),
  absorbedSats: z.int().optional().openapi({ description: "What the pool paid of it" }),
  ...simulation,
}).openapi("TimmyAccount");

const completionSchema = z.object({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.int(),
  model: z.string(),
  choices: z.array(z.object({
    index: z.int(),
    message: z.object({
      role: z.literal("assistant"),
      content: z.string().nullable(),
      refusal: z.string().nullable(),
    }),
    logprobs: z.null(),
    finish_reason: z.enum(["stop", "length", "content_filter"]),
  })),
  usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() }),
  timmy: timmySchema,
}).openapi("ChatCompletion");

export type CompletionRequest = z.infer<typeof completionRequest>;
export type CompletionBody = z.infer<typeof completionSchema>;
export type TimmyBody = z.infer<typeof timmySchema>;

export const createCompletion = createRoute({
  method: "post",
  path: "/api/v1/chat/completions",
  operationId: "createChatCompletion",
  tags,
  security,
  summary: "A chat completion",
  description:
    "As OpenAI's: the macaroon is the API key (`Authorization: Bearer <macaroon>`). Without one, 402 with an L402 " +
    "challenge: pay it and repeat the request with the token. With `stream`, `chat.completion.chunk` events, then `[DONE]`. A parameter that " +
    "cannot be honoured is refused by name.",
  request: {
    headers: idempotencyKey,
    body: body(completionRequest),
  },
  responses: {
    200: {
      description: "The completion, or its stream",
      content: { "application/json": { schema: completionSchema }, "text/event-stream": { schema: z.string() } },
    },
    ...errorResponses(400, 401, 402, 403, 404, 409, 429, 502, 503),
  },
});

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  pricing: z.object({
    inputSatsPer1k: z.number().openapi({ description: "sats per 1,000 tokens in, margin included" }),
    outputSatsPer1k: z.number(),
    requestSats: z.number().openapi({ description: "What every request carries of the infrastructure (sats)" }),
    btcPriceUsd: z.number(),
  }),
}).openapi("Model");
const modelsSchema = z.object({ object: z.literal("list"), data: z.array(modelSchema) }).openapi("Models");

export const listModels = createRoute({
  method: "get",
  path: "/api/v1/models",
  operationId: "listModels",
  tags,
  summary: "Models and their prices",
  description: "OpenAI's list, with what a thousand tokens cost now in satoshis. Needs no credential.",
  responses: {
    200: json(modelsSchema, "Every model"),
    ...errorResponses(400, 401, 503),
  },
});

export const getModel = createRoute({
  method: "get",
  path: "/api/v1/models/{id}",
  operationId: "getModel",
  tags,
  summary: "One model and its prices",
  description: "404 for a model that is not served here.",
  request: { params: z.object({ id: z.string().max(200).openapi({ param: { name: "id", in: "path" } }) }) },
  responses: {
    200: json(modelSchema, "The model"),
    ...errorResponses(400, 401, 404, 503),
  },
});

export type ModelBody = z.infer<typeof modelSchema>;
export type GetModelRoute = typeof getModel;
export type CreateCompletionRoute = typeof createCompletion;
export type ListModelsRoute = typeof listModels;
