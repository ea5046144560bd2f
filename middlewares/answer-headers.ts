import type { AppMiddleware } from "@/lib/http/create-app.ts";

/** What anybody may read and keep: the API's description and the models with their prices. Nothing here depends on who asks. */
const PUBLIC = /^\/$|^\/api$|^\/api\/(doc|reference)$|^\/api\/reference\/|^\/api\/v1\/models(\/|$)/;

/**
 * How answers may be kept on their way:
 * - `no-store` on everything but good answers of {@link PUBLIC}. Macaroons, keys, ids, balances and answers must not be handed to
 *   the next caller by a cache that does not know our headers; a list of what is public cannot miss a route that is added.
 * - event streams are not to be held back by a proxy that collects answers first.
 */
export const answerHeaders: AppMiddleware = async (c, next) => {
  await next();
  const { headers, status } = c.res;
  if (status >= 400 || !PUBLIC.test(c.req.path)) headers.set("Cache-Control", "no-store");
  if (headers.get("Content-Type")?.startsWith("text/event-stream")) headers.set("X-Accel-Buffering", "no");
};
