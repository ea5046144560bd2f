import type { AppDeps } from "@/lib/http/app-deps.ts";
import { type AppRouter, createRouter } from "@/lib/http/create-app.ts";
import * as handlers from "./refunds.handlers.ts";
import * as routes from "./refunds.routes.ts";

/** Refunds of who has nothing but the proof that he paid. */
export const refundsRouter = (): AppRouter<AppDeps> =>
  createRouter<AppDeps>().openapi(routes.claimRefund, handlers.claimRefund);
