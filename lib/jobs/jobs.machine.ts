/**
 * The states of a job (economy.md §4). Pure: each function takes the job and a fact, and returns everything the one
 * transaction writes, or says that nothing changes. Money that reached a job leaves it in the same step that ends it.
 */
import type { Usage } from "@/lib/ai/port.ts";
import { jobAccount } from "@/lib/ledger/accounts.ts";
import {
  evalFee,
  evalFeeReturned,
  nonZero,
  overpaid,
  overpaidUnclaimed,
  type Posting,
  refundDust,
  refundOwed,
  workPayment,
} from "@/lib/ledger/postings.ts";
import type { CostSheet, Outcome } from "@/lib/metering/close.rules.ts";
import type { FreeTierView } from "@/lib/metering/metering.ts";
import type { Quote } from "@/lib/metering/quote.rules.ts";
import { feeCredit } from "@/lib/payments/fees.rules.ts";
import { newRefund, type Refund } from "@/lib/payments/refunds.machine.ts";
import type { TrustEvent } from "@/lib/identity/trust.rules.ts";
import type { TaskOrder } from "@/lib/tasks/due.ts";
import type { InvoiceSummary } from "@/lib/payments/invoices.rows.ts";
import type { JobState } from "./job-index.rows.ts";

export type { JobState };

export const TERMINAL: ReadonlySet<JobState> = new Set(["complete", "rejected", "failed", "expired"]);

/** Whether nobody has paid anything for it yet, and still may: such a job counts as a challenge. */
export const isChallenge = (job: Pick<Job, "state">): boolean => job.state === "awaiting_eval_payment";

export interface Job {
  v: 1;
  handle: string;
  state: JobState;
  createdAt: number;
  /** The Nostr key that asked, hex; null: nobody in particular. */
  pubkey: string | null;
  /** The client address it came from, under a name that tells nobody the address; null: not known. */
  caller: string | null;
  request: string;
  evalModel: string;
  workModel: string;
  /** Where what it owes is paid by itself; null: whoever claims it says where. */
  lightningAddress: string | null;
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
  /** The subsidy that was advised with the work invoice: taken from the pool, as far as it is there, when that is paid. */
  adviceSats: number;
  freeTier: FreeTierView | null;
  evalUsage: Usage | null;
  /** What the evaluation's model took, rounded up (sats). */
  evalCostSats: number;
  /** The evaluator's words: why it accepted or refused. */
  reason: string | null;
  errorMessage: string | null;
  /** What the work cost and where every sat went, once it has ended. */
  costSheet: CostSheet | null;
  /** Complete, and broken off by the provider: the text that had been delivered is the answer. */
  interrupted: boolean;
  refundId: string | null;
}

/** What an evaluation took: tokens, and what the model took for them, rounded up (sats). */
export interface EvaluationCost {
  usage: Usage;
  evalCostSats: number;
}

/** All that one transition writes. */
export interface Step {
  outcome: "applied";
  job: Job;
  postings: Posting[];
  tasks: TaskOrder[];
  refund: Refund | null;
  /** Advice given to the key, or (below 0) come to its end, with or without payment (sats). */
  adviceSats: number;
  /** What the end of the evaluation means to the key that asked; that of the work is metered. */
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

const applied = (job: Job, rest: Partial<Omit<Step, "outcome" | "job">> = {}): Step => ({
  outcome: "applied",
  job,
  postings: nonZero(rest.postings ?? []),
  tasks: rest.tasks ?? [],
  refund: rest.refund ?? null,
  adviceSats: rest.adviceSats ?? 0,
  trust: rest.trust ?? null,
});

/** A new job waits for its evaluation fee. */
export function createJob(input: {
  handle: string;
  pubkey?: string | null;
  caller?: string | null;
  request: string;
  evalModel: string;
  workModel: string;
  lightningAddress?: string | null;
  simulated: string[];
  evalInvoice: InvoiceSummary;
  now: number;
}): Job {
  const { handle, pubkey = null, caller = null, request, evalModel, workModel, simulated, evalInvoice, now } = input;
  return {
    v: 1,
    handle,
    state: "awaiting_eval_payment",
    createdAt: now,
    pubkey,
    caller,
    request,
    evalModel,
    workModel,
    lightningAddress: input.lightningAddress ?? null,
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
    evalCostSats: 0,
    reason: null,
    errorMessage: null,
    costSheet: null,
    interrupted: false,
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
  return applied({ ...job, state: "evaluating", evalPaid: true, evalFeeSats: fee, paidSats: job.paidSats + surplus }, {
    postings: [evalFee({ paymentHash, sats: fee }), overpaid(job.handle, { paymentHash, sats: surplus })],
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
  input: EvaluationCost & { reason: string; quote: Quote; workInvoice: InvoiceSummary; adviceSats?: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, evalCostSats, quote, workInvoice, adviceSats = 0 } = input;
  const serve = adviceSats > 0 ? "partial" : "gate";
  const freeTier: FreeTierView | null = job.pubkey === null
    ? null
    : { serve, absorbSats: adviceSats, chargeSats: quote.sats - adviceSats };
  const next = { ...job, reason, evalUsage: usage, evalCostSats, quote, workInvoice, adviceSats, freeTier };
  return applied({ ...next, state: "awaiting_work_payment" }, {
    adviceSats,
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: null }],
  });
}

/** The evaluator accepted, and the whole quote was reserved from the pool: the work starts, no invoice is made. */
export function acceptedFree(
  job: Job,
  input: EvaluationCost & { reason: string; quote: Quote; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, evalCostSats, quote, now } = input;
  const freeTier: FreeTierView = { serve: "free", absorbSats: quote.sats, chargeSats: 0 };
  const next = { ...job, reason, evalUsage: usage, evalCostSats, quote, freeTier, grantedSats: quote.sats };
  return applied({ ...next, state: "executing" }, {
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: null }, { kind: "work", id: job.handle, dueAt: now }],
  });
}

/** The evaluator accepted, but the wallet made no invoice: the verdict is kept, and the wallet asked again at `againAt`. */
export function keepVerdict(job: Job, input: EvaluationCost & { reason: string; againAt: number }): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, evalCostSats, againAt } = input;
  return applied({ ...job, reason, evalUsage: usage, evalCostSats }, {
    tasks: [{ kind: "evaluate", id: job.handle, dueAt: againAt }],
  });
}

/** The verdict {@link keepVerdict} kept: an evaluating job with a usage was accepted. */
export const keptVerdict = (job: Job): EvaluationCost & { accepted: true; reason: string } | null =>
  job.state === "evaluating" && job.evalUsage
    ? { accepted: true, reason: job.reason ?? "", usage: job.evalUsage, evalCostSats: job.evalCostSats }
    : null;

/** The evaluator refused: the fee stays earned, since the evaluation was delivered. */
export function rejected(
  job: Job,
  input: EvaluationCost & { reason: string; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, evalCostSats, terms, now } = input;
  const next = { ...job, state: "rejected" as const, reason, evalUsage: usage, evalCostSats };
  return { ...giveBack(next, [], 0, "evaluate", terms, now), trust: { kind: "failure" } };
}

/** The provider refused to evaluate the request, which is to blame: the fee stays earned, as when the evaluator refuses. */
export function evaluationRefused(
  job: Job,
  input: { usage: Usage | null; evalCostSats: number } & { reason: string; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { reason, usage, evalCostSats, terms, now } = input;
  const next = { ...job, state: "rejected" as const, reason, evalUsage: usage, evalCostSats };
  return { ...giveBack(next, [], 0, "evaluate", terms, now), trust: { kind: "failure" } };
}

/**
 * The evaluation failed for good, and the request is not to blame: the fee goes back.
 * @param input.keptSats what of it stays: 0, but for a payer whose free failures of the hour are used up.
 */
export function evaluationFailed(
  job: Job,
  input: { usage: Usage | null; evalCostSats: number } & {
    message: string;
    keptSats: number;
    terms: RefundTerms;
    now: number;
  },
): Step | NoStep {
  if (job.state !== "evaluating") return REPLAYED;
  const { message, usage, evalCostSats, keptSats, terms, now } = input;
  const backSats = job.evalFeeSats - Math.min(job.evalFeeSats, keptSats);
  const next = {
    ...job,
    state: "failed" as const,
    errorMessage: message,
    evalUsage: usage ?? null,
    evalCostSats: evalCostSats ?? 0,
  };
  return giveBack(next, [evalFeeReturned(job.handle, backSats)], backSats, "evaluate", terms, now);
}

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
    postings: [workPayment(job.handle, { paymentHash, sats: paidSats })],
    tasks: [{ kind: "work", id: job.handle, dueAt: now }],
  });
}

/**
 * The work has ended, and its account was charged by economy.md §4a: the rest is owed back. Text that was delivered makes the
 * job complete, though it was broken off; without any it has failed.
 */
export function workEnded(
  job: Job,
  input: { outcome: Outcome; costSheet: CostSheet; grantedSats: number; terms: RefundTerms; now: number },
): Step | NoStep {
  if (job.state !== "executing") return REPLAYED;
  const { outcome, costSheet, grantedSats, terms, now } = input;
  const interrupted = outcome.end === "broken" || ("delivered" in outcome && outcome.delivered);
  const complete = outcome.end === "complete" || interrupted;
  const next: Job = {
    ...job,
    state: complete ? "complete" : "failed",
    interrupted,
    grantedSats,
    costSheet,
    reason: outcome.end === "refused" ? outcome.reason : job.reason,
    errorMessage: messageOf(outcome, costSheet),
  };
  return giveBack(next, [], costSheet.refundSats, "work", terms, now);
}

/** What the payer reads of work that did not come to its end. */
function messageOf(outcome: Outcome, { chargeSats, refundSats }: CostSheet): string | null {
  if (outcome.end === "complete") return null;
  const why = outcome.end === "refused" ? outcome.reason : outcome.errorMessage;
  const charged = chargeSats > 0 ? `${chargeSats} sats were charged. ` : "";
  const back = refundSats > 0
    ? "What is left of what was paid can be taken back with a POST to this job's /refund."
    : "";
  return `${why} ${charged}${back}`.trim();
}

/** An invoice ran out unpaid. A settlement that still comes revives the job. */
export function invoiceExpired(job: Job, input: { paymentHash: string }): Step | NoStep {
  const awaited = job.state === "awaiting_eval_payment"
    ? job.evalInvoice
    : job.state === "awaiting_work_payment"
    ? job.workInvoice
    : null;
  if (awaited?.paymentHash !== input.paymentHash) return REPLAYED;
  const surplus = overpaidUnclaimed(job.handle, job.paidSats);
  return applied({ ...job, state: "expired", paidSats: 0 }, { postings: [surplus], adviceSats: endedAdvice(job) });
}

/** The advice of an invoice that waits no more; that of an expired one has ended before. */
const endedAdvice = (job: Job): number => job.state === "awaiting_work_payment" ? 0 - job.adviceSats : 0;

/**
 * The routing fees that the operator pays on what the job owes: no more than it has earned him (economy.md §5).
 * @param keptFeeSats what of the evaluation fee stays earned
 */
const jobFeeCredit = (job: Job, keptFeeSats: number, { maxFeeSats }: RefundTerms): number =>
  feeCredit({
    maxFeeSats,
    chargesSats: keptFeeSats + (job.costSheet?.chargeSats ?? 0),
    modelCostSats: job.evalCostSats + (job.costSheet?.modelCostSats ?? 0),
    poolShareSats: job.costSheet?.poolShareSats ?? 0,
    feesSats: 0,
  });

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
  const keptFeeSats = taskKind === "evaluate" ? job.evalFeeSats - owedSats : job.evalFeeSats;
  const refund = newRefund({
    id: job.handle,
    source: { kind: "job", handle: job.handle },
    owner: job.pubkey,
    sats: owed,
    feeCreditSats: jobFeeCredit(job, keptFeeSats, terms),
    address: job.lightningAddress ?? null, // a job of before addresses could be left has no such field
    ...terms,
    now,
  });
  const from = jobAccount(job.handle);
  const rest = refund ? refundOwed(refund.id, from, owed, job.handle) : refundDust(job.handle, from, owed, job.handle);
  return applied({ ...job, refundId: refund?.id ?? null }, {
    postings: [...postings, rest],
    tasks: [{ kind: taskKind, id: job.handle, dueAt: null }],
    refund,
  });
}
