import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./estimate.handlers.ts";
import * as routes from "./estimate.routes.ts";

/** Prices before any payment. */
export function estimateRouter(): AppRouter<AppDeps> {
  return createRouter<AppDeps>().openapi(routes.getEstimate, handlers.getEstimate);
}
