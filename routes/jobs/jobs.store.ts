import type { Key, Reader, Tx } from "@/lib/kv.ts";
import { post } from "@/lib/stores/ledger.ts";
import { putRefund } from "@/lib/stores/refunds.ts";
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
