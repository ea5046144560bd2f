import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { freeTierDecision, json, simulation, trustTier } from "@/lib/http/schemas.ts";

const estimateSchema = z.object({
  estimatedSats: z.int().openapi({ description: "What the work invoice would ask now" }),
  p50Sats: z.int(),
  p90Sats: z.int(),
  confidence: z.int().openapi({
    description: "0–100. Low: this version estimates from a prior, not yet from what jobs really used",
  }),
  sampleCount: z.int(),
  estimatedCostUsd: z.number().openapi({ description: "The whole quote, infrastructure and margin included (USD)" }),
  evalFeeSats: z.int().openapi({ description: "The evaluation fee, paid first and beside it" }),
  tokenEstimate: z.object({ inputTokens: z.int(), outputTokens: z.int() }),
  model: z.string(),
  btcPriceUsd: z.number(),
  btcPriceSource: z.string(),
  btcPriceAgeSeconds: z.int(),
  identity: z.object({
    trust_tier: trustTier,
    free_tier: freeTierDecision,
  }).optional().openapi({
    description: "For the key that asks: what would be decided now. Advice: nothing is set aside for it",
  }),
  pool: z.object({
    balanceSats: z.int(),
    dailyBudgets: z.object({ new: z.int(), established: z.int(), trusted: z.int(), elite: z.int() }),
  }).openapi({ description: "As GET /api/free-tier says it" }),
  stubMode: simulation.stubMode,
}).openapi("Estimate");

export const getEstimate = createRoute({
  method: "get",
  path: "/api/estimate",
  operationId: "getEstimate",
  tags: ["estimate"],
  summary: "What would this cost?",
  description:
    "Answers before any payment and writes nothing. With a key (`X-Nostr-Token`, or a NIP-98 event, whose id alone is then " +
    "remembered, since it can be used once) it also says how the free tier would serve a job of this request.",
  request: {
    query: z.strictObject({
      request: z.string().openapi({ param: { name: "request", in: "query" }, example: "What is a hold invoice?" }),
    }),
  },
  responses: {
    200: json(estimateSchema, "The estimate"),
    ...errorResponses(400, 401, 503),
  },
});
export type GetEstimateRoute = typeof getEstimate;
