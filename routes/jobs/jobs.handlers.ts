import type { AppDeps } from "@/lib/app-deps.ts";
import type { AppRouteHandler } from "@/lib/create-app.ts";
import { badRequest, conflict, notFound, unavailable } from "@/lib/errors.ts";
import { type EventWait, waitForEvent } from "@/lib/events.ts";
import { type IdempotencyScope, idempotencyScope, recall, remember } from "@/lib/idempotency.ts";
import { newHandle } from "@/lib/ids.ts";
import type { StoredEvent } from "@/lib/kv.ts";
import { decodeInvoice, InvoiceError } from "@/lib/lightning/bolt11.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import type { PayoutInvoice } from "@/lib/payouts.ts";
import type { Refund } from "@/lib/rules/refunds.ts";
import { checkRequest } from "@/lib/rules/requests.ts";
import { addInvoice, type InvoiceSummary } from "@/lib/stores/invoices.ts";
import { getRefund } from "@/lib/stores/refunds.ts";
import { invoiceBody, jobBody } from "./jobs.body.ts";
import { createJob as newJob, type Job } from "./jobs.machine.ts";
import type { CreateJobRoute, GetJobRoute, RefundJobRoute } from "./jobs.routes.ts";
import { getJob as readJob, jobKey, putJob, readWhole } from "./jobs.store.ts";
import { newInvoice } from "./jobs.tasks.ts";

/** How long a refund claim waits for the wallet before it answers 202 (ms). */
const PAYOUT_WAIT_MS = 10_000;

const iso = (ms: number) => new Date(ms).toISOString();

export const createJob: AppRouteHandler<CreateJobRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { request } = c.req.valid("json");
  const wrong = checkRequest(request, deps.settings.requestMaxChars);
  if (wrong) throw badRequest(wrong.code, wrong.message);

  const key = c.req.valid("header")["idempotency-key"];
  const scope = key === undefined
    ? null
    : idempotencyScope({ route: "POST /api/jobs", credential: c.get("clientAddress"), key, body: { request } });
  const job = scope
    ? await deps.oneAtATime(scope.id, () => makeJob(deps, request, scope))
    : await makeJob(deps, request, null);
  return c.json({
    jobId: deps.capabilities.idOf("job", job.handle),
    state: job.state,
    createdAt: iso(job.createdAt),
    evalInvoice: invoiceBody(job.evalInvoice),
    stubMode: job.simulated.length > 0,
    simulated: job.simulated,
  }, 201);
};

/** The invoice first, since the wallet is outside the transaction: one that nobody ever saw expires and costs nothing. */
async function makeJob(deps: AppDeps, request: string, scope: IdempotencyScope | null): Promise<Job> {
  const { store, clock, settings } = deps;
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "known") return await known(deps, before.ref);
  if (before?.outcome === "conflict") throw keyTaken();
  const amountSats = settings.evalFeeSats;
  const created = await deps.wallet.createInvoice({
    amountSats,
    memo: "Timmy: evaluation",
    expirySeconds: settings.invoiceExpirySeconds,
  }).catch((cause) => {
    if (!(cause instanceof WalletError)) throw cause;
    throw unavailable("wallet_unavailable", "The Lightning wallet did not make an invoice. Try again shortly.", 5, {
      cause,
    });
  });
  const now = clock.now();
  const evalInvoice: InvoiceSummary = { ...created, amountSats };
  const { evalModel, workModel } = settings;
  const simulated = [deps.wallet.simulated && "lightning", deps.model.simulated && "model"].filter((name) =>
    name !== false
  );
  const job = newJob({ handle: newHandle(deps.random), request, evalModel, workModel, simulated, evalInvoice, now });
  const outcome = await store.transact(async (tx) => {
    const taken = scope && await recall(tx, scope, now);
    if (taken && taken.outcome !== "new") return taken;
    if (await tx.get(jobKey(job.handle))) throw new Error("two jobs drew the same handle");
    putJob(tx, job);
    addInvoice(tx, newInvoice("job-eval", job.handle, evalInvoice, now));
    if (scope) remember(tx, scope, job.handle, now);
    tx.event({ type: "job_state", handle: job.handle, state: job.state });
    return { outcome: "created" as const };
  });
  if (outcome.outcome === "created") return job;
  if (outcome.outcome === "known") return await known(deps, outcome.ref);
  throw keyTaken();
}

const keyTaken = () =>
  conflict(
    "idempotency_conflict",
    "This Idempotency-Key was used with another body. Use a new key for a new job.",
  );

/** The job that an idempotency key made, as it was when it was made: the same answer again. */
async function known(deps: AppDeps, handle: string): Promise<Job> {
  const job = await readJob(deps.store, handle);
  if (!job) throw new Error("an idempotency key names a job that does not exist");
  return { ...job, state: "awaiting_eval_payment" };
}

export const getJob: AppRouteHandler<GetJobRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { id } = c.req.valid("param");
  const handle = deps.capabilities.handleOf("job", id);
  const whole = handle ? await readWhole(deps.store, handle) : null;
  if (!whole) throw noSuchJob();
  const { job, result, refund } = whole;
  return c.json(jobBody(id, job, result, refund), 200);
};

export const refundJob: AppRouteHandler<RefundJobRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const job = await jobOf(deps, c.req.valid("param").id);
  const refund = job.refundId ? await getRefund(deps.store, job.refundId) : null;
  if (!refund) {
    throw conflict("no_refund", "This job owes nothing. Only a finished job that cost less than was paid does.");
  }
  if (refund.state !== "pending") throw alreadyClaimed(refund);

  const invoice = checkInvoice(c.req.valid("json").invoice, refund, job, deps.clock.now());
  const decided = waitForEvent(deps.store, deps.clock, (event) => isPayoutOutcome(event, job.handle), PAYOUT_WAIT_MS);
  const after = await claimAndWait(deps, refund, invoice, decided).finally(decided.cancel);
  const body = {
    refundPaymentHash: invoice.paymentHash,
    refundAmountSats: refund.sats,
    stubMode: job.simulated.length > 0,
  };
  if (after.state === "paid") return c.json({ refundState: "paid" as const, ...body }, 200);
  if (after.state === "paying") return c.json({ refundState: "paying" as const, ...body }, 202);
  throw unavailable(
    "payout_failed",
    "The invoice could not be paid. Nothing left; claim again, perhaps with another invoice.",
    5,
    {
      details: { reason: after.lastFailure ?? "unknown", refundAmountSats: refund.sats },
    },
  );
};

/** Claims and waits for the wallet's word. @returns the refund as it then is: paid, still being paid, or open again. */
async function claimAndWait(
  deps: AppDeps,
  refund: Refund,
  invoice: PayoutInvoice,
  decided: EventWait,
): Promise<Refund> {
  const claimed = await deps.payouts.claim(refund.id, invoice);
  if (claimed.outcome === "used") {
    throw badRequest("invoice_used", "This invoice's payment hash was used before. Make a new invoice and send that.");
  }
  if (claimed.outcome !== "claimed") throw alreadyClaimed(await getRefund(deps.store, refund.id) ?? refund);
  await decided.event;
  const after = await getRefund(deps.store, refund.id) ?? refund;
  // Ours failed, and somebody has claimed with another invoice since: that one's outcome is not ours to report.
  if (after.payout && after.payout.paymentHash !== invoice.paymentHash) throw alreadyClaimed(after);
  return after;
}

const isPayoutOutcome = (event: StoredEvent, handle: string): boolean =>
  event.type === "refund_state" && event.handle === handle && event.state !== "paying";

/** The job an id opens. An id that was not made here and one whose job is gone look the same. */
export async function jobOf(deps: AppDeps, id: string): Promise<Job> {
  const handle = deps.capabilities.handleOf("job", id);
  const job = handle ? await readJob(deps.store, handle) : null;
  if (!job) throw noSuchJob();
  return job;
}

const noSuchJob = () => notFound("There is no such job. Check the id that creating it returned.", "job_not_found");

/** Everything about a payer's invoice that can be wrong, before a single sat moves (economy.md §5). */
function checkInvoice(text: string, refund: Refund, job: Job, now: number): PayoutInvoice {
  const paymentRequest = text.trim().replace(/^lightning:/i, "").toLowerCase();
  let invoice;
  try {
    invoice = decodeInvoice(paymentRequest);
  } catch (error) {
    if (!(error instanceof InvoiceError)) throw error;
    throw badRequest(`invoice_${error.code}`, error.message);
  }
  const { prefix } = decodeInvoice(job.evalInvoice.paymentRequest);
  if (invoice.prefix !== prefix) {
    throw badRequest(
      "invoice_wrong_network",
      `The invoice is for another network (${invoice.prefix}); this wallet pays ${prefix}.`,
    );
  }
  if (invoice.amountMsat === null) {
    throw badRequest(
      "invoice_without_amount",
      `The invoice names no amount. Make one for exactly ${refund.sats} sats.`,
    );
  }
  if (invoice.amountSats !== refund.sats) {
    throw badRequest("invoice_wrong_amount", `The invoice is not for exactly ${refund.sats} sats. Make one that is.`, {
      expectedSats: refund.sats,
    });
  }
  if (invoice.expiresAt <= now) throw badRequest("invoice_expired", "The invoice has expired. Make a new one.");
  return { paymentHash: invoice.paymentHash, paymentRequest };
}

function alreadyClaimed(refund: Refund) {
  const details = { refundState: refund.state, refundPaymentHash: refund.payout?.paymentHash ?? null };
  return refund.state === "expired"
    ? conflict("refund_expired", "Nobody claimed this refund in time; it is no longer owed.", details)
    : conflict(
      "refund_claimed",
      "This refund was claimed before; see details for the payment hash it is paid to.",
      details,
    );
}
