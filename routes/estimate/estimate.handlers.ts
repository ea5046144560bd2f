import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { badRequest } from "@/lib/http/errors.ts";
import type { Decision } from "@/lib/free-tier/free-tier.rules.ts";
import { quoteJob } from "@/lib/jobs/job-quote.ts";
import { checkRequest } from "@/lib/metering/request-text.rules.ts";
import { decideDryRun, poolBalance } from "@/lib/free-tier/pool.rows.ts";
import { tierNow } from "@/lib/identity/trust.rows.ts";
import { identityOf } from "@/middlewares/identity.ts";
import type { GetEstimateRoute } from "./estimate.routes.ts";

/** The estimate is the prior: nothing has been learnt from finished jobs, and the confidence says so. */
const PRIOR_CONFIDENCE = 10;

export const getEstimate: AppRouteHandler<GetEstimateRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { settings, clock, model, wallet } = deps;
  const { request } = c.req.valid("query");
  const wrong = checkRequest(request, settings.requestMaxChars);
  if (wrong) throw badRequest(wrong.code, wrong.message);
  const pubkey = await identityOf(c);

  const { inputTokens, outputTokens, usd, sats, btc } = await quoteJob(deps, {
    request,
    workModel: settings.workModel,
  });
  return c.json({
    estimatedSats: sats,
    p50Sats: sats,
    p90Sats: sats,
    confidence: PRIOR_CONFIDENCE,
    sampleCount: 0,
    estimatedCostUsd: usd,
    evalFeeSats: settings.evalFeeSats,
    tokenEstimate: { inputTokens, outputTokens },
    model: settings.workModel,
    btcPriceUsd: btc.usd,
    btcPriceSource: btc.source,
    btcPriceAgeSeconds: Math.max(0, Math.round((clock.now() - btc.at) / 1_000)),
    ...(pubkey !== null && { identity: await preview(deps, pubkey, sats) }),
    pool: { balanceSats: await poolBalance(deps.store), dailyBudgets: budgets(settings) },
    stubMode: model.simulated || wallet.simulated,
  }, 200);
};

/** What would be decided for this key now, if its job were priced so. Reads only. */
async function preview({ store, settings, clock }: AppDeps, pubkey: string, estimateSats: number) {
  const rules = settings.freeTier;
  const now = clock.now();
  const decision = await decideDryRun(store, rules, { pubkey, estimateSats, now });
  const absorbSats = absorbed(decision);
  return {
    trust_tier: await tierNow(store, pubkey, rules.trust, now),
    free_tier: { serve: decision.serve, absorbSats, chargeSats: estimateSats - absorbSats },
  };
}

function absorbed(decision: Decision): number {
  if (decision.serve === "free") return decision.sats;
  return decision.serve === "partial" ? decision.adviceSats : 0;
}

/** Field by field: a tier that is added to the settings is not told by accident. */
function budgets({ freeTier }: AppDeps["settings"]) {
  const { new: fresh, established, trusted, elite } = freeTier.config.dailySats;
  return { new: fresh, established, trusted, elite };
}
