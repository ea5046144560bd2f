import { type Evaluation, ModelError, type WorkResult } from "@/lib/ai/port.ts";
import type { AppDeps } from "@/lib/services.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { type ApiError, badRequest, notFound, tooManyRequests, unavailable } from "@/lib/http/errors.ts";
import { newHandle } from "@/lib/ids.ts";
import { checkRequest } from "@/lib/metering/request-text.rules.ts";
import type { GetDemoRoute } from "./demo.routes.ts";
import { type Counted, DEMO_OUTPUT_TOKENS, DEMO_PER_HOUR, demoSats } from "@/lib/demo/demo.rules.ts";
import { bookDemo, countOne, demoCaller } from "@/lib/demo/demo.rows.ts";

/** When to try again after a model that failed without saying so (s). */
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
  // Before anything is counted or asked: what has no price must not be bought.
  const rates = {
    evaluation: await deps.ratesFor(settings.evalModel),
    work: await deps.ratesFor(settings.workModel),
  };
  const btcUsd = deps.btcPrice.current().usd;

  // Counted in a commit of its own before the model is asked: whatever happens afterwards, crash or failure, nobody gets more
  // calls out of it than the limits allow.
  const caller = demoCaller(deps.recordIds, c.get("clientAddress"));
  const counted = await store.transact((tx) => countOne(tx, { caller, dailyLimit, now: clock.now() }));
  if (counted.outcome !== "counted") throw limitReached(counted, dailyLimit);

  const { verdict, work } = await answerTo(deps, request);
  const sats = demoSats({
    evaluation: { usage: verdict.usage, rates: rates.evaluation },
    work: work && { usage: work.usage, rates: rates.work },
    config: settings.price,
    btcUsd,
  });
  const state = work ? "complete" : "rejected";
  const id = newHandle(deps.random);
  await store.transact((tx) => bookDemo(tx, { id, state, sats, now: clock.now() }));

  const estimated = [verdict.usage, work?.usage].some((usage) => usage?.source === "estimated");
  c.header("Cache-Control", "no-store");
  return c.json(
    {
      state,
      ...(work ? { result: work.text, finishReason: work.finish } : { reason: verdict.reason }),
      costSats: sats,
      usageSource: estimated ? "estimated" as const : "api" as const,
      remainingThisHour: counted.remainingThisHour,
      remainingToday: counted.remainingToday,
      stubMode: model.simulated,
      simulated: model.simulated ? ["model"] : [],
    } as const,
    200,
  );
};

/**
 * Asks the models: first whether, then what. It goes on when the caller has gone, since most of it is bought by then, and what
 * was bought is booked.
 * @throws {ApiError} 503 when one of them fails.
 */
async function answerTo(
  { model, settings }: AppDeps,
  request: string,
): Promise<{ verdict: Evaluation; work: WorkResult | null }> {
  const about = { request, signal: new AbortController().signal, deadlineMs: settings.modelDeadlineMs };
  try {
    const verdict = await model.evaluate({ ...about, model: settings.evalModel });
    if (!verdict.accepted) return { verdict, work: null };
    const work = await model.work({ ...about, model: settings.workModel, maxOutputTokens: DEMO_OUTPUT_TOKENS });
    return { verdict, work };
  } catch (cause) {
    if (!(cause instanceof ModelError)) throw cause;
    throw modelFailed(cause);
  }
}

/** The count is not given back: else whatever makes a model fail could be asked without end, at the operator's cost. */
function modelFailed(cause: ModelError): ApiError {
  const afterSeconds = cause.retryAfterMs === undefined ? MODEL_AGAIN_S : cause.retryAfterMs / 1_000;
  return unavailable(
    "model_unavailable",
    "The model gave no answer. This try counts as one of your answers of this hour all the same.",
    afterSeconds,
    { cause },
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
