import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { CONTENT_TYPES, formatFor } from "@/lib/metrics/text.rules.ts";
import type { GetMetricsRoute } from "./metrics.routes.ts";

export const getMetrics: AppRouteHandler<GetMetricsRoute, AppDeps> = async (c) => {
  const format = formatFor(c.req.header("accept"));
  const text = await c.get("deps").metrics.registry.text(format);
  return c.body(text, 200, { "Content-Type": CONTENT_TYPES[format], Vary: "Accept" });
};
