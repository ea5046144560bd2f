import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { json } from "@/lib/http/schemas.ts";

const demoSchema = z.object({
  state: z.enum(["complete", "rejected"]),
  result: z.string().optional(),
  finishReason: z.enum(["stop", "length"]).optional().openapi({
    description: "`length`: the answer was cut at the demo's limit. A paid job has none so short",
  }),
  reason: z.string().optional().openapi({ description: "Why the request was refused" }),
  costSats: z.int().openapi({ description: "What this cost, evaluation included; the operator has paid it" }),
  usageSource: z.enum(["api", "estimated"]).openapi({
    description: "`estimated`: the provider reported no usage, so characters were counted",
  }),
  remainingThisHour: z.int().openapi({ description: "Answers that your address still gets in this hour" }),
  remainingToday: z.int().openapi({ description: "Answers that are left for everybody this UTC day" }),
  stubMode: z.boolean().openapi({ description: "True when no language model wrote this" }),
  simulated: z.array(z.string()).openapi({ description: "What is simulated: model" }),
}).openapi("Demo");

export const getDemo = createRoute({
  method: "get",
  path: "/api/demo",
  operationId: "getDemo",
  tags: ["demo"],
  summary: "Try it for nothing",
  description:
    "A short answer (at most 150 tokens), paid by the operator: 5 an hour for each address (IPv6: for each /64) and " +
    "`DEMO_DAILY_LIMIT` (50) a UTC day for all together; 429 says when there is one again. Every try counts, also one that the " +
    "model fails to answer (503). With a limit of 0 there is no demo (404). Unlike other GETs it is not to be repeated or cached.",
  request: {
    query: z.strictObject({
      request: z.string().openapi({ param: { name: "request", in: "query" }, example: "What is a hold invoice?" }),
    }),
  },
  responses: {
    200: json(demoSchema, "The answer, or why there is none"),
    ...errorResponses(400, 401, 404, 429, 503),
  },
});

export type GetDemoRoute = typeof getDemo;
