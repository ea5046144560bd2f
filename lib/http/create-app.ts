import { OpenAPIHono, type RouteConfig, type RouteHandler } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { getPathNoStrict } from "hono/utils/url";
import type { AppEnv } from "./app-env.ts";
import { validationHook } from "./errors.ts";
import { onError, onNotFound } from "./on-error.ts";
import { createKnownPaths, type KnownPaths } from "./known-paths.ts";
import type { Logger } from "@/lib/logger.ts";

export type { AppEnv };

/** A domain's router, or the app itself. */
export type AppRouter<D> = OpenAPIHono<AppEnv<D>>;

/** A middleware that works whatever the instance's dependencies are. */
export type AppMiddleware = MiddlewareHandler<AppEnv<unknown>>;

/** The handler of a contract: a status or body that the contract does not have does not compile. */
export type AppRouteHandler<R extends RouteConfig, D> = RouteHandler<R, AppEnv<D>>;

/** An empty router whose validation errors have the one error shape. */
export function createRouter<D>(): AppRouter<D> {
  return new OpenAPIHono<AppEnv<D>>({ strict: false, defaultHook: validationHook });
}

/** The path that is routed: without a slash at its end, and `/v1` as the other name of `/api/v1`. */
const routedPath = (request: Request): string => {
  const path = getPathNoStrict(request);
  return path === "/v1" || path.startsWith("/v1/") ? `/api${path}` : path;
};

/**
 * An app without routes: the context every handler reads, the middlewares in the order given, and the answers to errors
 * and unknown paths. Mount routers on it with {@link mount}.
 *
 * The middlewares are an argument because lib never imports them; `standardMiddlewares` has the real ones.
 */
export function createApp<D>(
  options: { deps: D; log: Logger; middlewares: readonly AppMiddleware[] },
): AppRouter<D> {
  const app = new OpenAPIHono<AppEnv<D>>({ getPath: routedPath, defaultHook: validationHook });
  app.use("*", async (c, next) => {
    c.set("deps", options.deps);
    c.set("log", options.log);
    c.set("requestId", "-");
    c.set("clientAddress", "unknown");
    await next();
  });
  for (const middleware of options.middlewares) app.use("*", middleware as MiddlewareHandler<AppEnv<D>>);
  app.onError(onError);
  let known: KnownPaths | undefined; // read when everything is mounted
  app.notFound((c) => onNotFound(c, known ??= createKnownPaths(app.routes)));
  return app;
}

/**
 * Adds a domain's router. hono's own `route` takes any router; this one compiles only where the app's dependencies have
 * what the router reads.
 */
export function mount<R, D extends R>(app: AppRouter<D>, router: AppRouter<R>): void {
  app.route("/", router);
}
