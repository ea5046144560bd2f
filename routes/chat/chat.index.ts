import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import { l402 } from "@/middlewares/l402.ts";
import type { RateLimiter } from "@/middlewares/rate-limit.ts";
import * as handlers from "./chat.handlers.ts";
import * as routes from "./chat.routes.ts";

/** The OpenAI-compatible API, paid from a session. @param challenges limits 402 challenges; null: no limit */
export function chatRouter(challenges: RateLimiter | null): AppRouter<AppDeps> {
  const router = createRouter<AppDeps>();
  router.post("/api/v1/chat/completions", l402({ capability: "chat", limiter: challenges, sessionInPath: false }));
  return router
    .openapi(routes.createCompletion, handlers.createCompletion)
    .openapi(routes.listModels, handlers.listModels)
    .openapi(routes.getModel, handlers.getModel)
    // Ids of models may have slashes in them (`local/x`), and clients send them as they are.
    .openapi({ ...routes.getModel, path: "/api/v1/models/{id}{.+}", hide: true }, handlers.getModel);
}
