import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { jobEvents } from "./jobs.events.ts";
import * as handlers from "./jobs.handlers.ts";
import * as routes from "./jobs.routes.ts";

/** Jobs: one request, paid in two steps. */
export function jobsRouter(): AppRouter<AppDeps> {
  return createRouter<AppDeps>()
    .openapi(routes.createJob, handlers.createJob)
    .openapi(routes.getJob, handlers.getJob)
    .openapi(routes.jobEvents, jobEvents())
    .openapi(routes.refundJob, handlers.refundJob);
}
