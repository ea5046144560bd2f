import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { limitChallenges } from "@/middlewares/l402.ts";
import type { RateLimiter } from "@/middlewares/rate-limit.ts";
import { jobEvents } from "./jobs.events.ts";
import * as handlers from "./jobs.handlers.ts";
import * as routes from "./jobs.routes.ts";

/** Jobs: one request, paid in two steps. @param challenges limits new jobs, as it does new sessions; null: no limit */
export function jobsRouter(challenges: RateLimiter | null): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  router.post("/api/jobs", limitChallenges(challenges));
  return router
    .openapi(routes.createJob, handlers.createJob)
    .openapi(routes.getJob, handlers.getJob)
    .openapi(routes.jobEvents, jobEvents())
    .openapi(routes.refundJob, handlers.refundJob);
}
