import type { AppDeps } from "@/lib/http/app-deps.ts";
import { addressOf, claimTo, refuseUnpayable } from "@/lib/http/claims.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { invoiceOver } from "@/lib/http/invoices.ts";
import { badRequest, conflict, keyTaken, notFound } from "@/lib/http/errors.ts";
import { type IdempotencyScope, idempotencyScope, recall, remember } from "@/lib/tasks/idempotency.ts";
import { callerName, newHandle } from "@/lib/ids.ts";
import { failuresBorneAgainAt } from "@/lib/metering/free-failures.ts";
import { failuresExhausted, tooManyOpenChallenges } from "@/lib/http/spending.ts";
import { checkRequest } from "@/lib/metering/request-text.rules.ts";
import { simulatedParts } from "@/lib/services.ts";
import { addInvoice, invoiceBody, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { challengesFull } from "@/lib/payments/open-challenges.rows.ts";
import { getRefund } from "@/lib/payments/refunds.rows.ts";
import { tierNow } from "@/lib/identity/trust.rows.ts";
import { identityOf } from "@/middlewares/identity.ts";
import { jobBody } from "./jobs.body.ts";
import { createJob as newJob, type Job } from "@/lib/jobs/jobs.machine.ts";
import type { CreateJobRoute, GetJobRoute, RefundJobRoute } from "./jobs.routes.ts";
import { getJob as readJob, jobKey, putNewJob, readWhole } from "@/lib/jobs/jobs.rows.ts";

const iso = (ms: number) => new Date(ms).toISOString();

export const createJob: AppRouteHandler<CreateJobRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { request, nostr_token, lightningAddress: left } = c.req.valid("json");
  const wrong = checkRequest(request, deps.settings.requestMaxChars);
  if (wrong) throw badRequest(wrong.code, wrong.message);
  const lightningAddress = left === undefined ? null : addressOf(left);
  const pubkey = await identityOf(c, nostr_token);

  const key = c.req.valid("header")["idempotency-key"];
  const credential = pubkey ?? c.get("clientAddress");
  const refundTo = lightningAddress !== null && { lightningAddress };
  const scope = key === undefined
    ? null
    : idempotencyScope({ route: "POST /api/jobs", credential, key, body: { request, ...refundTo } });
  const asked = { request, pubkey, lightningAddress, caller: callerName(deps.recordIds, c.get("clientAddress")) };
  const job = scope
    ? await deps.oneAtATime(scope.id, () => makeJob(deps, asked, scope))
    : await makeJob(deps, asked, null);
  return c.json({
    jobId: deps.recordIds.idOf("job", job.handle),
    state: job.state,
    createdAt: iso(job.createdAt),
    evalInvoice: invoiceBody(job.evalInvoice),
    ...(job.lightningAddress && { lightningAddress: job.lightningAddress }),
    trust_tier: await tierOf(deps, job.pubkey),
    stubMode: job.simulated.length > 0,
    simulated: job.simulated,
  }, 201);
};

/** The invoice first, since the wallet is outside the transaction: one that nobody ever saw expires and costs nothing. */
async function makeJob(
  deps: AppDeps,
  asked: { request: string; pubkey: string | null; lightningAddress: string | null; caller: string },
  scope: IdempotencyScope | null,
): Promise<Job> {
  const { store, clock, settings } = deps;
  const before = scope && await recall(store, scope, clock.now());
  if (before?.outcome === "known") return await known(deps, before.ref);
  if (before?.outcome === "conflict") throw keyTaken("job");
  const until = await failuresBorneAgainAt(store, settings.freeFailures.satsPerHour, clock.now());
  if (until !== null) throw failuresExhausted(until - clock.now());
  if (await challengesFull(store, settings.maxOpenChallenges)) throw tooManyOpenChallenges();
  if (asked.lightningAddress !== null) await refuseUnpayable(deps, asked.lightningAddress);
  const evalInvoice = await invoiceOver(deps, settings.evalFeeSats, "Timmy: evaluation");
  const now = clock.now();
  const { evalModel, workModel } = settings;
  const simulated = simulatedParts(deps);
  const handle = newHandle(deps.random);
  const job = newJob({ handle, ...asked, evalModel, workModel, simulated, evalInvoice, now });
  const outcome = await store.transact(async (tx) => {
    const taken = scope && await recall(tx, scope, now);
    if (taken && taken.outcome !== "new") return taken;
    if (await tx.get(jobKey(job.handle))) throw new Error("two jobs drew the same handle");
    if (await challengesFull(tx, settings.maxOpenChallenges)) return { outcome: "full" as const };
    await putNewJob(tx, job);
    await addInvoice(tx, newInvoice("job-eval", job.handle, evalInvoice, now));
    if (scope) await remember(tx, scope, job.handle, now);
    tx.event({ type: "job_state", handle: job.handle, state: job.state });
    return { outcome: "created" as const };
  });
  if (outcome.outcome === "created") return job;
  if (outcome.outcome === "known") return await known(deps, outcome.ref);
  if (outcome.outcome === "full") throw tooManyOpenChallenges();
  throw keyTaken("job");
}

/** The job that an idempotency key made, as it was when it was made: the same answer again. */
async function known(deps: AppDeps, handle: string): Promise<Job> {
  const job = await readJob(deps.store, handle);
  if (!job) throw new Error("an idempotency key names a job that does not exist");
  return { ...job, state: "awaiting_eval_payment" };
}

export const getJob: AppRouteHandler<GetJobRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { id } = c.req.valid("param");
  const handle = deps.recordIds.handleOf("job", id);
  const whole = handle ? await readWhole(deps.store, handle) : null;
  if (!whole) throw noSuchJob();
  return c.json(jobBody(id, { ...whole, tier: await tierOf(deps, whole.job.pubkey) }), 200);
};

export const refundJob: AppRouteHandler<RefundJobRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const job = await jobOf(deps, c.req.valid("param").id);
  const refund = job.refundId ? await getRefund(deps.store, job.refundId) : null;
  if (!refund) {
    throw conflict("no_refund", "This job owes nothing. Only a finished job that cost less than was paid does.");
  }
  const about = { ownInvoice: job.evalInvoice.paymentRequest, simulated: job.simulated };
  const { status, body } = await claimTo(deps, refund, c.req.valid("json"), about);
  return c.json(body, status);
};

/** How far the key of a job is trusted now. */
const tierOf = ({ store, settings, clock }: AppDeps, pubkey: string | null) =>
  tierNow(store, pubkey, settings.freeTier.trust, clock.now());

/** The job an id opens. An id that was not made here and one whose job is gone look the same. */
export async function jobOf(deps: AppDeps, id: string): Promise<Job> {
  const handle = deps.recordIds.handleOf("job", id);
  const job = handle ? await readJob(deps.store, handle) : null;
  if (!job) throw noSuchJob();
  return job;
}

const noSuchJob = () => notFound("There is no such job. Check the id that creating it returned.", "job_not_found");
