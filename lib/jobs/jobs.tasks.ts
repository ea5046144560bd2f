/** Background work of jobs: what a settled invoice starts, and what settlements and expiries mean to a job. */
import { ModelError, type Usage } from "@/lib/ai/port.ts";
import type { Decision } from "@/lib/free-tier/free-tier.rules.ts";
import { decideAndReserve, decideDryRun, type Recipient, takeSubsidy } from "@/lib/free-tier/pool.rows.ts";
import { sha256Hex } from "@/lib/ids.ts";
import { jobAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { charge, lateUnclaimed } from "@/lib/ledger/postings.ts";
import { type CreatedInvoice, WalletError } from "@/lib/lightning/port.ts";
import { borneSats, type Outcome } from "@/lib/metering/close.rules.ts";
import { bearFailure } from "@/lib/metering/free-failures.ts";
import { type Books, close as closeMetered } from "@/lib/metering/metering.ts";
import { satsOf, usdOfTokens } from "@/lib/metering/pricing.rules.ts";
import { type Quote, quoteOf } from "@/lib/metering/quote.rules.ts";
import { failedBy, type Ran, run } from "@/lib/metering/run.ts";
import { addInvoice, dropInvoiceLater, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import type { InvoiceHandler } from "@/lib/payments/settlements.ts";
import type { Services } from "@/lib/services.ts";
import type { Tx } from "@/lib/store/store.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { quoteJob } from "./job-quote.ts";
import {
  accepted,
  acceptedFree,
  awaitsWork,
  evalPaid,
  type EvaluationCost,
  evaluationFailed,
  evaluationRefused,
  invoiceExpired,
  type Job,
  keepVerdict,
  keptVerdict,
  type NoStep,
  type RefundTerms,
  rejected,
  type Step,
  workEnded,
  workPaid,
} from "./jobs.machine.ts";
import { dropJob, getJob, putResult, writeStep } from "./jobs.rows.ts";

/** One try and three more (economy.md §4). */
const MODEL_ATTEMPTS = 4;
const LEASE_MS = 60_000;
/** How long until a wallet that made no invoice for an accepted job is asked again (ms). */
const WALLET_AGAIN_MS = 5_000;

export function jobTasks(services: Services): {
  tasks: TaskSpec[];
  handlers: { "job-eval": InvoiceHandler; "job-work": InvoiceHandler };
  /** Ends a job whose reservation has stood too long. */
  subsidyExpired(tx: Tx, handle: string, now: number): Promise<void>;
  /** Why the last model call failed, unless the request was to blame; null when it did not. */
  modelError(): string | null;
} {
  const { store, model, liveText, wallet, clock, log, settings } = services;
  const terms: RefundTerms = {
    dustSats: settings.refundDustSats,
    claimDays: settings.refundClaimDays,
    maxFeeSats: settings.refundMaxFeeSats,
  };

  const rules = settings.freeTier;
  let modelError: string | null = null;

  /** Remembers how a model call ended, for readiness. */
  async function noted<T>(call: Promise<T>): Promise<T> {
    try {
      const answer = await call;
      modelError = null;
      return answer;
    } catch (error) {
      if (error instanceof ModelError && !error.causedByRequest) modelError = error.message;
      throw error;
    }
  }

  /** Runs a transition under the lease; without it, or when it no longer means anything, only the task ends. */
  async function close(
    lease: Lease,
    transition: (job: Job, tx: Tx, now: number) => Step | NoStep | Promise<Step | NoStep>,
  ): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      const job = await getJob(tx, lease.id);
      const written = job !== null && await writeStep(tx, job, await transition(job, tx, now), rules, now);
      if (!written) await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
    });
  }
  const nothingToDo = (lease: Lease) => close(lease, () => ({ outcome: "replayed" }));

  async function evaluate(lease: Lease, signal: AbortSignal): Promise<void> {
    const job = await getJob(store, lease.id);
    if (job?.state !== "evaluating") return await nothingToDo(lease);
    const { request, evalModel } = job;
    // An earlier run had the verdict and no invoice: what was paid for is not bought again.
    const verdict = keptVerdict(job) ?? await judge(request, evalModel, signal);
    const { accepted, ...cost } = verdict;
    if (!accepted) return await close(lease, (job, _tx, now) => rejected(job, { ...cost, terms, now }));
    await offerWork(lease, job, cost);
  }

  async function judge(request: string, evalModel: string, signal: AbortSignal) {
    const { accepted, reason, usage } = await noted(
      model.evaluate({ model: evalModel, request, signal, deadlineMs: settings.modelDeadlineMs }),
    );
    return { accepted, reason, usage, evalCostSats: await evalCost(evalModel, usage) };
  }

  /** What an evaluation's model took, rounded up (sats). */
  async function evalCost(evalModel: string, usage: Usage | null): Promise<number> {
    if (usage === null) return 0;
    const usd = usdOfTokens(usage, await services.ratesFor(evalModel));
    return Math.ceil(satsOf(usd, services.btcPrice.current().usd));
  }

  /** The evaluation failed for good: who is to blame decides what becomes of the fee. */
  async function giveUpEvaluation(lease: Lease, cause: unknown): Promise<void> {
    const usage = cause instanceof ModelError ? cause.usage ?? null : null;
    const evalCostSats = await evalCost(settings.evalModel, usage);
    if (cause instanceof ModelError && cause.causedByRequest) {
      const reason = `The model's provider refused to judge it: ${cause.message}.`;
      return await close(lease, (job, _tx, now) => evaluationRefused(job, { reason, usage, evalCostSats, terms, now }));
    }
    const why = cause instanceof ModelError ? cause.message : "a backend did not answer";
    const message =
      `The evaluation failed: ${why}. What was paid for it can be taken back with a POST to this job's /refund.`;
    const rates = await services.ratesFor(settings.evalModel);
    await close(lease, async (job, tx, now) => {
      const keptSats = await notBorne(tx, job, failedBy(cause, { evaluation: usage, work: null }), rates, now);
      return evaluationFailed(job, { message, usage, evalCostSats, keptSats, terms, now });
    });
  }

  /** What a payer pays of an evaluation that failed: nothing, while the instance bears it (sats). */
  async function notBorne(tx: Tx, job: Job, outcome: Outcome, rates: Quote["rates"], now: number): Promise<number> {
    const evaluation = { inputTokens: 0, outputTokens: 0, rates };
    const none = { inputTokens: 0, mostInputTokens: 0, outputTokens: 0, maxOutputTokens: 0 };
    const quote = quoteOf({ ...none, rates, evaluation, config: settings.price, btc: services.btcPrice.current() });
    const sats = borneSats(quote, outcome);
    const payers = { session: null, pubkey: job.pubkey, caller: job.caller };
    const free = await bearFailure(tx, payers, { sats, satsPerHour: settings.freeFailures.satsPerHour, now });
    return free ? 0 : sats;
  }

  /**
   * Prices the work. Served free it starts at once; else the wallet makes the invoice, and only then both are committed
   * together with the new state.
   */
  async function offerWork(lease: Lease, job: Job, cost: EvaluationCost & { reason: string }): Promise<void> {
    const quote = await quoteJob(services, job); // locked into the job with the invoice
    const look = { pubkey: job.pubkey, estimateSats: quote.sats, now: clock.now() };
    let decision = await decideDryRun(store, rules, look);
    if (decision.serve === "free") {
      decision = await startFree(lease, { ...cost, quote });
      if (decision.serve === "free") return;
    }
    const adviceSats = decision.serve === "partial" ? Math.min(decision.adviceSats, quote.sats - 1) : 0;
    const amountSats = quote.sats - adviceSats;
    let created: CreatedInvoice;
    try {
      const { invoiceExpirySeconds: expirySeconds } = settings;
      created = await wallet.createInvoice({ amountSats, memo: "Timmy: work", expirySeconds });
    } catch (error) {
      if (!(error instanceof WalletError)) throw error;
      log.warn(
        { backend: wallet.name, reason: error.message },
        "no invoice for an accepted job; the wallet is asked again",
      );
      return await close(lease, (job, _tx, now) => keepVerdict(job, { ...cost, againAt: now + WALLET_AGAIN_MS }));
    }
    const workInvoice: InvoiceSummary = { ...created, amountSats };
    await close(lease, async (job, tx, now) => {
      // Another job of the key was advised meanwhile: decide again, with the verdict kept. Nobody has seen this invoice.
      const raced = adviceSats > helpIn(await decideDryRun(tx, rules, { ...look, now }));
      if (raced) return keepVerdict(job, { ...cost, againAt: now });
      const step = accepted(job, { ...cost, quote, workInvoice, adviceSats });
      if (step.outcome === "applied") await addInvoice(tx, newInvoice("job-work", job.handle, workInvoice, now));
      return step;
    });
  }

  /**
   * Reserves the whole quote and starts the work, in one commit.
   * @returns what was decided there: the pool may have been drained since somebody looked, and then nothing is written.
   */
  async function startFree(
    lease: Lease,
    input: EvaluationCost & { reason: string; quote: Quote },
  ): Promise<Decision> {
    const now = clock.now();
    return await store.transact(async (tx): Promise<Decision> => {
      const job = await getJob(tx, lease.id);
      // Somebody else ended it or took it over: nothing is left to decide.
      if (!job || !(await holdsLease(tx, lease))) return { serve: "free", sats: 0 };
      const step = acceptedFree(job, { ...input, now });
      if (step.outcome === "replayed") {
        await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
        return { serve: "free", sats: 0 };
      }
      const decision = await decideAndReserve(tx, rules, recipientOf(job), {
        estimateSats: input.quote.sats,
        account: jobAccount(job.handle),
        now,
      });
      if (decision.serve === "free") await writeStep(tx, job, step, rules, now);
      return decision;
    });
  }

  async function work(lease: Lease, stopped: AbortSignal): Promise<void> {
    const job = await getJob(store, lease.id);
    if (job?.state !== "executing" || !job.quote) return await nothingToDo(lease);
    await endWork(lease, await write(job, job.quote, stopped));
  }

  /** Asks the model, and lets whoever follows the job see the text as it comes: that much is delivered. */
  async function write(job: Job, quote: Quote, stopped: AbortSignal): Promise<Ran> {
    const { handle, request, workModel } = job;
    liveText.begin(handle);
    try {
      return await run({
        evaluate: null,
        work: (limit) =>
          noted(model.work({ model: workModel, request, deadlineMs: settings.modelDeadlineMs, ...limit })),
        // Some servers count no tokens in a stream, and a count is worth more than a show without an audience.
        ...(liveText.followed(handle) && { deliver: (piece) => liveText.append(handle, piece) }),
        prompt: () => request,
      }, {
        quote,
        fundsSats: job.paidSats + job.grantedSats,
        minOutputTokens: settings.minOutputTokens,
        gone: NEVER, // whoever paid for a job may close the laptop
        stopped,
        triedAgain: true,
      });
    } finally {
      liveText.end(handle);
    }
  }

  async function endWork(lease: Lease, { outcome, text }: Ran): Promise<void> {
    await close(lease, async (job, tx, now) => {
      const step = await concludeWork(tx, job, outcome, now);
      if (step.outcome === "applied" && step.job.state === "complete") {
        putResult(tx, job.handle, { text, finish: outcome.end === "complete" ? outcome.finish : "length" });
      }
      return step;
    });
  }

  /** Charges what the work cost and gives the rest back, whoever ended it. */
  async function concludeWork(tx: Tx, job: Job, outcome: Outcome, now: number): Promise<Step | NoStep> {
    if (job.state !== "executing" || !job.quote) return { outcome: "replayed" };
    const { handle, quote, paidSats, grantedSats, pubkey, caller } = job;
    const account = jobAccount(handle);
    const books: Books = { survives: "crash", subsidyAccount: account, revenue: REVENUE.work, feedsPool: true };
    const payer = { earned: (sats: number) => [charge(handle, account, REVENUE.work, sats)] };
    const requestHash = pubkey === null ? "" : sha256Hex(job.request);
    const about = { id: handle, session: null, pubkey, caller, requestHash, at: job.createdAt };
    const metered = { ...about, quote, paidSats, grantedSats, adviceSats: 0 };
    const closed = await closeMetered(tx, settings, payer, metered, { outcome, books, now });
    return workEnded(job, { outcome, ...closed, terms, now });
  }

  /** The advised subsidy is taken now that the payer has paid, as far as pool and budget still have it. */
  async function takeAdvised(tx: Tx, job: Job, paymentHash: string, now: number): Promise<number> {
    if (job.adviceSats === 0 || !awaitsWork(job, paymentHash)) return 0;
    const { adviceSats, handle } = job;
    return await takeSubsidy(tx, rules, recipientOf(job), { adviceSats, account: jobAccount(handle), now });
  }

  const settled =
    (transition: typeof workPaid): InvoiceHandler["settled"] =>
    async (tx, { paymentHash, ref, purpose }, paidSats, now) => {
      const job = await getJob(tx, ref);
      // Forgotten long ago, unpaid: nobody can be given the money, and it must not be missing in the books either.
      if (!job && purpose === "job-eval") return await post(tx, [lateUnclaimed({ paymentHash, sats: paidSats })], now);
      if (!job) throw new Error("a settled invoice belongs to no job");
      const grantedSats = await takeAdvised(tx, job, paymentHash, now);
      const step = transition(job, { paymentHash, paidSats, grantedSats, now });
      const written = await writeStep(tx, job, step, rules, now);
      if (!written) throw new Error(`a settlement arrived for a job that is ${job.state}: refusing to lose it`);
      tx.event({ type: "invoice_settled", handle: ref, amountSats: paidSats });
    };

  const expired: InvoiceHandler["expired"] = async (tx, { paymentHash, ref }, now) => {
    const job = await getJob(tx, ref);
    if (job) await writeStep(tx, job, invoiceExpired(job, { paymentHash }), rules, now);
  };

  const forgotten: InvoiceHandler["forgotten"] = async (tx, { paymentHash, ref }, now) => {
    const job = await getJob(tx, ref);
    if (!job) return;
    await dropJob(tx, job);
    await dropInvoiceLater(tx, paymentHash, now);
  };

  /** A subsidy whose time is over ends its job: nothing may keep the pool's sats for ever. */
  async function subsidyExpired(tx: Tx, handle: string, now: number): Promise<void> {
    const job = await getJob(tx, handle);
    if (job) await writeStep(tx, job, await concludeWork(tx, job, TOO_LONG, now), rules, now);
  }

  const base = { leaseMs: LEASE_MS, maxAttempts: MODEL_ATTEMPTS, maxDelayMs: 60_000 };
  return {
    tasks: [
      {
        ...base,
        kind: "evaluate",
        concurrency: 32,
        run: evaluate,
        giveUp: giveUpEvaluation,
      },
      {
        ...base,
        kind: "work",
        concurrency: 32,
        run: work,
        giveUp: (lease, cause) => endWork(lease, { outcome: failedBy(cause), text: "" }),
      },
    ],
    modelError: () => modelError,
    subsidyExpired,
    handlers: {
      "job-eval": { settled: settled(evalPaid), expired, forgotten },
      "job-work": { settled: settled(workPaid), expired },
    },
  };
}

const NEVER = new AbortController().signal;
const TOO_LONG: Outcome = {
  ...failedBy(null),
  end: "failed",
  by: "us",
  errorMessage: "The work took too long.",
  failure: null,
};

/** What a decision would take from the pool (sats). */
const helpIn = (decision: Decision): number =>
  decision.serve === "free" ? decision.sats : decision.serve === "partial" ? decision.adviceSats : 0;

/** Who takes from the pool, and for what; only a job of a key does. */
function recipientOf(job: Job): Recipient {
  if (job.pubkey === null) throw new Error("nobody in particular takes nothing from the pool");
  return { id: job.handle, session: null, pubkey: job.pubkey, requestHash: sha256Hex(job.request) };
}
