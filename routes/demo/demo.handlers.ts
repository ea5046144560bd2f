import type { AppDeps } from "@/lib/services.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { type ApiError, badRequest, notFound, tooManyRequests, unavailable } from "@/lib/http/errors.ts";
import { answerDemo, closeDemo, quoteDemo } from "@/lib/demo/demo.ts";
import { callerName, newHandle } from "@/lib/ids.ts";
import type { Outcome } from "@/lib/metering/close.rules.ts";
import { checkRequest } from "@/lib/metering/request-text.rules.ts";
import type { GetDemoRoute } from "./demo.routes.ts";
import { type Counted, DEMO_PER_HOUR } from "@/lib/demo/demo.rules.ts";
import { countOne } from "@/lib/demo/demo.rows.ts";

/** When to try again after a model that failed and did not say when (s). */
const MODEL_AGAIN_S = 30;

export const getDemo: AppRouteHandler<GetDemoRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { store, clock, settings, model } = deps;
  const { request } = c.req.valid("query");
  const { demoDailyLimit: dailyLimit } = settings;
  if (dailyLimit === 0) {
    throw notFound("This instance gives no free answers. POST /api/jobs asks for a paid one.", "demo_off");
  }
  const wrong = checkRequest(request, settings.requestMaxChars);
  if (wrong) throw badRequest(wrong.code, wrong.message);
  const quote = await quoteDemo(deps, request);

  // Counted in a commit of its own before the model is asked: whatever happens afterwards, crash or failure, nobody gets more
  // calls out of it than the limits allow.
  const caller = callerName(deps.recordIds, c.get("clientAddress"));
  const counted = await store.transact((tx) => countOne(tx, { caller, dailyLimit, now: clock.now() }));
  if (counted.outcome !== "counted") throw limitReached(counted, dailyLimit);

  const ran = await answerDemo(deps, request, quote);
  const costSheet = await closeDemo(deps, newHandle(deps.random), quote, ran);
  const { outcome, text } = ran;
  if (outcome.end !== "complete" && outcome.end !== "refused") throw modelFailed(outcome);

  const estimated = [costSheet.evalUsage, costSheet.usage].some((usage) => usage?.source === "estimated");
  c.header("Cache-Control", "no-store");
  return c.json(
    {
      ...(outcome.end === "complete"
        ? { state: "complete" as const, result: text, finishReason: outcome.finish }
        : { state: "rejected" as const, reason: outcome.reason }),
      costSats: costSheet.actualSats,
      usageSource: estimated ? "estimated" as const : "api" as const,
      remainingThisHour: counted.remainingThisHour,
      remainingToday: counted.remainingToday,
      stubMode: model.simulated,
      simulated: model.simulated ? ["model"] : [],
    },
    200,
  );
};

/** The count is not given back: else whatever makes a model fail could be asked without end, at the operator's cost. */
function modelFailed(
  { errorMessage, ...outcome }: Extract<Outcome, { end: "left" | "broken" | "failed" }>,
): ApiError {
  const retryAfterMs = ("failure" in outcome ? outcome.failure?.retryAfterMs : null) ?? null;
  return unavailable(
    "model_unavailable",
    "The model gave no answer. This try counts as one of your answers of this hour all the same.",
    retryAfterMs === null ? MODEL_AGAIN_S : Math.ceil(retryAfterMs / 1_000),
    { cause: errorMessage },
  );
}

function limitReached(counted: Exclude<Counted, { outcome: "counted" }>, dailyLimit: number): ApiError {
  const seconds = counted.waitMs / 1_000;
  return counted.outcome === "hour"
    ? tooManyRequests(
      "demo_hourly_limit",
      `Your address had its ${DEMO_PER_HOUR} free answers of this hour. Wait as long as Retry-After says, or POST /api/jobs.`,
      seconds,
    )
    : tooManyRequests(
      "demo_daily_limit",
      `All ${dailyLimit} free answers of this UTC day are given. Come back tomorrow, or POST /api/jobs.`,
      seconds,
    );
}
