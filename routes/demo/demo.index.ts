import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./demo.handlers.ts";
import * as routes from "./demo.routes.ts";

/** Short answers that the operator pays for. */
export function demoRouter(): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  // The framework serves a HEAD by running the GET: link checkers and monitors would spend the operator's money with it.
  router.use("/api/demo", async (c, next) => c.req.method === "HEAD" ? c.body(null, 200) : await next());
  return router.openapi(routes.getDemo, handlers.getDemo);
}
