import { routePath } from "hono/route";
import type { Clock } from "@/lib/clock.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";

/**
 * One line per request, when its answer's headers are ready: method, route pattern, status, milliseconds. The path
 * itself is never logged, since ids in it are capabilities; nor is the caller's address. A path that no route has is
 * logged as "/*".
 *
 * @param options.quiet route patterns that a supervisor asks for all day: logged at debug while they succeed
 */
export function requestLog(options: { clock: Clock; quiet?: readonly string[] }): AppMiddleware {
  const quiet = new Set(options.quiet ?? []);
  return async (c, next) => {
    const start = options.clock.now();
    await next();
    const route = routePath(c, -1);
    const status = c.res.status;
    const fields = { method: c.req.method, route, status, ms: options.clock.now() - start };
    if (quiet.has(route) && status < 400) c.get("log").debug(fields, "request");
    else c.get("log").info(fields, "request");
  };
}
