import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./attestation.handlers.ts";
import * as routes from "./attestation.routes.ts";

/** What this instance is: the evidence of its hardware, and the build. */
export function attestationRouter(): AppRouter<AppDeps> {
  return createRouter<AppDeps>()
    .openapi(routes.getAttestation, handlers.getAttestation)
    .openapi(routes.getBuild, handlers.getBuild);
}
