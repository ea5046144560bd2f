import type { Usage, WorkResult } from "@/lib/ai/port.ts";
import { ModelError } from "@/lib/ai/port.ts";
import type { Services } from "@/lib/services.ts";
import { sha256Hex } from "@/lib/ids.ts";
import type { Tx } from "@/lib/store/store.ts";
import { type CreatedInvoice, WalletError } from "@/lib/lightning/port.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import type { Decision } from "@/lib/free-tier/free-tier.rules.ts";
import { affordableOutputTokens, quote as quotePrice } from "@/lib/metering/pricing.rules.ts";
import type { InvoiceHandler } from "@/lib/payments/settlements.ts";
import { holdsLease, type Lease } from "@/lib/tasks/due.ts";
import { addInvoice, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { decideAndReserve, decideDryRun, type Recipient, takeSubsidy } from "@/lib/free-tier/pool.rows.ts";
import {
  accepted,
  acceptedFree,
  awaitsWork,
  evalPaid,
  evaluationFailed,
  invoiceExpired,
  type Job,
  keepVerdict,
  keptVerdict,
  type NoStep,
  type Quote,
  type RefundTerms,
  rejected,
  type Step,
  workDone,
  workFailed,
  workPaid,
} from "./jobs.machine.ts";
import { getJob, putResult, writeStep } from "./jobs.rows.ts";

/** One try and three more (economy.md §4). */
const MODEL_ATTEMPTS = 4;
const LEASE_MS = 60_000;
/** How long until a wallet that made no invoice for an accepted job is asked again (ms). */
const WALLET_AGAIN_MS = 5_000;
/** No answer is longer than so many times the expected length, whatever it costs. */
const FREE_OUTPUT_FACTOR = 4;

/** Background work of jobs: what a settled invoice starts, and what settlements and expiries mean to a job. */
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
      const written = job !== null && await writeStep(tx, await transition(job, tx, now), rules, now);
      if (!written) tx.task({ kind: lease.kind, id: lease.id, dueAt: null });
    });
  }
  const nothingToDo = (lease: Lease) => close(lease, () => ({ outcome: "replayed" }));

  async function evaluate(lease: Lease, signal: AbortSignal): Promise<void> {
    const job = await getJob(store, lease.id);
    if (job?.state !== "evaluating") return await nothingToDo(lease);
    const { request, evalModel } = job;
    // An earlier run had the verdict and no invoice: what was paid for is not bought again.
    const verdict = keptVerdict(job) ??
      await noted(model.evaluate({ model: evalModel, request, signal, deadlineMs: settings.modelDeadlineMs }));
    const { reason, usage } = verdict;
    if (!verdict.accepted) return await close(lease, (job, _tx, now) => rejected(job, { reason, usage, terms, now }));
    await offerWork(lease, job, reason, usage);
  }

  /**
   * Prices the work. Served free it starts at once; else the wallet makes the invoice, and only then both are committed
   * together with the new state.
   */
  async function offerWork(lease: Lease, job: Job, reason: string, usage: Usage): Promise<void> {
    const quote = await quoteFor(job);
    const look = { pubkey: job.pubkey, estimateSats: quote.sats, now: clock.now() };
    let decision = await decideDryRun(store, rules, look);
    if (decision.serve === "free") {
      decision = await startFree(lease, { reason, usage, quote });
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
      return await close(lease, (job, _tx, now) => keepVerdict(job, { reason, usage, againAt: now + WALLET_AGAIN_MS }));
    }
    const workInvoice: InvoiceSummary = { ...created, amountSats };
    await close(lease, async (job, tx, now) => {
      // Another job of the key was advised meanwhile: decide again, with the verdict kept. Nobody has seen this invoice.
      const raced = adviceSats > helpIn(await decideDryRun(tx, rules, { ...look, now }));
      if (raced) return keepVerdict(job, { reason, usage, againAt: now });
      const step = accepted(job, { reason, usage, quote, workInvoice, adviceSats });
      if (step.outcome === "applied") addInvoice(tx, newInvoice("job-work", job.handle, workInvoice, now));
      return step;
    });
  }

  /**
   * Reserves the whole quote and starts the work, in one commit.
   * @returns what was decided there: the pool may have been drained since somebody looked, and then nothing is written.
   */
  async function startFree(
    lease: Lease,
    input: { reason: string; usage: Usage; quote: Quote },
  ): Promise<Decision> {
    const now = clock.now();
    return await store.transact(async (tx): Promise<Decision> => {
      const job = await getJob(tx, lease.id);
      // Somebody else ended it or took it over: nothing is left to decide.
      if (!job || !(await holdsLease(tx, lease))) return { serve: "free", sats: 0 };
      const step = acceptedFree(job, { ...input, now });
      if (step.outcome === "replayed") {
        tx.task({ kind: lease.kind, id: lease.id, dueAt: null });
        return { serve: "free", sats: 0 };
      }
      const account = `job:${job.handle}`;
      const decision = await decideAndReserve(tx, rules, recipientOf(job), {
        estimateSats: input.quote.sats,
        account,
        now,
      });
      if (decision.serve === "free") await writeStep(tx, step, rules, now);
      return decision;
    });
  }

  /** The price of a job's work now; it is locked into the job with the invoice. */
  async function quoteFor(job: Pick<Job, "request" | "workModel">): Promise<Quote> {
    const rates = await settings.ratesFor(job.workModel);
    const btc = services.btcPrice.current();
    const config = settings.price;
    const { inputTokens, outputTokens, totalUsd, sats } = quotePrice({
      request: job.request,
      rates,
      config,
      btcUsd: btc.usd,
    });
    // A model whose output is free gets a limit too: its time is not.
    const max = outputTokens * FREE_OUTPUT_FACTOR;
    const maxOutputTokens = affordableOutputTokens({
      paidSats: sats,
      inputTokens,
      rates,
      config,
      btcUsd: btc.usd,
      max,
    });
    return { inputTokens, outputTokens, maxOutputTokens, rates, config, btc, usd: totalUsd, sats };
  }

  async function work(lease: Lease, signal: AbortSignal): Promise<void> {
    const job = await getJob(store, lease.id);
    if (job?.state !== "executing" || !job.quote) return await nothingToDo(lease);
    const { text, usage, finish } = await write(job, outputLimit(job, job.quote), signal);
    await close(lease, (job, tx, now) => {
      const step = workDone(job, { usage, terms, now });
      if (step.outcome === "applied") putResult(tx, job.handle, { text, finish });
      return step;
    });
  }

  /**
   * What the price paid for, or, when the pool had less than it advised, what was paid and granted. It never falls below the
   * smallest useful answer: the payer was promised one for what they paid, so the operator bears that difference.
   */
  function outputLimit(job: Job, quote: Quote): number {
    const { inputTokens, rates, config, btc, maxOutputTokens: max } = quote;
    const paidSats = job.paidSats + job.grantedSats;
    if (paidSats >= quote.sats) return max;
    const affordable = affordableOutputTokens({ paidSats, inputTokens, rates, config, btcUsd: btc.usd, max });
    return Math.max(affordable, Math.min(max, settings.minOutputTokens));
  }

  /** Asks the model, and lets whoever follows the job see the text as it comes. */
  async function write(job: Job, maxOutputTokens: number, signal: AbortSignal): Promise<WorkResult> {
    liveText.begin(job.handle);
    try {
      return await noted(model.work({
        model: job.workModel,
        request: job.request,
        maxOutputTokens,
        signal,
        deadlineMs: settings.modelDeadlineMs,
        // Some servers count no tokens in a stream, and a count is worth more than a show without an audience.
        ...(liveText.followed(job.handle) && { onText: (piece) => liveText.append(job.handle, piece) }),
      }));
    } finally {
      liveText.end(job.handle);
    }
  }

  /** The advised help is taken now that the payer has paid, as far as pool and budget still have it. */
  async function takeAdvised(tx: Tx, job: Job, paymentHash: string, now: number): Promise<number> {
    if (job.adviceSats === 0 || !awaitsWork(job, paymentHash)) return 0;
    const { adviceSats, handle } = job;
    return await takeSubsidy(tx, rules, recipientOf(job), { adviceSats, account: `job:${handle}`, now });
  }

  const settled =
    (transition: typeof workPaid): InvoiceHandler["settled"] => async (tx, { paymentHash, ref }, paidSats, now) => {
      const job = await getJob(tx, ref);
      if (!job) throw new Error("a settled invoice belongs to no job");
      const grantedSats = await takeAdvised(tx, job, paymentHash, now);
      const step = transition(job, { paymentHash, paidSats, grantedSats, now });
      const written = await writeStep(tx, step, rules, now);
      if (!written) throw new Error(`a settlement arrived for a job that is ${job.state}: refusing to lose it`);
      tx.event({ type: "invoice_settled", handle: ref, amountSats: paidSats });
    };

  const expired: InvoiceHandler["expired"] = async (tx, { paymentHash, ref }, now) => {
    const job = await getJob(tx, ref);
    if (job) await writeStep(tx, invoiceExpired(job, { paymentHash }), rules, now);
  };

  /** A reservation whose time is over ends its job: nothing may hold the pool's sats for ever. */
  async function subsidyExpired(tx: Tx, handle: string, now: number): Promise<void> {
    const job = await getJob(tx, handle);
    if (!job) return;
    const message = "The work took too long. What was paid for it can be taken back with a POST to this job's /refund.";
    await writeStep(tx, workFailed(job, { message, terms, now }), rules, now);
  }

  const base = { leaseMs: LEASE_MS, maxAttempts: MODEL_ATTEMPTS, maxDelayMs: 60_000 };
  return {
    tasks: [
      {
        ...base,
        kind: "evaluate",
        concurrency: 32,
        run: evaluate,
        giveUp: (lease, cause) =>
          close(lease, (job, _tx, now) => {
            const usage = cause instanceof ModelError ? cause.usage ?? null : null;
            const causedByRequest = isBlamed(cause);
            return evaluationFailed(job, {
              message: messageOf("evaluation", cause),
              usage,
              causedByRequest,
              terms,
              now,
            });
          }),
      },
      {
        ...base,
        kind: "work",
        concurrency: 32,
        run: work,
        giveUp: (lease, cause) =>
          close(lease, (job, _tx, now) => {
            const causedByRequest = isBlamed(cause);
            return workFailed(job, { message: messageOf("work", cause), causedByRequest, terms, now });
          }),
      },
    ],
    modelError: () => modelError,
    subsidyExpired,
    handlers: {
      "job-eval": { settled: settled(evalPaid), expired },
      "job-work": { settled: settled(workPaid), expired },
    },
  };
}

/** What a decision would take from the pool (sats). */
const helpIn = (decision: Decision): number =>
  decision.serve === "free" ? decision.sats : decision.serve === "partial" ? decision.adviceSats : 0;

const isBlamed = (cause: unknown): boolean => cause instanceof ModelError && cause.causedByRequest;

/** Who takes from the pool, and for what; only a job of a key does. */
function recipientOf(job: Job): Recipient {
  if (job.pubkey === null) throw new Error("nobody in particular takes nothing from the pool");
  return { id: job.handle, session: null, pubkey: job.pubkey, requestHash: sha256Hex(job.request) };
}

/** What the payer reads: that it failed and that the money comes back, nothing of the backend's inside. */
function messageOf(what: "evaluation" | "work", cause: unknown): string {
  const why = cause instanceof ModelError ? cause.message : "a backend did not answer";
  return `The ${what} failed: ${why}. What was paid for it can be taken back with a POST to this job's /refund.`;
}
