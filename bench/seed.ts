import { systemClock } from "@/lib/clock.ts";
import { newHandle, sha256Hex, systemRandom } from "@/lib/ids.ts";
import type { Key, Tx, Versioned } from "@/lib/store/store.ts";
import { encode, sealRecord, utf8 } from "@/lib/store/codec.ts";
import { openDenoEngine } from "@/lib/store/engines/deno.ts";
import { ENGINE_LIMITS } from "@/lib/store/engine.ts";
import { createSimulatedWallet } from "@/lib/lightning/simulated.ts";
import { memoryStore } from "@/lib/lightning/testing/memory-store.ts";
import { quoteJob } from "@/lib/jobs/job-quote.ts";
import { costOf, costSheetOf, type Outcome } from "@/lib/metering/close.rules.ts";
import { charge, type Posting } from "@/lib/ledger/postings.ts";
import { jobAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import { payoutClaimed, payoutPaid, type Refund } from "@/lib/payments/refunds.machine.ts";
import { plan } from "@/lib/tasks/due.ts";
import { invoiceKey, type InvoiceSummary, newInvoice } from "@/lib/payments/invoices.rows.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { payoutKey, putRefund } from "@/lib/payments/refunds.rows.ts";
import {
  accepted,
  createJob,
  evalPaid,
  type Job,
  type NoStep,
  type Step,
  workEnded,
  workPaid,
} from "@/lib/jobs/jobs.machine.ts";
import { putJob, putResult } from "@/lib/jobs/jobs.rows.ts";
import { TEST_RATES, TEST_SETTINGS } from "@/tests/harness/world.ts";
import { bytesToHex } from "@noble/hashes/utils.js";

/** Jobs in a commit: what fits in one. */
const BATCH = 25;
/** Each tenth job waits for its refund to be claimed; the others were paid. */
const UNCLAIMED_EACH = 10;
const DAY_MS = 86_400_000;

/**
 * Fills a new database with complete jobs, as the program's own rules leave them: job, answer, both invoices, ledger
 * entries, accounts, refund, payout. Their wallet knows nothing of them: it is another system. Everything is written in
 * the order of its keys and past the store, which would look first for what cannot be there: several times faster.
 * @returns the handles.
 */
export async function seedJobs(path: string, count: number): Promise<string[]> {
  const engine = await openDenoEngine(path, { exclusive: true });
  const template = await invoiceText();
  const now = Date.now();
  const sorted = (make: () => string) => Array.from({ length: count }, make).sort();
  const handles = sorted(() => newHandle(systemRandom));
  const [evals, works, payouts] = [sorted(newHash), sorted(newHash), sorted(newHash)];
  const accounts = new Map<string, Versioned>();
  for (let from = 0; from < count; from += BATCH) {
    const rows = new Map<string, { key: Key; value: Versioned }>();
    const tx = writerOf(rows, accounts);
    const postings: Posting[] = [];
    for (const [n, handle] of handles.slice(from, from + BATCH).entries()) {
      const i = from + n;
      const hashes = { evaluation: evals[i]!, work: works[i]!, payout: payouts[i]! };
      postings.push(
        ...await writeJob(tx, { handle, hashes, claimed: i % UNCLAIMED_EACH !== 0, template, at: now - DAY_MS + i }),
      );
    }
    await post(tx, postings, now);
    await engine.commit({
      check: { key: ["head"], versionstamp: null },
      set: [...rows.values()].map(({ key, value }) => ({
        key,
        value: encode(utf8(sealRecord(value).text), ENGINE_LIMITS.valueBytes).value,
      })),
      delete: [],
      bell: false,
    });
  }
  engine.close();
  return handles;
}

/** Collects what a transaction writes. Of all that is stored already only accounts are ever needed again. */
function writerOf(rows: Map<string, { key: Key; value: Versioned }>, accounts: Map<string, Versioned>): Tx {
  const tx: Tx = {
    get: <T extends Versioned>(key: Key) => {
      const row = key[0] === "account" ? accounts.get(String(key[1])) : undefined;
      return Promise.resolve((row ?? null) as T | null);
    },
    set(key, value) {
      rows.set(JSON.stringify(key), { key, value });
      // Those of single jobs are written once.
      if (key[0] === "account" && !/^(job|refund):/.test(String(key[1]))) accounts.set(String(key[1]), value);
    },
    delete: (key) => void rows.delete(JSON.stringify(key)),
    insert: (key, value) => tx.set(key, value),
    setVolatile: () => {},
    deleteVolatile: () => {},
    store: rows,
    afterCommit: () => {},
    ring: () => {},
    event: () => {},
  };
  return tx;
}

const newHash = (): string => bytesToHex(systemRandom.bytes(32));

/** Text of a real invoice: those of the seeded jobs only need its length. */
async function invoiceText(): Promise<string> {
  const wallet = createSimulatedWallet({
    store: memoryStore(),
    seed: systemRandom.bytes(32),
    clock: systemClock,
    random: systemRandom,
  });
  return (await wallet.createInvoice({ amountSats: 100, memo: "Timmy: evaluation", expirySeconds: 600 }))
    .paymentRequest;
}

interface Seed {
  handle: string;
  hashes: { evaluation: string; work: string; payout: string };
  claimed: boolean;
  template: string;
  at: number;
}

/** All rows of one job but its ledger's. @returns the postings. */
async function writeJob(tx: Tx, { handle, hashes, claimed, template, at }: Seed): Promise<Posting[]> {
  const { evalModel, workModel, evalFeeSats, refundDustSats: dustSats, refundClaimDays: claimDays } = TEST_SETTINGS;
  const terms = { dustSats, claimDays, maxFeeSats: 10 };
  const invoice = (paymentHash: string, amountSats: number): InvoiceSummary => ({
    paymentHash,
    paymentRequest: template,
    amountSats,
    expiresAt: at + 600_000,
  });
  const steps: Step[] = [];
  const request = `What should a shop that takes its first Lightning payment know about ${handle}?`;
  const evalInvoice = invoice(hashes.evaluation, evalFeeSats);
  let job = createJob({
    handle,
    request,
    evalModel,
    workModel,
    simulated: ["lightning", "model"],
    evalInvoice,
    now: at,
  });
  const take = (step: Step | NoStep): Job => {
    if (step.outcome === "replayed") throw new Error("the seed does not follow the rules of a job");
    steps.push(step);
    return job = step.job;
  };

  const btcPrice = { current: () => ({ usd: 100_000, source: "test", at }) };
  const quote = await quoteJob({ settings: TEST_SETTINGS, btcPrice, ratesFor: () => Promise.resolve(TEST_RATES) }, job);
  const { sats } = quote;
  const workInvoice = invoice(hashes.work, sats);
  const usage = { inputTokens: 80, outputTokens: 40, source: "estimated" as const };
  take(evalPaid(job, { paymentHash: evalInvoice.paymentHash, paidSats: evalFeeSats, now: at }));
  take(
    accepted(job, {
      reason: "[simulated] Accepted: no refused phrase was found.",
      usage,
      evalCostSats: 1,
      quote,
      workInvoice,
    }),
  );
  take(workPaid(job, { paymentHash: workInvoice.paymentHash, paidSats: sats, now: at }));
  const outcome: Outcome = { end: "complete", used: { evaluation: null, work: usage }, finish: "stop" };
  const costSheet = costSheetOf(outcome, costOf(quote, outcome, true), {
    paidSats: sats,
    grantedSats: 0,
    poolCreditPct: TEST_SETTINGS.freeTier.config.poolCreditPct,
    btcUsd: 100_000,
  });
  take(workEnded(job, { outcome, costSheet, grantedSats: 0, terms, now: at }));

  putJob(tx, job);
  putResult(tx, handle, { text: `An answer about ${handle}. `.repeat(12), finish: "stop" });
  for (const [purpose, summary] of [["job-eval", evalInvoice], ["job-work", workInvoice]] as const) {
    const settled = { at, paidSats: summary.amountSats };
    tx.set(invoiceKey(summary.paymentHash), { ...newInvoice(purpose, handle, summary, at), settled });
  }
  const postings = steps.flatMap((step) => step.postings);
  postings.splice(-1, 0, charge(handle, jobAccount(handle), REVENUE.work, costSheet.chargeSats));
  const refund = steps[steps.length - 1]?.refund;
  if (!refund) throw new Error("the seeded job owes nothing");
  if (claimed) {
    postings.push(...await payOut(tx, refund, { paymentHash: hashes.payout, paymentRequest: template, at }));
  } else {
    await putRefund(tx, refund);
    await plan(tx, { kind: "refund-expiry", id: refund.id, dueAt: refund.claimUntil });
  }
  return postings;
}

async function payOut(
  tx: Tx,
  refund: Refund,
  payout: { paymentHash: string; paymentRequest: string; at: number },
): Promise<Posting[]> {
  const { paymentHash, paymentRequest, at } = payout;
  const claimed = payoutClaimed(refund, { paymentHash, paymentRequest, amountSats: refund.sats, claimedAt: at });
  const paid = claimed.outcome === "claimed" &&
    payoutPaid(claimed.refund, { paymentHash, preimage: sha256Hex(paymentHash), feeSats: 0, now: at });
  if (!paid) throw new Error("the seeded refund cannot be paid");
  await putRefund(tx, paid.refund);
  tx.set(payoutKey(paymentHash), { v: 1, paymentHash, refundId: refund.id, at });
  return paid.postings.filter(({ sats }) => sats > 0);
}
