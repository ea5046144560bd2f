/** The book of bootstraps: each holds its fee until the node is handed over or the fee is owed back. */
import { type Bootstrap, isChallenge } from "@/lib/bootstrap/bootstrap.machine.ts";
import { jobAccount, refundAccount } from "@/lib/ledger/accounts.ts";
import type { Book, Ledger } from "./book.ts";

/** @returns how many bootstraps wait for their fee. */
export async function auditBootstraps({ source, ledger, check }: Book): Promise<{ waiting: number }> {
  let bootstraps = 0;
  let waiting = 0;
  let wrong: string | null = null;
  for await (const { value: bootstrap } of source.rows<Bootstrap>(["bootstrap"])) {
    bootstraps++;
    if (isChallenge(bootstrap)) waiting++;
    wrong ??= wrongIn(bootstrap, ledger);
  }
  check("every bootstrap holds what its state says", wrong, `${bootstraps} bootstraps`);
  return { waiting };
}

function wrongIn({ handle, state, paidSats, destroyingSince, refundId }: Bootstrap, ledger: Ledger): string | null {
  const account = jobAccount(handle);
  const held = ledger.balance(account);
  const settled = state === "ready" || (state === "failed" && destroyingSince === null);
  const expected = settled ? 0 : paidSats;
  if (held !== expected) {
    return `account ${account} of a bootstrap that is ${state} holds ${held} sats, not ${expected}`;
  }
  if (refundId !== null && !settled) return `account ${refundAccount(refundId)} is owed before anything was destroyed`;
  return null;
}
