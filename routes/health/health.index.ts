import { createRouter } from "@/lib/http/create-app.ts";
import { getHealth, getReadiness, type HealthDeps } from "./health.handlers.ts";
import * as routes from "./health.routes.ts";

/** `GET /api/health` and `GET /api/health/ready`. */
export function healthRouter() {
  return createRouter<HealthDeps>()
    .openapi(routes.getHealth, getHealth)
    .openapi(routes.getReadiness, getReadiness);
}
