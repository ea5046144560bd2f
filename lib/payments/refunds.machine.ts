/**
 * A refund from the moment it is owed until it is paid or given up (economy.md §5). Pure: every function returns the next
 * record and its ledger postings, or says why nothing changes.
 */
import { payout, type Posting, refundUnclaimed, routingFee } from "@/lib/ledger/postings.ts";

export type RefundState = "pending" | "paying" | "paid" | "expired";

/** One attempt to pay a refund out, named by the payment hash of the payer's invoice. */
export interface Payout {
  paymentHash: string;
  paymentRequest: string;
  maxFeeSats: number;
  claimedAt: number;
  /** Last time a call to the wallet ended without a certain outcome, or a repeated one began (ms since the epoch). */
  doubtfulAt: number | null;
}

export interface Refund {
  v: 1;
  /** Also the name of its account, `refund:<id>`. */
  id: string;
  source: { kind: "job" | "session"; handle: string };
  sats: number;
  state: RefundState;
  createdAt: number;
  /** Unclaimed at this time it expires (ms since the epoch). */
  claimUntil: number;
  /** Set while paying, and kept when paid. */
  payout: Payout | null;
  paid: { at: number; preimage: string; feeSats: number } | null;
  /** Why the last payout failed, for the payer. */
  lastFailure: string | null;
}

/**
 * A "failed" is believed this long after the last call whose outcome nobody knows: an earlier call may still be under way
 * to the wallet, and the claim must not be open again while it can still pay (ms).
 */
export const DOUBT_MS = 60_000;

/** A refund owed from now on. Below `dustSats` nothing is owed (economy.md §5): null. */
export function newRefund(input: {
  id: string;
  source: Refund["source"];
  sats: number;
  dustSats: number;
  claimDays: number;
  now: number;
}): Refund | null {
  if (input.sats < Math.max(1, input.dustSats)) return null;
  return {
    v: 1,
    id: input.id,
    source: input.source,
    sats: input.sats,
    state: "pending",
    createdAt: input.now,
    claimUntil: input.now + input.claimDays * 86_400_000,
    payout: null,
    paid: null,
    lastFailure: null,
  };
}

/** The highest routing fee a payout may cost: `max(maxFeeSats, 1 %)` (economy.md §5). */
export const payoutFeeLimit = (sats: number, maxFeeSats: number): number => Math.max(maxFeeSats, Math.ceil(sats / 100));

/** `pending → paying`: from here on only the wallet's word about this payment hash moves the record. */
export function claim(
  refund: Refund,
  payout: Omit<Payout, "doubtfulAt">,
): { outcome: "claimed"; refund: Refund } | { outcome: "taken"; paymentHash: string | null } | { outcome: "expired" } {
  if (refund.state === "expired") return { outcome: "expired" };
  if (refund.state !== "pending") return { outcome: "taken", paymentHash: refund.payout?.paymentHash ?? null };
  return {
    outcome: "claimed",
    refund: { ...refund, state: "paying", payout: { ...payout, doubtfulAt: null }, lastFailure: null },
  };
}

/** `paying → paid`. The fee is the operator's. @returns null when this payout is not the one being paid. */
export function payoutPaid(
  refund: Refund,
  input: { paymentHash: string; preimage: string; feeSats: number; now: number },
): { refund: Refund; postings: Posting[] } | null {
  if (refund.state !== "paying" || refund.payout?.paymentHash !== input.paymentHash) return null;
  const { paymentHash, preimage, feeSats, now } = input;
  const postings = [
    payout(refund.id, { paymentHash, sats: refund.sats }),
    routingFee({ paymentHash, sats: feeSats }),
  ];
  return { refund: { ...refund, state: "paid", paid: { at: now, preimage, feeSats } }, postings };
}

/**
 * `paying → pending` after a definite failure: the claim is open again.
 * @param input.doubtSince time of the last call whose outcome nobody knows, the failed one left out; null: there is none.
 * @returns `doubtful` while such a call may still pay, with that time kept; null when this payout is not the one being paid.
 */
export function payoutFailed(
  refund: Refund,
  input: { paymentHash: string; reason: string; now: number; doubtSince: number | null },
): { outcome: "reopened" | "doubtful"; refund: Refund } | null {
  if (refund.state !== "paying" || !refund.payout || refund.payout.paymentHash !== input.paymentHash) return null;
  const { doubtSince, now, reason } = input;
  if (doubtSince !== null && now < doubtSince + DOUBT_MS) {
    return { outcome: "doubtful", refund: { ...refund, payout: { ...refund.payout, doubtfulAt: doubtSince } } };
  }
  return { outcome: "reopened", refund: { ...refund, state: "pending", payout: null, lastFailure: reason } };
}

/** A call to the wallet ended without a certain outcome, or one that is not the first is about to begin. */
export function payoutDoubtful(refund: Refund, paymentHash: string, now: number): Refund | null {
  if (refund.state !== "paying" || !refund.payout || refund.payout.paymentHash !== paymentHash) return null;
  return { ...refund, payout: { ...refund.payout, doubtfulAt: now } };
}

/**
 * Nobody claimed it in time: `pending → expired`, and the sats go to the pool, as the API says.
 * @returns `wait` while a payout is under way or the time has not come.
 */
export function expireRefund(
  refund: Refund,
  now: number,
): { outcome: "expired"; refund: Refund; postings: Posting[] } | { outcome: "wait" | "over" } {
  if (refund.state === "paid" || refund.state === "expired") return { outcome: "over" };
  if (refund.state === "paying" || now < refund.claimUntil) return { outcome: "wait" };
  return {
    outcome: "expired",
    refund: { ...refund, state: "expired" },
    postings: [refundUnclaimed(refund.id, refund.sats)],
  };
}
