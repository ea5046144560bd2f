import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./metrics.handlers.ts";
import * as routes from "./metrics.routes.ts";

/** What an instance tells those who watch it. */
export const metricsRouter = (): AppRouter<AppDeps> =>
  createRouter<AppDeps>().openapi(routes.getMetrics, handlers.getMetrics);
