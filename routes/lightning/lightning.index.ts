import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./lightning.handlers.ts";
import * as routes from "./lightning.routes.ts";

/** What wallets tell us by themselves. */
export function lightningRouter(): AppRouter<AppDeps> {
  return createRouter<AppDeps>().openapi(routes.webhook, handlers.webhook);
}
