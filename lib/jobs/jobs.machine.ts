/**
 * The states of a job (economy.md §4). Pure: each function takes the job and a fact, and returns everything the one
 * transaction writes, or says that nothing changes. Money that reached a job leaves it in the same step that ends it.
 */
import type { Usage } from "@/lib/ai/port.ts";
import type { BtcPrice } from "@/lib/btc-price/port.ts";
import { nonZero, type Posting } from "@/lib/ledger/ledger.rules.ts";
import { price, type PriceConfig, type Rates, settle } from "@/lib/metering/pricing.rules.ts";
import { newRefund, payoutFeeLimit, type Refund, refundAccount } from "@/lib/payments/refunds.machine.ts";
import type { TrustEvent } from "@/lib/identity/trust.rules.ts";
import type { TaskOrder } from "@/lib/tasks/due.ts";
import type { InvoiceSummary } from "@/lib/payments/invoices.rows.ts";
import type { JobState } from "./job-index.rows.ts";

export type { JobState };

export const TERMINAL: ReadonlySet<JobState> = new Set(["complete", "rejected", "failed", "expired"]);

/** The price of the work, with everything it was made from: the same figures convert the actual cost. */
export interface Quote {
  inputTokens: number;
  outputTokens: number;
  /** Hard limit handed to the model: what the price pays for. */
  maxOutputTokens: number;
  rates: Rates;
  config: PriceConfig;
  btc: BtcPrice;
  /** The whole quote: model and infrastructure, margin included (USD). */
  usd: number;
  sats: number;
}

/** What the work really cost and where every sat went. */
export interface CostSheet {
  usage: Usage;
  modelCostUsd: number;
  infraUsd: number;
  actualSats: number;
  chargeSats: number;
  subsidySats: number;
  refundSats: number;
  returnedSats: number;
}

export interface Job {
  v: 1;
  handle: string;
  state: JobState;
  createdAt: number;
  /** The Nostr key that asked, hex; null: nobody in particular. */
  pubkey: string | null;
  request: string;
  evalModel: string;
  workModel: string;
  /** Backends that were simulated when the job was made; every answer about it says so. */
  simulated: string[];
  evalInvoice: InvoiceSummary;
  evalPaid: boolean;
  /** What of it was earned as the fee: given back when the evaluation fails. */
  evalFeeSats: number;
  workInvoice: InvoiceSummary | null;
  quote: Quote | null;
  /** Sats that came into the job's account from the payer, and from the pool. */
  paidSats: number;
  grantedSats: number;
  /** What the free tier advised for the work invoice: taken from the pool, as far as it is there, when that is paid. */
  adviceSats: number;
  freeTier: FreeTierView | null;
  evalUsage: Usage | null;
  /** The evaluator's words: why it accepted or refused. */
  reason: string | null;
  errorMessage: string | null;
  costSheet: CostSheet | null;
  refundId: string | null;
}

/** What was decided about serving it from the pool. */
export interface FreeTierView {
  serve: "free" | "partial" | "gate";
  absorbSats: number;
  chargeSats: number;
}

/** All that one transition writes. */
export interface Step {
  outcome: "applied";
  job: Job;
  postings: Posting[];
  tasks: TaskOrder[];
  refund: Refund | null;
  /** The subsidy's end: what of it the work used; the rest goes back to the pool. null: it goes on, or there is none. */
  absorbed: number | null;
  /** A charge for work that was just earned: the pool has its share of it. */
  earnedSats: number;
  /** Advice given to the key, or (below 0) come to its end, with or without payment (sats). */
  adviceSats: number;
  /** What this means to the key that asked. */
  trust: TrustEvent | null;
}
/** The fact is known already, or came too late to mean anything: nothing is written. */
export interface NoStep {
  outcome: "replayed";
}

export interface RefundTerms {
  dustSats: number;
  claimDays: number;
  /** The most that the operator pays of a payout's routing fee (sats). */
  maxFeeSats: number;
}

const REPLAYED: NoStep = { outcome: "replayed" };
const jobAccount = (handle: string) => `job:${handle}`;

const applied = (job: Job, rest: Partial<Omit<Step, "outcome" | "job">> = {}): Step => ({
  outcome: "applied",
  job,
  postings: nonZero(rest.postings ?? []),
  tasks: rest.tasks ?? [],
  refund: rest.refund ?? null,
  absorbed: rest.absorbed ?? null,
  earnedSats: rest.earnedSats ?? 0,
  adviceSats: rest.adviceSats ?? 0,
  trust: rest.trust ?? null,
});

/** A new job waits for its evaluation fee. */
export function createJob(input: {
  handle: string;
  pubkey?: string | null;
  request: string;
  evalModel: string;
  workModel: string;
  simulated: string[];
  evalInvoice: InvoiceSummary;
  now: number;
}): Job {
  const { handle, pubkey = null, request, evalModel, workModel, simulated, evalInvoice, now } = input;
  return {
    v: 1,
    handle,
    state: "awaiting_eval_payment",
    createdAt: now,
    pubkey,
    request,
    evalModel,
    workModel,
    simulated,
    evalInvoice,
    evalPaid: false,
    evalFeeSats: 0,
    workInvoice: null,
    quote: null,
    paidSats: 0,
    grantedSats: 0,
    adviceSats: 0,
    freeTier: null,
    evalUsage: null,
    reason: null,
    errorMessage: null,
    costSheet: null,
    refundId: null,
  };
}

/**
 * The evaluation invoice settled: the fee is earned, the evaluation starts. An expired job comes back to life. What was
 * paid beyond the fee stays the payer's.
 */
export function evalPaid(job: Job, input: { paymentHash: string; paidSats: number; now: number }): Step | NoStep {
  if (job.evalPaid || input.paymentHash !== job.evalInvoice.paymentHash) return REPLAYED;
  const { paymentHash, paidSats, now } = input;
  const fee = Math.min(paidSats, job.evalInvoice.amountSats);
  const surplus = paidSats - fee;
  const account = jobAccount(job.handle);
  return applied({ ...job, state: "evaluating", evalPaid: true, evalFeeSats: fee, paidSats: job.paidSats + surplus }, {
    postings: [
      {
        id: `settle:${paymentHash}`,
        from: "lightning",
        to: "revenue:eval",
        sats: fee,
        kind: "eval-fee",
        ref: paymentHash,
      },
      {
        id: `settle-surplus:${paymentHash}`,
        from: "lightning",
        to: account,
        sats: surplus,
        kind: "overpaid",
        ref: paymentHash,
      },
    ],
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: now }],
  });
}

/**
 * The evaluator accepted: the job waits for the work invoice.
 * @param input.adviceSats how much less than the quote the invoice asks, since the free tier advised to help: nothing is
 * reserved for someone who may never pay.
 */
export function accepted(
  job: Job,
  input: { reason: string; usage: Usage; quote: Quote; workInvoice: InvoiceSummary; adviceSats?: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, quote, workInvoice, adviceSats = 0 } = input;
  const serve = adviceSats > 0 ? "partial" : "gate";
  const freeTier: FreeTierView | null = job.pubkey === null
    ? null
    : { serve, absorbSats: adviceSats, chargeSats: quote.sats - adviceSats };
  const next = { ...job, reason, evalUsage: usage, quote, workInvoice, adviceSats, freeTier };
  return applied({ ...next, state: "awaiting_work_payment" }, {
    adviceSats,
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: null }],
  });
}

/** The evaluator accepted, and the whole quote was reserved from the pool: the work starts, no invoice is made. */
export function acceptedFree(
  job: Job,
  input: { reason: string; usage: Usage; quote: Quote; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, quote, now } = input;
  const freeTier: FreeTierView = { serve: "free", absorbSats: quote.sats, chargeSats: 0 };
  const next = { ...job, reason, evalUsage: usage, quote, freeTier, grantedSats: quote.sats };
  return applied({ ...next, state: "executing" }, {
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: null }, { kind: "work", id: job.handle, dueAt: now }],
  });
}

/** The evaluator accepted, but the wallet made no invoice: the verdict is kept, and the wallet asked again at `againAt`. */
export function keepVerdict(job: Job, input: { reason: string; usage: Usage; againAt: number }): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, againAt } = input;
  return applied({ ...job, reason, evalUsage: usage }, {
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: againAt }],
  });
}

/** The verdict {@link keepVerdict} kept: an evaluating job with a usage was accepted. */
export const keptVerdict = (job: Job): { accepted: true; reason: string; usage: Usage } | null =>
  job.state === "evaluating" && job.evalUsage
    ? { accepted: true, reason: job.reason ?? "", usage: job.evalUsage }
    : null;

/** The evaluator refused: the fee stays earned, since the evaluation was delivered. */
export function rejected(
  job: Job,
  input: { reason: string; usage: Usage; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, terms, now } = input;
  const next = { ...job, state: "rejected" as const, reason, evalUsage: usage };
  return { ...giveBack(next, [], 0, "evaluate", terms, now), trust: { kind: "failure" } };
}

/** The evaluation failed for good: it was not delivered, so the fee goes back. */
export function evaluationFailed(
  job: Job,
  input: { message: string; usage: Usage | null; causedByRequest?: boolean; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { message, usage, causedByRequest = false, terms, now } = input;
  const fee = job.evalFeeSats;
  const next = { ...job, state: "failed" as const, errorMessage: message, evalUsage: usage };
  const back: Posting = {
    id: `eval-failed:${job.handle}`,
    from: "revenue:eval",
    to: jobAccount(job.handle),
    sats: fee,
    kind: "eval-fee-returned",
    ref: job.handle,
  };
  return { ...giveBack(next, [back], fee, "evaluate", terms, now), trust: blame(causedByRequest) };
}

/** A failure counts against a key only when what it asked caused it. */
const blame = (causedByRequest: boolean): TrustEvent | null => causedByRequest ? { kind: "failure" } : null;

/** Whether a settlement of this hash is the one that {@link workPaid} waits for. */
export const awaitsWork = (job: Job, paymentHash: string): boolean =>
  (job.state === "awaiting_work_payment" || job.state === "expired") && job.workInvoice?.paymentHash === paymentHash;

/**
 * The work invoice settled: the sats are the job's until it ends. An expired job comes back to life.
 * @param input.grantedSats what was taken from the pool with it, in the same transaction: no more than was advised.
 */
export function workPaid(
  job: Job,
  input: { paymentHash: string; paidSats: number; grantedSats?: number; now: number },
): Step | NoStep {
  if (!awaitsWork(job, input.paymentHash)) return REPLAYED;
  const { paymentHash, paidSats, grantedSats = 0, now } = input;
  const next = { ...job, paidSats: job.paidSats + paidSats, grantedSats: job.grantedSats + grantedSats };
  return applied({ ...next, state: "executing" }, {
    adviceSats: endedAdvice(job),
    postings: [{
      id: `settle:${paymentHash}`,
      from: "lightning",
      to: jobAccount(job.handle),
      sats: paidSats,
      kind: "work-payment",
      ref: paymentHash,
    }],
    tasks: [{ kind: "work", id: job.handle, dueAt: now }],
  });
}

/** The work is done: what it cost is earned, the rest is owed back. */
export function workDone(job: Job, input: { usage: Usage; terms: RefundTerms; now: number }): Step | NoStep {
  if (job.state !== "executing" || !job.quote) return REPLAYED;
  const { usage, terms, now } = input;
  const { rates, config, btc } = job.quote;
  const cost = price({
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    rates,
    config,
    btcUsd: btc.usd,
  });
  const parts = settle({ actualSats: cost.sats, paidSats: job.paidSats, grantedSats: job.grantedSats });
  const costSheet: CostSheet = {
    usage,
    modelCostUsd: cost.modelCostUsd,
    infraUsd: cost.infraUsd,
    actualSats: cost.sats,
    ...parts,
  };
  const from = jobAccount(job.handle);
  const about = { from, to: "revenue:work", ref: job.handle };
  const earned: Posting[] = [
    { id: `earned:${job.handle}`, sats: parts.chargeSats, kind: "work", ...about },
    { id: `subsidy-used:${job.handle}`, sats: parts.subsidySats, kind: "work-subsidy", ...about },
  ];
  const next = { ...job, state: "complete" as const, costSheet };
  return {
    ...giveBack(next, earned, parts.refundSats, "work", terms, now),
    absorbed: parts.subsidySats,
    earnedSats: parts.chargeSats,
    trust: { kind: "success", paidSats: parts.chargeSats },
  };
}

/** The work failed for good: everything that was paid for it goes back; the evaluation was delivered and stays earned. */
export function workFailed(
  job: Job,
  input: { message: string; causedByRequest?: boolean; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "executing") return REPLAYED;
  const next = { ...job, state: "failed" as const, errorMessage: input.message };
  const step = giveBack(next, [], job.paidSats, "work", input.terms, input.now);
  return { ...step, absorbed: 0, trust: blame(input.causedByRequest ?? false) };
}

/** An invoice ran out unpaid. A settlement that still comes revives the job. */
export function invoiceExpired(job: Job, input: { paymentHash: string }): Step | NoStep {
  const awaited = job.state === "awaiting_eval_payment"
    ? job.evalInvoice
    : job.state === "awaiting_work_payment"
    ? job.workInvoice
    : null;
  if (awaited?.paymentHash !== input.paymentHash) return REPLAYED;
  const surplus: Posting = {
    id: `overpaid:${job.handle}`,
    from: jobAccount(job.handle),
    to: "pool",
    sats: job.paidSats,
    kind: "overpaid-unclaimed",
    ref: job.handle,
  };
  return applied({ ...job, state: "expired", paidSats: 0 }, { postings: [surplus], adviceSats: endedAdvice(job) });
}

/** The advice of an invoice that waits no more; that of an expired one has ended before. */
const endedAdvice = (job: Job): number => job.state === "awaiting_work_payment" ? 0 - job.adviceSats : 0;

/** Ends a job: `owedSats` (and what was overpaid on the evaluation) become a refund, so its account is empty. */
function giveBack(
  job: Job,
  postings: Posting[],
  owedSats: number,
  taskKind: "evaluate" | "work",
  terms: RefundTerms,
  now: number,
): Step {
  const owed = taskKind === "evaluate" ? owedSats + job.paidSats : owedSats;
  const refund = newRefund({
    id: job.handle,
    source: { kind: "job", handle: job.handle },
    owner: job.pubkey,
    sats: owed,
    feeCreditSats: payoutFeeLimit(owed, terms.maxFeeSats),
    ...terms,
    now,
  });
  const from = jobAccount(job.handle);
  const rest: Posting = refund
    ? {
      id: `refund:${job.handle}`,
      from,
      to: refundAccount(refund.id),
      sats: owed,
      kind: "refund-owed",
      ref: job.handle,
    }
    : { id: `dust:${job.handle}`, from, to: "pool", sats: owed, kind: "refund-dust", ref: job.handle };
  return applied({ ...job, refundId: refund?.id ?? null }, {
    postings: [...postings, rest],
    tasks: [{ kind: taskKind, id: job.handle, dueAt: null }],
    refund,
  });
}
