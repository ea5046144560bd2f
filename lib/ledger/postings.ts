/**
 * The chart of accounts: every kind of posting there is, between which accounts it goes and what it means, and the one function
 * that makes it. Nobody else writes an account or a kind as text. Pure.
 *
 * An entry's id says what it is for, so the same thing booked twice is recognised and changes nothing.
 */
import {
  type Account,
  type AccountClass,
  jobAccount,
  LIGHTNING,
  OPERATOR,
  POOL,
  refundAccount,
  reservedAccount,
  REVENUE,
  type RevenueAccount,
  ROUTING_FEES,
  sessionAccount,
} from "./accounts.ts";

interface Kind {
  from: readonly AccountClass[];
  to: readonly AccountClass[];
  means: string;
}

/** Where each kind of posting may go, and what it means. The table in docs/spec/economy.md is made from this one. */
export const KINDS = {
  "eval-fee": { from: ["lightning"], to: ["revenue:eval"], means: "a job's evaluation was paid" },
  "eval-fee-returned": { from: ["revenue:eval"], to: ["job"], means: "the evaluation failed, and not by the request" },
  overpaid: { from: ["lightning"], to: ["job"], means: "what was paid beyond the evaluation fee" },
  "overpaid-unclaimed": { from: ["job"], to: ["pool"], means: "overpaid for a job that nobody went on with" },
  "work-payment": { from: ["lightning"], to: ["job"], means: "a job's work was paid" },
  "bootstrap-payment": { from: ["lightning"], to: ["job"], means: "a node's fee was paid" },
  "bootstrap-fee": { from: ["job"], to: ["revenue:bootstrap"], means: "a node was handed over: its fee is earned" },
  "session-deposit": { from: ["lightning"], to: ["session"], means: "a session was opened" },
  "session-topup": { from: ["lightning"], to: ["session"], means: "a session was topped up" },
  reservation: { from: ["session"], to: ["reserved"], means: "set aside for a request that begins" },
  "reservation-released": { from: ["reserved"], to: ["session"], means: "set aside and not charged" },
  charge: {
    from: ["job", "reserved", "session"],
    to: ["revenue:work", "revenue:session"],
    means: "what the payer paid in the end",
  },
  "evaluation-charge": {
    from: ["reserved", "session"],
    to: ["revenue:session"],
    means: "the evaluation of a request that was refused",
  },
  subsidy: { from: ["pool"], to: ["job", "reserved"], means: "the pool sets sats aside for a request" },
  "subsidy-used": {
    from: ["job", "reserved"],
    to: ["revenue:work", "revenue:session"],
    means: "what the pool paid in the end",
  },
  "subsidy-returned": { from: ["job", "reserved"], to: ["pool"], means: "set aside by the pool and not used" },
  "pool-credit": { from: ["revenue:work", "revenue:session"], to: ["pool"], means: "the pool's share of a charge" },
  "pool-seed": { from: ["operator"], to: ["pool"], means: "what the pool begins with" },
  "pool-donation": { from: ["lightning"], to: ["pool"], means: "a gift to the pool" },
  "late-unclaimed": { from: ["lightning"], to: ["pool"], means: "paid for a session or job that was forgotten" },
  recovered: {
    from: ["lightning"],
    to: ["refund"],
    means: "came in, and no record of before a restore knows what for",
  },
  "refund-owed": { from: ["job", "session"], to: ["refund"], means: "what a payer may take back" },
  "refund-dust": { from: ["job", "session"], to: ["pool"], means: "too little to be a refund" },
  "refund-unclaimed": { from: ["refund"], to: ["pool"], means: "nobody took it back in time" },
  payout: { from: ["refund"], to: ["lightning"], means: "a refund was paid out" },
  "routing-fee": { from: ["fees:routing"], to: ["lightning"], means: "what the network took for a payout" },
  "routing-fee-reserve": { from: ["refund"], to: ["lightning"], means: "what of it the payer had left for it" },
  "fee-reserve-unused": { from: ["refund"], to: ["pool"], means: "left for the routing fee, and not needed" },
  demo: { from: ["operator"], to: ["revenue:work"], means: "the operator pays for a demo answer" },
} as const satisfies Record<string, Kind>;

export type PostingKind = keyof typeof KINDS;

/** One move of satoshis from one account to another, before it is written. The same id can apply only once. */
export interface Posting {
  id: string;
  from: Account;
  to: Account;
  /** Whole, positive; a rule may make one of 0, which {@link nonZero} leaves out. */
  sats: number;
  kind: PostingKind;
  /** What it is about: a payment hash, a record's handle. Never a capability. */
  ref: string;
}

/** The postings that are for something: rules may write down all they could make and leave out the empty ones here. */
export const nonZero = (postings: readonly Posting[]): Posting[] => postings.filter((posting) => posting.sats !== 0);

// ---- what comes in: named by the payment hash that settled -------------------------------------------------------------

type Settled = { paymentHash: string; sats: number };
const settled = (kind: PostingKind, to: Account, { paymentHash, sats }: Settled): Posting => ({
  id: `settle:${paymentHash}`,
  from: LIGHTNING,
  to,
  sats,
  kind,
  ref: paymentHash,
});

export const evalFee = (paid: Settled): Posting => settled("eval-fee", REVENUE.eval, paid);
export const overpaid = (handle: string, paid: Settled): Posting => ({
  ...settled("overpaid", jobAccount(handle), paid),
  id: `settle-surplus:${paid.paymentHash}`,
});
export const workPayment = (handle: string, paid: Settled): Posting =>
  settled("work-payment", jobAccount(handle), paid);
export const bootstrapPayment = (handle: string, paid: Settled): Posting =>
  settled("bootstrap-payment", jobAccount(handle), paid);
/** @param handle of the bootstrap whose node is ready. */
export const bootstrapFee = (handle: string, sats: number): Posting => ({
  id: `bootstrap-fee:${handle}`,
  from: jobAccount(handle),
  to: REVENUE.bootstrap,
  sats,
  kind: "bootstrap-fee",
  ref: handle,
});
export const sessionDeposit = (handle: string, paid: Settled): Posting =>
  settled("session-deposit", sessionAccount(handle), paid);
export const sessionTopup = (handle: string, paid: Settled): Posting =>
  settled("session-topup", sessionAccount(handle), paid);
export const poolDonation = (paid: Settled): Posting => settled("pool-donation", POOL, paid);
export const lateUnclaimed = (paid: Settled): Posting => settled("late-unclaimed", POOL, paid);

// ---- work that is metered: named by the job's handle or the request's id ----------------------------------------------

/** @param session handle of the session whose balance it leaves. */
export const reservation = (requestId: string, session: string, sats: number): Posting => ({
  id: `reserve:${requestId}`,
  from: sessionAccount(session),
  to: reservedAccount(requestId),
  sats,
  kind: "reservation",
  ref: requestId,
});
export const reservationReleased = (requestId: string, session: string, sats: number): Posting => ({
  id: `released:${requestId}`,
  from: reservedAccount(requestId),
  to: sessionAccount(session),
  sats,
  kind: "reservation-released",
  ref: requestId,
});

/** @param ref handle of the job, or id of the request. @param from where the sats lie that are earned. */
export const charge = (ref: string, from: Account, to: RevenueAccount, sats: number): Posting => ({
  id: `charge:${ref}`,
  from,
  to,
  sats,
  kind: "charge",
  ref,
});
/** The charge of a request whose evaluation refused it: it feeds no pool. */
export const evaluationCharge = (ref: string, from: Account, sats: number): Posting => ({
  ...charge(ref, from, REVENUE.session, sats),
  kind: "evaluation-charge",
});
export const evalFeeReturned = (handle: string, sats: number): Posting => ({
  id: `eval-failed:${handle}`,
  from: REVENUE.eval,
  to: jobAccount(handle),
  sats,
  kind: "eval-fee-returned",
  ref: handle,
});
export const demoAnswer = (id: string, sats: number): Posting => ({
  id: `demo:${id}`,
  from: OPERATOR,
  to: REVENUE.work,
  sats,
  kind: "demo",
  ref: id,
});

// ---- the pool ----------------------------------------------------------------------------------------------------------

/** @param about whom it is for: the entry names the key and the hash of what was asked, for whoever checks the pool. */
export const subsidy = (
  id: string,
  to: Account,
  sats: number,
  about: { pubkey: string; requestHash: string },
): Posting => ({
  id: `subsidy:${id}`,
  from: POOL,
  to,
  sats,
  kind: "subsidy",
  ref: `${id} ${about.pubkey} ${about.requestHash}`,
});
export const subsidyUsed = (id: string, from: Account, to: RevenueAccount, sats: number): Posting => ({
  id: `subsidy-used:${id}`,
  from,
  to,
  sats,
  kind: "subsidy-used",
  ref: id,
});
export const subsidyReturned = (id: string, from: Account, sats: number): Posting => ({
  id: `returned:${id}`,
  from,
  to: POOL,
  sats,
  kind: "subsidy-returned",
  ref: id,
});
export const poolCredit = (id: string, from: RevenueAccount, sats: number): Posting => ({
  id: `pool-credit:${id}`,
  from,
  to: POOL,
  sats,
  kind: "pool-credit",
  ref: id,
});
/** Once in the life of an instance. */
export const poolSeed = (sats: number): Posting => ({
  id: "pool-seed",
  from: OPERATOR,
  to: POOL,
  sats,
  kind: "pool-seed",
  ref: "pool-seed",
});
export const overpaidUnclaimed = (handle: string, sats: number): Posting => ({
  id: `overpaid:${handle}`,
  from: jobAccount(handle),
  to: POOL,
  sats,
  kind: "overpaid-unclaimed",
  ref: handle,
});

// ---- what goes back ----------------------------------------------------------------------------------------------------

/** Its refund is named by the payment hash: nothing else is known of it. */
export const recovered = (paid: Settled): Posting => settled("recovered", refundAccount(paid.paymentHash), paid);
/** @param id of the refund. @param ref handle of the job or session that owes it. */
export const refundOwed = (id: string, from: Account, sats: number, ref: string): Posting => ({
  id: `refund:${id}`,
  from,
  to: refundAccount(id),
  sats,
  kind: "refund-owed",
  ref,
});
export const refundDust = (id: string, from: Account, sats: number, ref: string): Posting => ({
  id: `dust:${id}`,
  from,
  to: POOL,
  sats,
  kind: "refund-dust",
  ref,
});
export const refundUnclaimed = (id: string, sats: number): Posting => ({
  id: `unclaimed:${id}`,
  from: refundAccount(id),
  to: POOL,
  sats,
  kind: "refund-unclaimed",
  ref: id,
});
/** @param refundId whose sats leave the wallet with the payment of this hash. */
export const payout = (refundId: string, { paymentHash, sats }: Settled): Posting => ({
  id: `payout:${paymentHash}`,
  from: refundAccount(refundId),
  to: LIGHTNING,
  sats,
  kind: "payout",
  ref: paymentHash,
});
export const routingFee = ({ paymentHash, sats }: Settled): Posting => ({
  id: `payout-fee:${paymentHash}`,
  from: ROUTING_FEES,
  to: LIGHTNING,
  sats,
  kind: "routing-fee",
  ref: paymentHash,
});
/** @param refundId whose payer left so much for the fee */
export const routingFeeReserve = (refundId: string, { paymentHash, sats }: Settled): Posting => ({
  id: `payout-reserve:${paymentHash}`,
  from: refundAccount(refundId),
  to: LIGHTNING,
  sats,
  kind: "routing-fee-reserve",
  ref: paymentHash,
});
export const feeReserveUnused = (refundId: string, { paymentHash, sats }: Settled): Posting => ({
  id: `payout-unused:${paymentHash}`,
  from: refundAccount(refundId),
  to: POOL,
  sats,
  kind: "fee-reserve-unused",
  ref: paymentHash,
});
