import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/errors.ts";

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
  stubMode: z.boolean(),
}).openapi("Estimate");

export const getEstimate = createRoute({
  method: "get",
  path: "/api/estimate",
  tags: ["estimate"],
  summary: "What would this cost?",
  description: "Answers before any payment and writes nothing.",
  request: {
    query: z.strictObject({
      request: z.string().openapi({ param: { name: "request", in: "query" }, example: "What is a hold invoice?" }),
    }),
  },
  responses: {
    200: { description: "The estimate", content: { "application/json": { schema: estimateSchema } } },
    ...errorResponses(400),
  },
});
export type GetEstimateRoute = typeof getEstimate;
