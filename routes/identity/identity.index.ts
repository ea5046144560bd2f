import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./identity.handlers.ts";
import * as routes from "./identity.routes.ts";

/** Who somebody is: signing in with a Nostr key, and what belongs to it. */
export function identityRouter(): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  for (const [name, scheme] of Object.entries(routes.SECURITY_SCHEMES)) {
    router.openAPIRegistry.registerComponent("securitySchemes", name, scheme);
  }
  // Many clients name the type of a body that they do not send; there is nothing to parse then.
  router.use(routes.challenge.path, async (c, next) => {
    if ((c.get("rawBody")?.length ?? 0) === 0) {
      const headers = new Headers(c.req.raw.headers);
      headers.delete("content-type");
      c.req.raw = new Request(c.req.raw, { headers });
    }
    await next();
  });
  return router
    .openapi(routes.challenge, handlers.challenge)
    .openapi(routes.verify, handlers.verify)
    .openapi(routes.me, handlers.me)
    .openapi(routes.listJobs, handlers.listJobs)
    .openapi(routes.listSessions, handlers.listSessions)
    .openapi(routes.listBootstraps, handlers.listBootstraps);
}
