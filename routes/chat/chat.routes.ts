import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { body, freeTierDecision, idempotencyKey, json, PAID as security, simulation } from "@/lib/http/schemas.ts";

const tags = ["openai"];

/** Longest conversation (messages); its length in characters is bounded by the body's. */
export const MAX_MESSAGES = 2_000;

/** Parameters that are taken only with the value that means nothing: any other could not be honoured. */
const only = <const V extends number | boolean>(value: V) =>
  z.literal(value, { error: `is supported only as ${JSON.stringify(value)}; leave it out` }).nullish().openapi({
    // Not an enum of one value and null: generators of clients fail on it.
    type: [typeof value === "number" ? "number" : "boolean", "null"],
    description: `Supported only as ${JSON.stringify(value)}; leave it out`,
  });
const optional = <S extends z.ZodType>(schema: S) => schema.nullish();

const messageSchema = z.unknown().openapi({
  type: "object",
  required: ["role", "content"],
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
      ],
    },
  },
  description: "Text only: images, audio, files and tool calls are refused",
});

const completionRequest = z.strictObject({
  model: z.string().min(1).max(200).openapi({
    description: "One of `GET /api/v1/models`",
    example: "claude-sonnet-4-6",
  }),
  messages: z.array(messageSchema).min(1).max(MAX_MESSAGES),
  max_tokens: optional(z.int().min(1).max(8_192)).openapi({ description: "Most output tokens; they are held for" }),
  max_completion_tokens: optional(z.int().min(1).max(8_192)).openapi({ description: "The newer name of `max_tokens`" }),
  temperature: optional(z.number().min(0).max(2)),
  stop: optional(z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)])),
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()) })),
  n: only(1),
  top_p: only(1),
  presence_penalty: only(0),
  frequency_penalty: only(0),
  logprobs: only(false),
  store: only(false),
  response_format: optional(
    z.strictObject({ type: z.literal("text", { error: 'is supported only as "text"; leave it out' }) }),
  ),
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
