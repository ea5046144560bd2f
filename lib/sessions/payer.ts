/** A session as a payer: its balance, what its token's narrowings leave of it, and where its sats go. */
import { type Account, reservedAccount, REVENUE, sessionAccount } from "@/lib/ledger/accounts.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { charge, evaluationCharge, nonZero, type Posting, reservation } from "@/lib/ledger/postings.ts";
import type { Books, Payer } from "@/lib/metering/metering.ts";
import type { Tx } from "@/lib/store/store.ts";
import type { Allowance } from "./tokens.ts";
import { countChat, leftOf, spendable } from "./sessions.rows.ts";

/** Where the sats of a request lie while it runs, and what they earn. */
export const requestBooks = (requestId: string, survives: Books["survives"]): Books => ({
  survives,
  subsidyAccount: reservedAccount(requestId),
  revenue: REVENUE.session,
  feedsPool: true,
});

/** @param about.allowances each `max_sats` of the token that asks */
export function sessionPayer(
  about: {
    session: string;
    requestId: string;
    allowances: readonly Allowance[];
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
    earned: (
      chargeSats,
      evaluationOnly,
    ) => [earnedFrom(reservedAccount(requestId), requestId, chargeSats, evaluationOnly)],
  };
}

/** The same for a chat, whose reservation is counted in memory: what it costs leaves the balance at its end. */
export function chatPayer(about: Parameters<typeof sessionPayer>[0]): Payer {
  const { session, requestId, allowances } = about;
  const names = allowances.map(({ name }) => name);
  return {
    ...sessionPayer(about),
    reserve: (tx, reservedSats) => countChat(tx, session, { running: 1, reservedSats, allowances: names }),
    earned: (chargeSats, evaluationOnly) => [
      earnedFrom(sessionAccount(session), requestId, chargeSats, evaluationOnly),
    ],
  };
}

/** The posting by which a request's charge is earned. @param from where its sats lie */
export const earnedFrom = (from: Account, requestId: string, chargeSats: number, evaluationOnly: boolean): Posting =>
  evaluationOnly ? evaluationCharge(requestId, from, chargeSats) : charge(requestId, from, REVENUE.session, chargeSats);
