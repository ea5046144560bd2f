/**
 * The control of the crash harness: the same routes, rules, ledger and wallet as the real server, put together the way it
 * is usually done. As long as it lives it does everything right. It is killed and
 *
 * - forgets which Idempotency-Key made which job: the keys are in memory;
 * - loses paid work: what is to be done next is in memory, and nothing looks for it at the next start;
 * - tears a step apart: the job's state, its ledger postings and its refund are three commits;
 * - pays a refund twice: it pays first and writes it down when the wallet has answered;
 * - has forgotten what it holds of sessions, and charges in a second commit: see naive-sessions.ts.
 */
import { createOpenAiCompatibleModel } from "@/lib/ai/openai-compatible.ts";
import { createModelRouter } from "@/lib/ai/router.ts";
import { createSimulatedModel } from "@/lib/ai/simulated.ts";
import { systemClock } from "@/lib/clock.ts";
import { createRecordIds, newHandle, systemRandom } from "@/lib/ids.ts";
import { openDataDir } from "@/lib/store/data-dir.ts";
import { createStore } from "@/lib/store/store.ts";
import { decodeInvoice } from "@/lib/lightning/bolt11.ts";
import { createSimulatedWallet } from "@/lib/lightning/simulated.ts";
import { affordableOutputTokens, quote as quotePrice } from "@/lib/metering/pricing.rules.ts";
import { payoutClaimed, payoutPaid } from "@/lib/payments/refunds.machine.ts";
import { addInvoice, getInvoice, type Invoice, newInvoice, settleInvoice } from "@/lib/payments/invoices.rows.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { getRefund, payoutKey, type PayoutRow, putRefund } from "@/lib/payments/refunds.rows.ts";
import { jobBody } from "@/routes/jobs/jobs.body.ts";
import * as machine from "@/lib/jobs/jobs.machine.ts";
import { getJob, getResult, putJob, putResult } from "@/lib/jobs/jobs.rows.ts";
import { TEST_RATES, TEST_SETTINGS } from "@/tests/harness/world.ts";
import { naiveSessions } from "./naive-sessions.ts";

/** How long the wallet's answer is on its way (ms): what a real one takes at least. */
const WALLET_ANSWER_MS = 30;

const clock = systemClock;
const random = systemRandom;
const { evalModel, workModel, evalFeeSats, refundClaimDays: claimDays, refundDustSats: dustSats } = TEST_SETTINGS;
const terms = { claimDays, dustSats, maxFeeSats: 10 };

async function openNaiveServer(
  dataDir: string,
  modelUrl: string,
): Promise<(request: Request) => Promise<Response>> {
  const dir = await openDataDir(dataDir, random);
  const store = await createStore({ engine: await dir.openEngine("timmy.kv"), clock, random });
  const walletStore = await createStore({ engine: await dir.openEngine("simulated-wallet.kv"), clock, random });
  const seed = await dir.secret("simulated-wallet.seed", 32);
  const wallet = createSimulatedWallet({ store: walletStore, seed, clock, random });
  const model = createModelRouter({
    hosted: createSimulatedModel({ clock }),
    local: createOpenAiCompatibleModel({ baseURL: modelUrl, clock }),
  });
  const recordIds = createRecordIds(await dir.secret("capability.key", 32));

  const jobsOfKeys = new Map<string, Promise<machine.Job>>();
  const refundsUnderWay = new Set<string>();

  /** One step of a job, in three commits. */
  async function write(step: machine.Step | machine.NoStep): Promise<machine.Job | null> {
    if (step.outcome === "replayed") return null;
    const { job, postings, refund } = step;
    // In this order nobody sees a job without its refund, as long as the process lives.
    if (refund) await store.transact((tx) => putRefund(tx, refund));
    await store.transact((tx) => putJob(tx, job));
    await store.transact((tx) => post(tx, postings, clock.now()));
    return job;
  }

  const bill = async (amountSats: number) => ({
    ...await wallet.createInvoice({ amountSats, memo: "naive", expirySeconds: 86_400 }),
    amountSats,
  });

  async function makeJob(request: string): Promise<machine.Job> {
    const evalInvoice = await bill(evalFeeSats);
    const now = clock.now();
    const job = machine.createJob({
      handle: newHandle(random),
      request,
      evalModel,
      workModel,
      simulated: ["lightning", "model"],
      evalInvoice,
      now,
    });
    await store.transact(async (tx) => {
      putJob(tx, job);
      await addInvoice(tx, newInvoice("job-eval", job.handle, evalInvoice, now));
    });
    return job;
  }

  /** The wallet says that this invoice was paid. Whoever is not listening at this moment never hears of it. */
  async function settled(invoice: Invoice): Promise<void> {
    const { paymentHash, ref, purpose, amountSats } = invoice;
    const now = clock.now();
    const { outcome } = await store.transact((tx) => settleInvoice(tx, paymentHash, amountSats, now));
    if (purpose.startsWith("session")) return outcome === "settled" ? await sessions.settled(invoice, now) : undefined;
    const job = await getJob(store, ref);
    if (outcome !== "settled" || !job) return;
    const fact = { paymentHash, paidSats: amountSats, now };
    const paid = await write(purpose === "job-eval" ? machine.evalPaid(job, fact) : machine.workPaid(job, fact));
    if (paid) await (purpose === "job-eval" ? evaluate(paid) : work(paid));
  }

  const call = (job: machine.Job) => ({
    request: job.request,
    signal: new AbortController().signal,
    deadlineMs: 60_000,
  });

  async function evaluate(job: machine.Job): Promise<void> {
    try {
      const { accepted, reason, usage } = await model.evaluate({ model: job.evalModel, ...call(job) });
      if (!accepted) return void await write(machine.rejected(job, { reason, usage, terms, now: clock.now() }));
      const quote = quoteFor(job);
      const workInvoice = await bill(quote.sats);
      await store.transact((tx) => addInvoice(tx, newInvoice("job-work", job.handle, workInvoice, clock.now())));
      await write(machine.accepted(job, { reason, usage, quote, workInvoice }));
    } catch (error) {
      await write(
        machine.evaluationFailed(job, { message: (error as Error).message, usage: null, terms, now: clock.now() }),
      );
    }
  }

  async function work(job: machine.Job): Promise<void> {
    try {
      const maxOutputTokens = job.quote?.maxOutputTokens ?? 1;
      const { text, usage, finish } = await model.work({ model: job.workModel, maxOutputTokens, ...call(job) });
      await store.transact((tx) => putResult(tx, job.handle, { text, finish }));
      await write(machine.workDone(job, { usage, terms, now: clock.now() }));
    } catch (error) {
      await write(machine.workFailed(job, { message: (error as Error).message, terms, now: clock.now() }));
    }
  }

  function quoteFor(job: machine.Job): machine.Quote {
    const rates = TEST_RATES;
    const config = TEST_SETTINGS.price;
    const btc = { usd: 100_000, source: "naive", at: clock.now() };
    const { inputTokens, outputTokens, totalUsd, sats } = quotePrice({
      request: job.request,
      rates,
      config,
      btcUsd: btc.usd,
    });
    const affordable = affordableOutputTokens({ paidSats: sats, inputTokens, rates, config, btcUsd: btc.usd });
    return {
      inputTokens,
      outputTokens,
      maxOutputTokens: affordable ?? outputTokens,
      rates,
      config,
      btc,
      usd: totalUsd,
      sats,
    };
  }

  async function payRefund(refundId: string | null, paymentRequest: string): Promise<Response> {
    const refund = refundId ? await getRefund(store, refundId) : null;
    if (!refund) return json(409, { error: { code: "no_refund" } });
    const { paymentHash } = decodeInvoice(paymentRequest);
    if (refund.state !== "pending") return taken("paid", refund.payout?.paymentHash ?? null);
    if (refundsUnderWay.has(refund.id)) return json(503, { error: { code: "try_again" } });
    refundsUnderWay.add(refund.id);
    try {
      const payment = await wallet.pay({
        paymentRequest,
        paymentHash,
        amountSats: refund.sats,
        maxFeeSats: 10,
        timeoutMs: 10_000,
      });
      await new Promise((resolve) => setTimeout(resolve, WALLET_ANSWER_MS));
      if (payment.state !== "paid") return json(503, { error: { code: "payout_failed" } });
      const now = clock.now();
      const claimed = payoutClaimed(refund, {
        paymentHash,
        paymentRequest,
        amountSats: refund.sats,
        claimedAt: now,
      });
      const done = claimed.outcome === "claimed"
        ? payoutPaid(claimed.refund, { paymentHash, preimage: payment.preimage, feeSats: 0, now })
        : null;
      if (!done) throw new Error("a pending refund was not payable");
      await store.transact(async (tx) => {
        await putRefund(tx, done.refund);
        tx.set(payoutKey(paymentHash), { v: 1, paymentHash, refundId: refund.id, at: now } satisfies PayoutRow);
      });
      await store.transact((tx) => post(tx, done.postings.filter(({ sats }) => sats > 0), now));
      return json(200, {
        refundState: "paid",
        refundPaymentHash: paymentHash,
        refundAmountSats: refund.sats,
        stubMode: true,
      });
    } finally {
      refundsUnderWay.delete(refund.id);
    }
  }

  const sessions = naiveSessions({ store, wallet, model, recordIds, payRefund });
  wallet.watch((paymentHash) => {
    void getInvoice(store, paymentHash).then((invoice) => invoice && settled(invoice));
  }, new AbortController().signal);

  return async (request) => {
    const path = new URL(request.url).pathname.split("/").slice(2);
    const body = request.method === "POST" ? await request.json().catch(() => ({})) : {};
    if (path[0] === "health") return json(200, { status: "ok" });
    if (path[0] === "dev" && path[2] === "invoice") {
      return json(201, await wallet.createExternalInvoice({ amountSats: body.amountSats }));
    }
    if (path[0] === "dev") {
      const paid = await wallet.payInvoice(path[3] ?? "");
      if (!paid.ok && paid.reason !== "already-paid") return json(409, { error: { code: paid.reason } });
      return json(200, { ok: true, paymentHash: path[3], ...(paid.ok && { preimage: paid.preimage }) });
    }
    const ofSession = await sessions.serve(request, path, body);
    if (ofSession) return ofSession;
    if (path[1] === undefined) {
      const key = request.headers.get("idempotency-key") ?? "";
      const made = jobsOfKeys.get(key) ?? makeJob(body.request);
      jobsOfKeys.set(key, made);
      const job = await made;
      const jobId = recordIds.idOf("job", job.handle);
      const { evalInvoice, createdAt } = jobBody(jobId, { job, result: null, refund: null, tier: "anonymous" });
      return json(201, { jobId, state: job.state, createdAt, evalInvoice });
    }
    const handle = recordIds.handleOf("job", path[1]);
    const job = handle ? await getJob(store, handle) : null;
    if (!job) return json(404, { error: { code: "job_not_found" } });
    if (path[2] === "refund") return await payRefund(job.refundId, body.invoice);
    const result = job.state === "complete" ? await getResult(store, job.handle) : null;
    const refund = job.refundId ? await getRefund(store, job.refundId) : null;
    return json(200, jobBody(path[1], { job, result, refund, tier: "anonymous" }));
  };
}

const json = (status: number, body: unknown) => Response.json(body, { status });
const taken = (refundState: string, refundPaymentHash: string | null) =>
  json(409, { error: { code: "refund_claimed", details: { refundState, refundPaymentHash } } });

if (import.meta.main) {
  const serve = await openNaiveServer(
    Deno.env.get("DATA_DIR") ?? "./data",
    Deno.env.get("LOCAL_MODEL_BASE_URL") ?? "http://127.0.0.1:9/v1",
  );
  Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
  Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")), onListen: () => {} }, serve);
}
