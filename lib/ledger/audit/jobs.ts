/** The book of jobs: each holds what its state says, and what came in is what went out. */
import { isChallenge, type Job, TERMINAL } from "@/lib/jobs/jobs.machine.ts";
import { jobAccount } from "@/lib/ledger/accounts.ts";
import type { Book, Ledger } from "./book.ts";

/** @returns how many jobs wait for their first payment. */
export async function auditJobs({ source, ledger, check }: Book): Promise<{ waiting: number }> {
  let jobs = 0;
  let waiting = 0;
  let wrong: string | null = null;
  for await (const { value: job } of source.rows<Job>(["job"])) {
    jobs++;
    if (isChallenge(job)) waiting++;
    wrong ??= wrongInJob(job, ledger);
  }
  check("every job holds what its state says", wrong, `${jobs} jobs`);
  return { waiting };
}

function wrongInJob({ handle, state, paidSats, grantedSats, costSheet }: Job, ledger: Ledger): string | null {
  const account = jobAccount(handle);
  const held = ledger.balance(account);
  const expected = TERMINAL.has(state) ? 0 : paidSats + grantedSats;
  if (held !== expected) return `account ${account} of a job that is ${state} holds ${held} sats, not ${expected}`;
  if (!costSheet) return null;
  const { chargeSats, subsidySats, refundSats, returnedSats } = costSheet;
  if (paidSats + grantedSats === chargeSats + subsidySats + refundSats + returnedSats) return null;
  return `account ${account}: paid and granted are not what was charged, absorbed, refunded and returned`;
}
