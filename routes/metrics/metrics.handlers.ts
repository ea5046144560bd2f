import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { CONTENT_TYPE } from "@/lib/metrics/registry.ts";
import type { GetMetricsRoute } from "./metrics.routes.ts";

export const getMetrics: AppRouteHandler<GetMetricsRoute, AppDeps> = async (c) =>
  c.body(await c.get("deps").metrics.registry.text(), 200, { "Content-Type": CONTENT_TYPE });
