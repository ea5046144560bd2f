/**
 * The states of a job (economy.md §4). Pure: each function takes the job and a fact, and returns everything the one
 * transaction writes, or says that nothing changes. Money that reached a job leaves it in the same step that ends it.
 */
import type { Usage } from "@/lib/ai/port.ts";
import type { BtcPrice } from "@/lib/btc-price/port.ts";
import { type Move, nonZero } from "@/lib/rules/ledger.ts";
import { price, type PriceConfig, type Rates, settle } from "@/lib/rules/pricing.ts";
import { newRefund, type Refund, refundAccount } from "@/lib/rules/refunds.ts";
import type { TaskOrder } from "@/lib/stores/due.ts";
import type { InvoiceSummary } from "@/lib/stores/invoices.ts";

export type JobState =
  | "awaiting_eval_payment"
  | "evaluating"
  | "awaiting_work_payment"
  | "executing"
  | "complete"
  | "rejected"
  | "failed"
  | "expired";

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
export interface Closing {
  usage: Usage;
  modelCostUsd: number;
  infraUsd: number;
  actualSats: number;
  chargeSats: number;
  absorbedSats: number;
  refundSats: number;
  returnedSats: number;
}

export interface Job {
  v: 1;
  handle: string;
  state: JobState;
  createdAt: number;
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
  evalUsage: Usage | null;
  /** The evaluator's words: why it accepted or refused. */
  reason: string | null;
  errorMessage: string | null;
  closing: Closing | null;
  refundId: string | null;
}

/** All that one transition writes. */
export interface Step {
  outcome: "applied";
  job: Job;
  moves: Move[];
  tasks: TaskOrder[];
  refund: Refund | null;
}
/** The fact is known already, or came too late to mean anything: nothing is written. */
export interface NoStep {
  outcome: "replayed";
}

export interface RefundTerms {
  dustSats: number;
  claimDays: number;
}

const REPLAYED: NoStep = { outcome: "replayed" };
const jobAccount = (handle: string) => `job:${handle}`;

const applied = (job: Job, rest: Partial<Omit<Step, "outcome" | "job">> = {}): Step => ({
  outcome: "applied",
  job,
  moves: nonZero(rest.moves ?? []),
  tasks: rest.tasks ?? [],
  refund: rest.refund ?? null,
});

/** A new job waits for its evaluation fee. */
export function createJob(input: {
  handle: string;
  request: string;
  evalModel: string;
  workModel: string;
  simulated: string[];
  evalInvoice: InvoiceSummary;
  now: number;
}): Job {
  const { handle, request, evalModel, workModel, simulated, evalInvoice, now } = input;
  return {
    v: 1,
    handle,
    state: "awaiting_eval_payment",
    createdAt: now,
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
    evalUsage: null,
    reason: null,
    errorMessage: null,
    closing: null,
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
    moves: [
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

/** The evaluator accepted: the job waits for the work invoice. */
export function accepted(
  job: Job,
  input: { reason: string; usage: Usage; quote: Quote; workInvoice: InvoiceSummary },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, quote, workInvoice } = input;
  return applied({ ...job, state: "awaiting_work_payment", reason, evalUsage: usage, quote, workInvoice }, {
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: null }],
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
  return giveBack(next, [], 0, "evaluate", terms, now);
}

/** The evaluation failed for good: it was not delivered, so the fee goes back. */
export function evaluationFailed(
  job: Job,
  input: { message: string; usage: Usage | null; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { message, usage, terms, now } = input;
  const fee = job.evalFeeSats;
  const next = { ...job, state: "failed" as const, errorMessage: message, evalUsage: usage };
  const back: Move = {
    id: `eval-failed:${job.handle}`,
    from: "revenue:eval",
    to: jobAccount(job.handle),
    sats: fee,
    kind: "eval-fee-returned",
    ref: job.handle,
  };
  return giveBack(next, [back], fee, "evaluate", terms, now);
}

/** The work invoice settled: the sats are the job's until it ends. An expired job comes back to life. */
export function workPaid(job: Job, input: { paymentHash: string; paidSats: number; now: number }): Step | NoStep {
  const waits = job.state === "awaiting_work_payment" || job.state === "expired";
  if (!waits || input.paymentHash !== job.workInvoice?.paymentHash) return REPLAYED;
  const { paymentHash, paidSats, now } = input;
  return applied({ ...job, state: "executing", paidSats: job.paidSats + paidSats }, {
    moves: [{
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
  const closing: Closing = {
    usage,
    modelCostUsd: cost.modelCostUsd,
    infraUsd: cost.infraUsd,
    actualSats: cost.sats,
    ...parts,
  };
  const earned: Move = {
    id: `earned:${job.handle}`,
    from: jobAccount(job.handle),
    to: "revenue:work",
    sats: parts.chargeSats + parts.absorbedSats,
    kind: "work",
    ref: job.handle,
  };
  const next = { ...job, state: "complete" as const, closing };
  return giveBack(next, [earned], parts.refundSats, "work", terms, now);
}

/** The work failed for good: everything that was paid for it goes back; the evaluation was delivered and stays earned. */
export function workFailed(job: Job, input: { message: string; terms: RefundTerms; now: number }): Step | NoStep {
  if (job.state !== "executing") return REPLAYED;
  const next = { ...job, state: "failed" as const, errorMessage: input.message };
  return giveBack(next, [], job.paidSats, "work", input.terms, input.now);
}

/** An invoice ran out unpaid. A settlement that still comes revives the job. */
export function invoiceExpired(job: Job, input: { paymentHash: string }): Step | NoStep {
  const awaited = job.state === "awaiting_eval_payment"
    ? job.evalInvoice
    : job.state === "awaiting_work_payment"
    ? job.workInvoice
    : null;
  if (awaited?.paymentHash !== input.paymentHash) return REPLAYED;
  const surplus: Move = {
    id: `overpaid:${job.handle}`,
    from: jobAccount(job.handle),
    to: "unclaimed",
    sats: job.paidSats,
    kind: "overpaid-unclaimed",
    ref: job.handle,
  };
  return applied({ ...job, state: "expired", paidSats: 0 }, { moves: [surplus] });
}

/** Ends a job: `owedSats` (and what was overpaid on the evaluation) become a refund, so its account is empty. */
function giveBack(
  job: Job,
  moves: Move[],
  owedSats: number,
  taskKind: "evaluate" | "work",
  terms: RefundTerms,
  now: number,
): Step {
  const owed = taskKind === "evaluate" ? owedSats + job.paidSats : owedSats;
  const refund = newRefund({ id: job.handle, source: { kind: "job", handle: job.handle }, sats: owed, ...terms, now });
  const from = jobAccount(job.handle);
  const rest: Move = refund
    ? {
      id: `refund:${job.handle}`,
      from,
      to: refundAccount(refund.id),
      sats: owed,
      kind: "refund-owed",
      ref: job.handle,
    }
    : { id: `dust:${job.handle}`, from, to: "unclaimed", sats: owed, kind: "refund-dust", ref: job.handle };
  return applied({ ...job, refundId: refund?.id ?? null }, {
    moves: [...moves, rest],
    tasks: [{ kind: taskKind, id: job.handle, dueAt: null }],
    refund,
  });
}
