import { createRoute, z } from "@hono/zod-openapi";
import { errorSchema } from "@/lib/http/errors.ts";

const tags = ["health"];

export const getHealth = createRoute({
  method: "get",
  path: "/api/health",
  operationId: "getHealth",
  tags,
  summary: "Liveness: the process answers",
  description: "Touches nothing else, costs nothing and is never limited.",
  responses: {
    200: {
      description: "The process answers",
      content: {
        "application/json": {
          schema: z.object({ status: z.literal("ok"), version: z.string() }).openapi("Health"),
        },
      },
    },
  },
});
export type GetHealthRoute = typeof getHealth;

const checkSchema = z.object({
  name: z.string(),
  ok: z.boolean(),
  detail: z.string().optional(),
  facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional().openapi({
    description: "What was looked at, such as the queue's depth.",
  }),
}).openapi("ReadinessCheck");

const readinessSchema = z.object({ ready: z.boolean(), checks: z.array(checkSchema) });

export const getReadiness = createRoute({
  method: "get",
  path: "/api/health/ready",
  operationId: "getReadiness",
  tags,
  summary: "Readiness: the store takes writes, background work is done, the backends answered when last used",
  description: "Reads what is known and never spends money.",
  responses: {
    200: {
      description: "Every check is good",
      content: { "application/json": { schema: readinessSchema.openapi("Readiness") } },
    },
    503: {
      description: "At least one check failed; try again after Retry-After seconds",
      headers: { "Retry-After": { schema: { type: "string" }, description: "Seconds" } },
      content: {
        "application/json": { schema: readinessSchema.extend(errorSchema.shape).openapi("NotReady") },
      },
    },
  },
});
export type GetReadinessRoute = typeof getReadiness;
