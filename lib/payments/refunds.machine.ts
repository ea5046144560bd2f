/**
 * A refund from the moment it is owed until it is paid or given up (economy.md §5). Pure: every function returns the next
 * record and its ledger postings, or says why nothing changes.
 */
import {
  feeReserveUnused,
  payout as paidOut,
  type Posting,
  recovered,
  refundUnclaimed,
  routingFee,
  routingFeeReserve,
} from "@/lib/ledger/postings.ts";
import { maxFeeReserve, splitFee } from "./fees.rules.ts";

type RefundState = "pending" | "paying" | "paid" | "expired";

/** One attempt to pay a refund out, named by the payment hash of the payer's invoice. */
export interface Payout {
  paymentHash: string;
  /** "" for one that turned out paid after its failure: nothing will be sent to it again. */
  paymentRequest: string;
  /** What the invoice is for: what is owed, less the fee reserve that the payer leaves. */
  amountSats: number;
  /** The fee credit and the reserve. */
  maxFeeSats: number;
  claimedAt: number;
  /** Last time a call to the wallet ended without a certain outcome, or a repeated one began (ms since the epoch). */
  doubtfulAt: number | null;
  /** How its invoice came, unless the payer sent it. */
  way?: Way;
}

/** A payout that the wallet said had failed; `noRoute`: since no route was cheap enough. */
type FailedPayout = Omit<Payout, "paymentRequest" | "doubtfulAt"> & { noRoute?: true };

type Way = "lightning_address";

/** One try to pay to a Lightning address, whether an invoice came of it or not. */
export interface RefundAttempt {
  /** When it ended (ms since the epoch). */
  at: number;
  way: Way;
  ok: boolean;
  /** Why it failed, for the payer. */
  reason: string | null;
}

export interface Refund {
  v: 1;
  /** Also the name of its account, `refund:<id>`. */
  id: string;
  /** `recovered`: a payment that came in and that no record knows; its handle is the payment hash. */
  source: { kind: "job" | "session" | "bootstrap" | "recovered"; handle: string };
  /** The Nostr key it is owed to, hex; null: whoever holds the record. */
  owner: string | null;
  sats: number;
  /** What the operator pays of the routing fee, at most (sats); fixed when the refund is owed. */
  feeCreditSats: number;
  state: RefundState;
  createdAt: number;
  /** Unclaimed at this time it expires (ms since the epoch). */
  claimUntil: number;
  /** Set while paying, and kept when paid. */
  payout: Payout | null;
  /** Every payout before: each is asked about again before another one is paid. */
  earlier: FailedPayout[];
  paid: { at: number; preimage: string; feeSats: number } | null;
  /** Why the last payout failed, for the payer. */
  lastFailure: string | null;
  /** The Lightning address that the payer left: it is paid there by itself. */
  address: string | null;
  /** The latest tries with a Lightning address, oldest first. */
  attempts: RefundAttempt[];
}

/**
 * A "failed" is believed this long after the last call whose outcome nobody knows: an earlier call may still be under way
 * to the wallet, and the claim must not be open again while it can still pay (ms).
 */
export const DOUBT_MS = 60_000;

/** Tries that are remembered; a day has fewer. */
const MAX_ATTEMPTS = 20;
const MINUTE_MS = 60_000;
/** What passes between the first tries with an address; after these it is the last figure again and again (ms). */
const TRY_DELAYS_MS = [1, 5, 15, 60, 180].map((minutes) => minutes * MINUTE_MS);
/** How long a refund is tried by itself (ms). */
const TRIES_FOR_MS = 86_400_000;

/** Invoices that one refund can be claimed with: all that failed are asked about before the next one is paid. */
const MAX_INVOICES = 50;

/** A refund owed from now on. Below `dustSats` nothing is owed (economy.md §5): null. */
export function newRefund(input: {
  id: string;
  source: Refund["source"];
  owner: string | null;
  sats: number;
  feeCreditSats: number;
  address: string | null;
  dustSats: number;
  claimDays: number;
  now: number;
}): Refund | null {
  if (input.sats < Math.max(1, input.dustSats)) return null;
  return {
    v: 1,
    id: input.id,
    source: input.source,
    owner: input.owner,
    sats: input.sats,
    feeCreditSats: input.feeCreditSats,
    state: "pending",
    createdAt: input.now,
    claimUntil: input.now + input.claimDays * 86_400_000,
    payout: null,
    earlier: [],
    paid: null,
    lastFailure: null,
    address: input.address,
    attempts: [],
  };
}

/** The highest routing fee that payments to anybody may cost by default: `max(maxFeeSats, 1 %)` (sats). */
export const payoutFeeLimit = (sats: number, maxFeeSats: number): number => Math.max(maxFeeSats, Math.ceil(sats / 100));

/**
 * `pending → paying`: from here on only the wallet's word about this payment hash moves the record.
 * @returns `too_many` when so many invoices were sent before that asking about all of them would take too long.
 * @throws {RangeError} for an invoice of more than is owed, or of less by more than a reserve may be.
 */
export function payoutClaimed(
  refund: Refund,
  payout: Omit<Payout, "doubtfulAt" | "maxFeeSats">,
):
  | { outcome: "claimed"; refund: Refund }
  | { outcome: "taken"; paymentHash: string | null }
  | { outcome: "expired" | "too_many" } {
  if (refund.state === "expired") return { outcome: "expired" };
  if (refund.state !== "pending") return { outcome: "taken", paymentHash: refund.payout?.paymentHash ?? null };
  const isNew = refund.earlier.every(({ paymentHash }) => paymentHash !== payout.paymentHash);
  if (isNew && refund.earlier.length >= MAX_INVOICES) return { outcome: "too_many" };
  const reserveSats = refund.sats - payout.amountSats;
  if (reserveSats < 0 || reserveSats > maxFeeReserve(refund.sats)) {
    throw new RangeError(`an invoice of ${payout.amountSats} sats does not fit a refund of ${refund.sats}`);
  }
  const maxFeeSats = refund.feeCreditSats + reserveSats;
  return {
    outcome: "claimed",
    refund: { ...refund, state: "paying", payout: { ...payout, maxFeeSats, doubtfulAt: null }, lastFailure: null },
  };
}

/**
 * `pending` or `paying → paying` with a payment that left after this record was copied: the wallet shows it, and the journal says
 * that it was for this refund. A payout that the record was paying had failed by then, or the later one would not have been made.
 * @returns `known`: the record has it; `unfit`: the refund is over, or the amount is not one that it could be claimed with.
 */
export function payoutFound(
  refund: Refund,
  found: { paymentHash: string; amountSats: number; at: number; now: number },
): { outcome: "found"; refund: Refund } | { outcome: "known" | "unfit" } {
  const { paymentHash, amountSats, at, now } = found;
  if (refund.payout?.paymentHash === paymentHash) return { outcome: "known" };
  const reserveSats = refund.sats - amountSats;
  const open = refund.state === "pending" || refund.state === "paying";
  if (!open || reserveSats < 0 || reserveSats > maxFeeReserve(refund.sats)) return { outcome: "unfit" };
  const payout: Payout = {
    paymentHash,
    paymentRequest: "",
    amountSats,
    maxFeeSats: refund.feeCreditSats + reserveSats,
    claimedAt: at,
    doubtfulAt: now,
  };
  const interrupted = refund.payout ? [failedOf(refund.payout)] : [];
  const hashes = new Set([paymentHash, ...interrupted.map((other) => other.paymentHash)]);
  const earlier = [...refund.earlier.filter((other) => !hashes.has(other.paymentHash)), ...interrupted];
  return { outcome: "found", refund: { ...refund, state: "paying", payout, earlier, lastFailure: null } };
}

const failedOf = ({ paymentRequest: _, doubtfulAt: __, ...payout }: Payout): FailedPayout => payout;

/**
 * Money that came in and that no record knows, since the records are older: owed to whoever shows its preimage.
 * @param received.at when it came (ms since the epoch): its preimage alone takes it only some time after that
 */
export function recoveredRefund(
  { paymentHash, sats, at }: { paymentHash: string; sats: number; at: number },
  { claimDays, now }: { claimDays: number; now: number },
): { refund: Refund; postings: Posting[] } {
  const refund: Refund = {
    v: 1,
    id: paymentHash,
    source: { kind: "recovered", handle: paymentHash },
    owner: null,
    sats,
    feeCreditSats: 0, // it earned the operator nothing
    state: "pending",
    createdAt: Math.min(at, now),
    claimUntil: now + claimDays * 86_400_000,
    payout: null,
    earlier: [],
    paid: null,
    lastFailure: null,
    address: null,
    attempts: [],
  };
  return { refund, postings: [recovered({ paymentHash, sats })] };
}

/** What the wallet says of a payment that left. */
interface Sent {
  paymentHash: string;
  preimage: string;
  feeSats: number;
  now: number;
}

/** `paying → paid`. The fee is the reserve's, then the operator's. @returns null when this payout is not the one being paid. */
export function payoutPaid(refund: Refund, sent: Sent): { refund: Refund; postings: Posting[] } | null {
  if (refund.state !== "paying" || refund.payout?.paymentHash !== sent.paymentHash) return null;
  return paidBy(refund, refund.payout, sent);
}

/**
 * `pending` or `paying → paid` by an earlier payout that the wallet had called failed. Whoever calls this knows that no
 * other payout can be under way.
 */
export function earlierPaid(refund: Refund, sent: Sent): { refund: Refund; postings: Posting[] } | null {
  if (refund.state !== "paying" && refund.state !== "pending") return null;
  const payout = refund.earlier.find(({ paymentHash }) => paymentHash === sent.paymentHash);
  return payout ? paidBy(refund, { ...payout, paymentRequest: "", doubtfulAt: null }, sent) : null;
}

function paidBy(refund: Refund, payout: Payout, { paymentHash, preimage, feeSats, now }: Sent) {
  const fee = splitFee(refund.sats - payout.amountSats, feeSats);
  const postings = [
    paidOut(refund.id, { paymentHash, sats: payout.amountSats }),
    routingFeeReserve(refund.id, { paymentHash, sats: fee.fromReserve }),
    routingFee({ paymentHash, sats: fee.fromOperator }),
    feeReserveUnused(refund.id, { paymentHash, sats: fee.unused }),
  ];
  const attempts = attemptsWith(refund, payout, { at: now, ok: true, reason: null });
  const paid = { at: now, preimage, feeSats };
  return { refund: { ...refund, state: "paid" as const, payout, paid, attempts }, postings };
}

/** The tries so far, with this one where the payout's invoice came from an address. */
const attemptsWith = (
  { attempts }: Refund,
  { way }: Pick<Payout, "way">,
  attempt: Omit<RefundAttempt, "way">,
): RefundAttempt[] => way === undefined ? attempts : [...attempts, { ...attempt, way }].slice(-MAX_ATTEMPTS);

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
  const payout = failedOf(refund.payout);
  const failed = { ...payout, ...(payout.way && NO_ROUTE.test(reason) && { noRoute: true as const }) };
  const others = refund.earlier.filter(({ paymentHash }) => paymentHash !== failed.paymentHash);
  const attempts = attemptsWith(refund, payout, { at: now, ok: false, reason });
  return {
    outcome: "reopened",
    refund: { ...refund, state: "pending", payout: null, earlier: [...others, failed], lastFailure: reason, attempts },
  };
}

/**
 * How wallets say that no route was cheap enough, each in its own words. What is not known for this costs the payer nothing: less is
 * asked for only when it helps.
 */
const NO_ROUTE = /route|\bpath\b|fee (?:is|of|limit)\b|fee_?insufficient/i;

/**
 * How much of a refund to ask its payer's address for (sats): all of it, until a payout of all found no route; then less by the most
 * that may be left for the fee. Otherwise a payer who bought nothing, for whom the operator pays no fee, would get nothing back.
 */
export function addressAskSats({ sats, earlier }: Pick<Refund, "sats" | "earlier">): number {
  const noRoute = earlier.some((failed) => failed.noRoute && failed.amountSats === sats);
  return noRoute ? sats - maxFeeReserve(sats) : sats;
}

/** A try with an address gave no invoice that can be paid. @returns null unless the refund waits to be claimed. */
export function addressFailed(refund: Refund, reason: string, now: number): Refund | null {
  if (refund.state !== "pending") return null;
  return { ...refund, attempts: attemptsWith(refund, { way: "lightning_address" }, { at: now, ok: false, reason }) };
}

/**
 * When a refund with an address is tried by itself again (ms since the epoch): at growing distances for a day. Null: no more, and
 * it can be claimed in every other way.
 */
export function nextAddressTry(refund: Pick<Refund, "address" | "attempts" | "createdAt">, now: number): number | null {
  if (refund.address === null) return null;
  if (refund.attempts.length === 0) return now;
  const delay = TRY_DELAYS_MS[Math.min(refund.attempts.length, TRY_DELAYS_MS.length) - 1]!;
  return now + delay <= refund.createdAt + TRIES_FOR_MS ? now + delay : null;
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
