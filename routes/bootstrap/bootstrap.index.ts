import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { limitChallenges } from "@/middlewares/l402.ts";
import type { RateLimiter } from "@/middlewares/rate-limit.ts";
import { bootstrapEvents } from "./bootstrap.events.ts";
import * as handlers from "./bootstrap.handlers.ts";
import * as routes from "./bootstrap.routes.ts";

/** Nodes for others: one fee, one machine. @param challenges limits new orders, as it does new sessions; null: no limit */
export function bootstrapRouter(challenges: RateLimiter | null): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  router.post("/api/bootstrap", limitChallenges(challenges));
  return router
    .openapi(routes.createBootstrap, handlers.createBootstrap)
    .openapi(routes.reportFirstBoot, handlers.reportFirstBoot)
    .openapi(routes.getBootstrap, handlers.getBootstrap)
    .openapi(routes.bootstrapEvents, bootstrapEvents())
    .openapi(routes.bootstrapPrivateKey, handlers.fetchKey)
    .openapi(routes.acknowledgeBootstrap, handlers.acknowledge)
    .openapi(routes.cancelBootstrap, handlers.cancelBootstrap)
    .openapi(routes.refundBootstrap, handlers.refundBootstrap);
}
