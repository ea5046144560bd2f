import type { AppDeps, DevTools } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { localOnly } from "@/middlewares/local-only.ts";
import * as handlers from "./dev.handlers.ts";
import * as routes from "./dev.routes.ts";

/** Pays our own invoices, for trying things out. `app.ts` does not mount it in production. */
export function devRouter(tools: DevTools): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  if (tools.localOnly) router.use("/api/dev/*", localOnly());
  return router
    .openapi(routes.payInvoice, handlers.payInvoice(tools))
    .openapi(routes.makeInvoice, handlers.makeInvoice(tools));
}
