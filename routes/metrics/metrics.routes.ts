import { createRoute, z } from "@hono/zod-openapi";

export const getMetrics = createRoute({
  method: "get",
  path: "/metrics",
  operationId: "getMetrics",
  tags: ["health"],
  summary: "Figures for a monitoring system",
  description:
    "OpenMetrics text, or Prometheus' older format for who accepts `text/plain` and not the newer one: requests, model calls, payments, " +
    "queue, store, process. Names and labels are fixed: nothing in it is about a single payer. Sums of money are in it only where the " +
    "operator has set `METRICS_MONEY=on`. Collected at most once a second.",
  responses: {
    200: {
      description: "The figures",
      content: { "application/openmetrics-text": { schema: z.string() }, "text/plain": { schema: z.string() } },
    },
  },
});
export type GetMetricsRoute = typeof getMetrics;
