import { routePath } from "hono/route";
import type { Clock } from "@/lib/clock.ts";
import type { AppMiddleware } from "@/lib/http/create-app.ts";

/** What is told of an answer: nothing of the caller, and the route's pattern in place of its path. */
export interface Answered {
  method: string;
  route: string;
  status: number;
  /** From the request's arrival until the answer's head was ready. */
  seconds: number;
}

/**
 * One line per request, when its answer's headers are ready: method, route pattern, status, milliseconds. The path
 * itself is never logged, since ids in it are capabilities; nor is the caller's address. A path that no route has is
 * logged as "/*".
 *
 * @param options.answered is told the same
 * @param options.quiet route patterns that a supervisor asks for all day: logged at debug while they succeed
 */
export function requestLog(
  options: { clock: Clock; quiet?: readonly string[]; answered?: (answer: Answered) => void },
): AppMiddleware {
  const quiet = new Set(options.quiet ?? []);
  return async (c, next) => {
    const start = options.clock.monotonic();
    await next();
    const route = routePath(c, -1);
    const status = c.res.status;
    const fields = { method: c.req.method, route, status, ms: Math.round(options.clock.monotonic() - start) };
    options.answered?.({ method: fields.method, route, status, seconds: (options.clock.monotonic() - start) / 1_000 });
    if (quiet.has(route) && status < 400) c.get("log").debug(fields, "request");
    else c.get("log").info(fields, "request");
  };
}
