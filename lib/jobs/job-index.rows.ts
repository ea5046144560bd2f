/** What others than the jobs themselves may know of a job: its state, where it lies, and whose it is. */
import type { Key, Tx } from "@/lib/store/store.ts";

export const JOB_STATES = [
  "awaiting_eval_payment",
  "evaluating",
  "awaiting_work_payment",
  "executing",
  "complete",
  "rejected",
  "failed",
  "expired",
] as const;
export type JobState = typeof JOB_STATES[number];

/** What a list shows of a job, as it stands in its row. */
export interface JobHead {
  v: 1;
  handle: string;
  state: JobState;
  /** ms since the epoch. */
  createdAt: number;
  /** The Nostr key that asked, hex; null: nobody in particular. */
  pubkey: string | null;
}

export const jobKey = (handle: string): Key => ["job", handle];

/** Index of a key's jobs, oldest first. */
export const identityJobs = (pubkey: string): Key => ["identity_job", pubkey];

/** A job's place among those of its key; one that nobody in particular asked for has none. */
const placeOf = ({ pubkey, createdAt, handle }: JobHead): Key | null =>
  pubkey === null ? null : [...identityJobs(pubkey), createdAt, handle];

/** Gives a new job its place among those of its key. */
export function addToIdentity(tx: Tx, job: JobHead): void {
  const place = placeOf(job);
  if (place) tx.set(place, { v: 1 });
}
/** Takes a job that is forgotten from its key's list. */
export function removeFromIdentity(tx: Tx, job: JobHead): void {
  const place = placeOf(job);
  if (place) tx.delete(place);
}
