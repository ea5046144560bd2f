/** The book of bootstraps: each holds its fee until the node is handed over or the fee is owed back. */
import { type Bootstrap, isChallenge } from "@/lib/bootstrap/bootstrap.machine.ts";
import { jobAccount, refundAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { Book, Ledger } from "./book.ts";

/** @returns how many bootstraps wait for their fee. */
export async function auditBootstraps({ source, ledger, check }: Book): Promise<{ waiting: number }> {
  const owed = new Map<string, number>();
  for await (const { value: { id, sats, source: { kind } } } of source.rows<Refund>(["refund"])) {
    if (kind === "bootstrap") owed.set(id, sats);
  }
  let bootstraps = 0;
  let waiting = 0;
  let earned = 0;
  let wrong: string | null = null;
  for await (const { value: bootstrap } of source.rows<Bootstrap>(["bootstrap"])) {
    bootstraps++;
    if (isChallenge(bootstrap)) waiting++;
    earned += earnedBy(bootstrap);
    wrong ??= wrongIn(bootstrap, ledger, owed);
    if (bootstrap.refundId !== null) owed.delete(bootstrap.refundId);
  }
  const [stranger] = owed.keys();
  if (stranger !== undefined) wrong ??= `account ${refundAccount(stranger)} is owed to no bootstrap`;
  const revenue = ledger.balance(REVENUE.bootstrap);
  if (revenue !== earned) {
    wrong ??= `account ${REVENUE.bootstrap} holds ${revenue} sats, nodes that are ready earned ${earned}`;
  }
  check("every bootstrap holds what its state says", wrong, `${bootstraps} bootstraps`);
  return { waiting };
}

const earnedBy = ({ state, feeSats, paidSats }: Bootstrap): number =>
  state === "ready" ? Math.min(feeSats, paidSats) : 0;

function wrongIn(bootstrap: Bootstrap, ledger: Ledger, owed: ReadonlyMap<string, number>): string | null {
  const { handle, state, paidSats, destroyingSince, refundId } = bootstrap;
  const account = jobAccount(handle);
  const held = ledger.balance(account);
  const settled = state === "ready" || (state === "failed" && destroyingSince === null);
  const expected = settled ? 0 : paidSats;
  if (held !== expected) {
    return `account ${account} of a bootstrap that is ${state} holds ${held} sats, not ${expected}`;
  }
  if (refundId === null) return null;
  if (!settled) return `account ${refundAccount(refundId)} is owed before anything was destroyed`;
  const back = paidSats - earnedBy(bootstrap);
  const refund = owed.get(refundId);
  return refund === back
    ? null
    : `account ${refundAccount(refundId)} of a bootstrap is owed ${refund} sats, not ${back}`;
}
