import type { Key, Reader, Store, Tx } from "@/lib/kv.ts";
import type { Refund } from "@/lib/rules/refunds.ts";
import { post } from "@/lib/stores/ledger.ts";
import { putRefund, refundKey } from "@/lib/stores/refunds.ts";
import type { Job, NoStep, Step } from "./jobs.machine.ts";

export const jobKey = (handle: string): Key => ["job", handle];
const resultKey = (handle: string): Key => ["job_result", handle];

/** The answer, beside the job, so that reading a job's state never reads a long text. */
export interface JobResult {
  v: 1;
  text: string;
  finish: "stop" | "length";
}

export const getJob = (reader: Reader, handle: string): Promise<Job | null> => reader.get<Job>(jobKey(handle));
export const getResult = (reader: Reader, handle: string): Promise<JobResult | null> =>
  reader.get<JobResult>(resultKey(handle));

/** Everything a job's holder may see, in one read. */
export async function readWhole(
  store: Pick<Store, "getMany">,
  handle: string,
): Promise<{ job: Job; result: JobResult | null; refund: Refund | null } | null> {
  // A refund has the handle of its job.
  const [job, result, refund] = await store.getMany([jobKey(handle), resultKey(handle), refundKey(handle)]);
  return job ? { job: job as Job, result: result as JobResult | null, refund: refund as Refund | null } : null;
}

export function putJob(tx: Tx, job: Job): void {
  tx.set(jobKey(job.handle), job);
}
export function putResult(tx: Tx, handle: string, result: Omit<JobResult, "v">): void {
  tx.set(resultKey(handle), { v: 1, ...result });
}

/** Writes everything one transition brings: the job, its moves, what it owes, its next task, its event. */
export async function writeStep(tx: Tx, step: Step | NoStep, now: number): Promise<boolean> {
  if (step.outcome === "replayed") return false;
  await post(tx, step.moves, now);
  putJob(tx, step.job);
  if (step.refund) putRefund(tx, step.refund, true);
  for (const task of step.tasks) tx.task(task);
  tx.event({ type: "job_state", handle: step.job.handle, state: step.job.state });
  return true;
}
