import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { l402, limitChallenges } from "@/middlewares/l402.ts";
import type { RateLimiter } from "@/middlewares/rate-limit.ts";
import * as handlers from "./sessions.handlers.ts";
import * as routes from "./sessions.routes.ts";

/** Sessions: a prepaid balance that many requests draw on. @param challenges limits 402 challenges and new sessions; null: no limit */
export function sessionsRouter(challenges: RateLimiter | null): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  router.post("/api/sessions", limitChallenges(challenges));
  // Before the body: whoever shows a bad credential learns nothing about what would be wrong with the question.
  const guard = l402({ capability: "jobs", limiter: challenges, sessionInPath: true });
  // By method: what is no route must not make an invoice either.
  for (const path of ["request", "topup", "close"]) router.post(`/api/sessions/:id/${path}`, guard);
  for (const path of ["requests", "requests/:requestId"]) router.get(`/api/sessions/:id/${path}`, guard);
  return router
    .openapi(routes.createSession, handlers.createSession)
    .openapi(routes.getSession, handlers.getSession)
    .openapi(routes.sendRequest, handlers.sendRequest)
    .openapi(routes.topUp, handlers.topUp)
    .openapi(routes.closeSession, handlers.closeSession)
    .openapi(routes.listRequests, handlers.listRequests)
    .openapi(routes.getRequest, handlers.getRequest)
    .openapi(routes.getMacaroon, handlers.getMacaroon);
}
