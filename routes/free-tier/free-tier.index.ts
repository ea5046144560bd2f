import type { AppDeps } from "@/lib/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/create-app.ts";
import * as handlers from "./free-tier.handlers.ts";
import * as routes from "./free-tier.routes.ts";

/** The pool that trusted keys are served from: what is in it, and giving to it. */
export function freeTierRouter(): AppRouter<AppDeps> {
  return createRouter<AppDeps>()
    .openapi(routes.getFreeTier, handlers.getFreeTier)
    .openapi(routes.donate, handlers.donate);
}
