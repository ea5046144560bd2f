import type { Tier } from "@/lib/identity/trust.rules.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { attemptsBody } from "@/lib/http/claims.ts";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import type { Job } from "@/lib/jobs/jobs.machine.ts";
import type { CostLedgerBody, JobBody } from "./jobs.routes.ts";
import type { JobResult } from "@/lib/jobs/jobs.rows.ts";

const iso = (ms: number) => new Date(ms).toISOString();

/** The public face of a job: what its holder may see in its present state, field by field. */
export function jobBody(
  jobId: string,
  { job, result, refund, tier }: { job: Job; result: JobResult | null; refund: Refund | null; tier: Tier },
): JobBody {
  const costLedger = costLedgerBody(job, refund);
  return {
    jobId,
    state: job.state,
    createdAt: iso(job.createdAt),
    trust_tier: tier,
    ...(job.freeTier && { free_tier: job.freeTier }),
    ...(job.costSheet && job.pubkey !== null && { absorbed_sats: job.costSheet.subsidySats }),
    stubMode: job.simulated.length > 0,
    simulated: job.simulated,
    ...(job.lightningAddress && { lightningAddress: job.lightningAddress }),
    evalInvoice: invoiceBody(job.evalInvoice),
    ...(job.workInvoice && { workInvoice: invoiceBody(job.workInvoice) }),
    ...(job.quote && {
      pricingBreakdown: {
        estimatedCostUsd: job.quote.usd,
        marginPct: job.quote.config.marginPct,
        btcPriceUsd: job.quote.btc.usd,
      },
    }),
    ...(job.reason !== null && { reason: job.reason }),
    ...(result && { result: result.text, finishReason: result.finish }),
    ...(job.errorMessage !== null && { errorMessage: job.errorMessage }),
    ...(job.interrupted && { interrupted: true as const }),
    ...(costLedger && { costLedger }),
  };
}

/** What the work cost, once there is something to tell: a finished work, or money that is owed back. */
function costLedgerBody(job: Job, refund: Refund | null): CostLedgerBody | null {
  const { costSheet, quote } = job;
  if (!costSheet && !refund) return null;
  const usage = costSheet?.usage ??
    { inputTokens: 0, outputTokens: 0, source: job.evalUsage?.source ?? "api" as const };
  return {
    actualInputTokens: usage.inputTokens,
    actualOutputTokens: usage.outputTokens,
    totalTokens: usage.inputTokens + usage.outputTokens,
    actualCostUsd: costSheet?.modelCostUsd ?? 0,
    actualAmountSats: costSheet?.actualSats ?? 0,
    workAmountSats: job.workInvoice?.amountSats ?? 0,
    paidSats: job.paidSats,
    chargedSats: costSheet?.chargeSats ?? 0,
    refundAmountSats: refund?.sats ?? 0,
    refundState: refund?.state ?? "not_applicable",
    refundPaymentHash: refund?.payout?.paymentHash ?? null,
    refundClaimUntil: refund ? iso(refund.claimUntil) : null,
    refundFailure: refund?.lastFailure ?? null,
    refundAttempts: attemptsBody(refund),
    absorbedSats: costSheet?.subsidySats ?? 0,
    marginPct: quote?.config.marginPct ?? 0,
    btcPriceUsd: quote?.btc.usd ?? 0,
    btcPriceSource: quote?.btc.source ?? "none",
    infraUsd: costSheet?.infraUsd ?? 0,
    usageSource: usage.source,
  };
}
