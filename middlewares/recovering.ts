import type { MiddlewareHandler } from "hono";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppEnv } from "@/lib/http/app-env.ts";
import { unavailable } from "@/lib/http/errors.ts";

/** 503 for everything but health while a restored database has not caught up with its wallet: its books are of yesterday. */
export const notWhileRecovering: MiddlewareHandler<AppEnv<AppDeps>> = async (c, next) => {
  if (c.get("deps").recovering() && !/^\/api\/health(?:\/ready)?$/.test(c.req.path.replace(/\/+$/, ""))) {
    throw unavailable(
      "recovering",
      "This instance was restored from a backup and is asking its wallet what happened since. Try again as Retry-After says.",
      5,
    );
  }
  await next();
};
