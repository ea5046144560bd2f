import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { limitChallenges } from "@/middlewares/l402.ts";
import type { RateLimiter } from "@/middlewares/rate-limit.ts";
import * as handlers from "./free-tier.handlers.ts";
import * as routes from "./free-tier.routes.ts";

/**
 * The pool that trusted keys are served from: what is in it, and giving to it.
 * @param challenges limits invoices that are made before anybody has paid; null: no limit
 */
export function freeTierRouter(challenges: RateLimiter | null): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  router.post("/api/free-tier/donate", limitChallenges(challenges));
  return router
    .openapi(routes.getFreeTier, handlers.getFreeTier)
    .openapi(routes.donate, handlers.donate);
}
