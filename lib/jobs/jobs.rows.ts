import { plan } from "@/lib/tasks/due.ts";
import type { Key, Reader, Store, Tx } from "@/lib/store/store.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { addToIdentity, JOB_STATES, jobKey, removeFromIdentity } from "./job-index.rows.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { countAdvice, type FreeTier } from "@/lib/free-tier/pool.rows.ts";
import { INVOICE_SUMMARY } from "@/lib/payments/invoices.rows.ts";
import { countChallenge } from "@/lib/payments/open-challenges.rows.ts";
import { putRefund, REFUND, refundKey, wholeRefund } from "@/lib/payments/refunds.rows.ts";
import { recordTrust } from "@/lib/identity/trust.rows.ts";
import { isChallenge, type Job, type NoStep, type Step } from "./jobs.machine.ts";

export { jobKey };
const resultKey = (handle: string): Key => ["job_result", handle];

/** The answer, beside the job, so that reading a job's state never reads a long text. */
export interface JobResult {
  v: 1;
  text: string;
  finish: "stop" | "length";
}

export const JOB: Shape<Job> = {
  handle: "text",
  state: JOB_STATES,
  createdAt: "whole",
  pubkey: "text?",
  request: "text",
  evalModel: "text",
  workModel: "text",
  simulated: "list",
  evalInvoice: INVOICE_SUMMARY,
  evalPaid: "flag",
  evalFeeSats: "count",
  paidSats: "count",
  grantedSats: "count",
  adviceSats: "count",
  evalCostSats: "count",
  workInvoice: { "?": INVOICE_SUMMARY },
  refundId: "text?",
};

/** @throws {UnreadableRow} */
export async function getJob(reader: Reader, handle: string): Promise<Job | null> {
  const key = jobKey(handle);
  return readable(JOB, key, await reader.get<Job>(key));
}

/** Everything a job's holder may see, in one read. @throws {UnreadableRow} */
export async function readWhole(
  store: Pick<Store, "getMany">,
  handle: string,
): Promise<{ job: Job; result: JobResult | null; refund: Refund | null } | null> {
  // A refund has the handle of its job.
  const keys = [jobKey(handle), resultKey(handle), refundKey(handle)] as const;
  const [job, result, refund] = await store.getMany(keys) as [Job | null, JobResult | null, Refund | null];
  readable(JOB, keys[0], job);
  readable(REFUND, keys[2], refund);
  return job && { job, result, refund: wholeRefund(refund) };
}

export function putJob(tx: Tx, job: Job): void {
  tx.set(jobKey(job.handle), job);
}
export function putResult(tx: Tx, handle: string, result: Omit<JobResult, "v">): void {
  tx.set(resultKey(handle), { v: 1, ...result });
}

/** A job that is new: the row, its place among the jobs of its key, and its count among the challenges. */
export async function putNewJob(tx: Tx, job: Job): Promise<void> {
  putJob(tx, job);
  addToIdentity(tx, job);
  await countChallenge(tx, false, isChallenge(job));
}

/** Forgets a job that nobody paid. */
export async function dropJob(tx: Tx, job: Job): Promise<void> {
  if (job.evalPaid) throw new Error("a job that was paid is not dropped");
  await countChallenge(tx, isChallenge(job), false);
  tx.delete(jobKey(job.handle));
  removeFromIdentity(tx, job);
}

/**
 * Writes everything one transition brings: the job and its count, its postings, what it owes, the key's advice and trust, its
 * next task, its event.
 */
export async function writeStep(
  tx: Tx,
  before: Job,
  step: Step | NoStep,
  rules: FreeTier,
  now: number,
): Promise<boolean> {
  if (step.outcome === "replayed") return false;
  const { pubkey } = step.job;
  await post(tx, step.postings, now);
  if (step.adviceSats !== 0 && pubkey !== null) await countAdvice(tx, pubkey, step.adviceSats);
  await recordTrust(tx, pubkey, step.trust, rules.trust, now);
  putJob(tx, step.job);
  await countChallenge(tx, isChallenge(before), isChallenge(step.job));
  if (step.refund) await putRefund(tx, step.refund, true);
  for (const task of step.tasks) await plan(tx, task);
  tx.event({ type: "job_state", handle: step.job.handle, state: step.job.state });
  return true;
}
