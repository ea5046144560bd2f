import type { AppDeps, DevTools } from "@/lib/http/app-deps.ts";
import { configureOpenApi } from "@/lib/http/configure-open-api.ts";
import { type AppRouter, createApp as createBareApp, mount } from "@/lib/http/create-app.ts";
import { refuseBadTokens } from "@/middlewares/identity.ts";
import { notWhileRecovering } from "@/middlewares/recovering.ts";
import { createRateLimiter } from "@/middlewares/rate-limit.ts";
import { standardMiddlewares, type StandardOptions } from "@/middlewares/standard.ts";
import { attestationRouter } from "@/routes/attestation/attestation.index.ts";
import { bootstrapRouter } from "@/routes/bootstrap/bootstrap.index.ts";
import { chatRouter } from "@/routes/chat/chat.index.ts";
import { demoRouter } from "@/routes/demo/demo.index.ts";
import { devRouter } from "@/routes/dev/dev.index.ts";
import { estimateRouter } from "@/routes/estimate/estimate.index.ts";
import { freeTierRouter } from "@/routes/free-tier/free-tier.index.ts";
import { healthRouter } from "@/routes/health/health.index.ts";
import { identityRouter } from "@/routes/identity/identity.index.ts";
import { jobsRouter } from "@/routes/jobs/jobs.index.ts";
import { metricsRouter } from "@/routes/metrics/metrics.index.ts";
import { refundsRouter } from "@/routes/refunds/refunds.index.ts";
import { sessionsRouter } from "@/routes/sessions/sessions.index.ts";
import { lightningRouter } from "@/routes/lightning/lightning.index.ts";

export type HttpOptions = Omit<StandardOptions, "clock" | "random" | "publicOrigin" | "answered"> & {
  /** `RATE_LIMIT_CHALLENGES_PER_MINUTE`; 0 is off. */
  challengesPerMinute: number;
};

/** HTTP: one flat list of routers. @param dev the development routes; null in production. */
export function createApp(deps: AppDeps, http: HttpOptions, dev: DevTools | null): AppRouter<AppDeps> {
  const { clock, random, log, settings, metrics } = deps;
  const { challengesPerMinute: perMinute } = http;
  const challenges = perMinute === 0 ? null : createRateLimiter({ perMinute, clock });
  const app = createBareApp({
    deps,
    log,
    middlewares: standardMiddlewares({
      ...http,
      clock,
      random,
      publicOrigin: settings.publicOrigin,
      answered: metrics.request,
    }),
  });
  app.use("*", notWhileRecovering);
  app.use("/api/*", refuseBadTokens);
  mount(app, healthRouter());
  mount(app, metricsRouter());
  mount(app, jobsRouter(challenges));
  mount(app, sessionsRouter(challenges));
  mount(app, chatRouter(challenges));
  mount(app, bootstrapRouter(challenges));
  mount(app, identityRouter());
  mount(app, estimateRouter());
  mount(app, freeTierRouter(challenges));
  mount(app, demoRouter());
  mount(app, attestationRouter());
  mount(app, refundsRouter());
  mount(app, lightningRouter());
  if (dev) mount(app, devRouter(dev));
  for (const path of ["/", "/api"]) app.get(path, (c) => c.redirect("/api/reference", 302));
  configureOpenApi(app, { version: deps.version });
  return app;
}
