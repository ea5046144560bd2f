import type { AppDeps } from "@/lib/app-deps.ts";
import type { AppRouteHandler } from "@/lib/create-app.ts";
import { badRequest } from "@/lib/errors.ts";
import { quote } from "@/lib/rules/pricing.ts";
import { checkRequest } from "@/lib/rules/requests.ts";
import type { GetEstimateRoute } from "./estimate.routes.ts";

/** The estimate is the prior: nothing has been learnt from finished jobs, and the confidence says so. */
const PRIOR_CONFIDENCE = 10;

export const getEstimate: AppRouteHandler<GetEstimateRoute, AppDeps> = async (c) => {
  const { settings, btcPrice, clock, model, wallet } = c.get("deps");
  const { request } = c.req.valid("query");
  const wrong = checkRequest(request, settings.requestMaxChars);
  if (wrong) throw badRequest(wrong.code, wrong.message);

  const btc = btcPrice.current();
  const rates = await settings.ratesFor(settings.workModel);
  const { inputTokens, outputTokens, totalUsd, sats } = quote({
    request,
    rates,
    config: settings.price,
    btcUsd: btc.usd,
  });
  return c.json({
    estimatedSats: sats,
    p50Sats: sats,
    p90Sats: sats,
    confidence: PRIOR_CONFIDENCE,
    sampleCount: 0,
    estimatedCostUsd: totalUsd,
    evalFeeSats: settings.evalFeeSats,
    tokenEstimate: { inputTokens, outputTokens },
    model: settings.workModel,
    btcPriceUsd: btc.usd,
    btcPriceSource: btc.source,
    btcPriceAgeSeconds: Math.max(0, Math.round((clock.now() - btc.at) / 1_000)),
    stubMode: model.simulated || wallet.simulated,
  }, 200);
};
