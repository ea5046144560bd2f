/** A session as a payer: its balance, what its token's narrowings leave of it, and where its sats go. */
import { reservedAccount, REVENUE } from "@/lib/ledger/accounts.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { charge, evaluationCharge, nonZero, type Posting, reservation } from "@/lib/ledger/postings.ts";
import type { Books, Payer } from "@/lib/metering/metering.ts";
import type { Tx } from "@/lib/store/store.ts";
import { leftOf, spendable } from "./sessions.rows.ts";

/** Where the sats of a request lie while it runs, and what they earn. */
export const requestBooks = (requestId: string): Books => ({
  subsidyAccount: reservedAccount(requestId),
  revenue: REVENUE.session,
  feedsPool: true,
});

/** @param about.allowances each `max_sats` of the token that asks */
export function sessionPayer(
  about: {
    session: string;
    requestId: string;
    allowances: readonly { name: string; limitSats: number }[];
    /** A paused session gives nothing until it is topped up. */
    paused: boolean;
    now: number;
  },
): Payer {
  const { session, requestId, allowances, paused, now } = about;
  return {
    async available(tx: Tx) {
      let allowanceSats = Infinity;
      for (const allowance of allowances) allowanceSats = Math.min(allowanceSats, await leftOf(tx, allowance));
      return { balanceSats: paused ? 0 : await spendable(tx, session), allowanceSats };
    },
    reserve: (tx, sats) => post(tx, nonZero([reservation(requestId, session, sats)]), now),
    earned: (chargeSats, evaluationOnly) => [earnedBy(requestId, chargeSats, evaluationOnly)],
  };
}

/** What a request that reserved durably earns. */
export const earnedBy = (requestId: string, chargeSats: number, evaluationOnly: boolean): Posting => {
  const from = reservedAccount(requestId);
  return evaluationOnly
    ? evaluationCharge(requestId, from, chargeSats)
    : charge(requestId, from, REVENUE.session, chargeSats);
};
