/**
 * The states of a session (economy.md §6). Pure: each function takes the session and a fact, and returns everything the
 * one transaction writes, or says why nothing changes. A session's sats are in its account; what a running request may
 * cost is in that request's hold.
 */
import type { TaskOrder } from "@/lib/tasks/due.ts";
import type { InvoiceSummary } from "@/lib/payments/invoices.rows.ts";
import { sessionAccount } from "@/lib/ledger/accounts.ts";
import { nonZero, type Posting, refundDust, refundOwed, sessionDeposit, sessionTopup } from "@/lib/ledger/postings.ts";
import type { CostSheet } from "@/lib/metering/close.rules.ts";
import { feeCredit } from "@/lib/payments/fees.rules.ts";
import { newRefund, type Refund } from "@/lib/payments/refunds.machine.ts";
import { pendingTopup, STRANGER, type TokenRef, type Topup, topupsFullUntil, waitingTopup } from "./topups.rules.ts";

export type SessionState = "awaiting_payment" | "active" | "paused" | "expired" | "closed";

export interface Session {
  v: 1;
  handle: string;
  state: SessionState;
  createdAt: number;
  /** The Nostr key that owns it, hex; null: whoever holds its token. */
  pubkey: string | null;
  /** Where its balance is paid by itself when it ends; null: whoever claims it says where. */
  lightningAddress: string | null;
  /** Backends that were simulated when the session was made; every answer about it says so. */
  simulated: string[];
  deposit: InvoiceSummary;
  depositPaid: boolean;
  /** Those that wait to be paid, each with who asked for it: nobody's keeps anybody else from topping up. */
  topups: readonly Topup[];
  /** Worth nothing without the deposit's preimage. */
  challengeToken: TokenRef;
  /** Works alone; shown by id until it is first used. */
  bearerToken: TokenRef;
  /** Tokens of top-ups that were paid. */
  topupTokens: TokenRef[];
  tokenUsed: boolean;
  /** Running requests, and the sum of their holds (sats). */
  running: number;
  reservedSats: number;
  /** Charged in all, and of that what the models took and the pool's share (sats). */
  spentSats: number;
  modelCostSats: number;
  poolShareSats: number;
  /** Routing fees that the operator set aside for refunds of this session's earlier ends (sats). */
  feesSats: number;
  /** ms since the epoch; null until the deposit is paid. */
  expiresAt: number | null;
  /** What was owed back when it ended; more than one when a late payment brought it back to life. */
  refundIds: string[];
  /** How often it has ended, owing something or not: each end has a name of its own in the ledger. */
  ends: number;
}

export interface SessionTerms {
  /** Below this it is paused (sats). */
  minBalanceSats: number;
  /** Life after the last successful request (ms). */
  expiryMs: number;
}

interface RefundTerms {
  dustSats: number;
  claimDays: number;
  /** The most that the operator pays of a payout's routing fee (sats). */
  maxFeeSats: number;
}

/** All that one transition writes. */
export interface SessionStep {
  outcome: "applied";
  session: Session;
  postings: Posting[];
  tasks: TaskOrder[];
  refund: Refund | null;
}
export interface NoStep {
  outcome: "replayed";
}

const REPLAYED: NoStep = { outcome: "replayed" };

/** How long an expiry that finds requests running waits before it looks again (ms). */
const EXPIRY_AGAIN_MS = 60_000;

const applied = (session: Session, rest: Partial<Omit<SessionStep, "outcome" | "session">> = {}): SessionStep => ({
  outcome: "applied",
  session,
  postings: nonZero(rest.postings ?? []),
  tasks: rest.tasks ?? [],
  refund: rest.refund ?? null,
});

/** A new session waits for its deposit. */
export function createSession(input: {
  handle: string;
  pubkey?: string | null;
  lightningAddress?: string | null;
  simulated: string[];
  deposit: InvoiceSummary;
  challengeToken: TokenRef;
  bearerToken: TokenRef;
  now: number;
}): Session {
  const { now, pubkey = null, lightningAddress = null, ...rest } = input;
  return {
    v: 1,
    ...rest,
    pubkey,
    lightningAddress,
    state: "awaiting_payment",
    createdAt: now,
    depositPaid: false,
    topups: [],
    topupTokens: [],
    tokenUsed: false,
    running: 0,
    reservedSats: 0,
    spentSats: 0,
    modelCostSats: 0,
    poolShareSats: 0,
    feesSats: 0,
    expiresAt: null,
    refundIds: [],
    ends: 0,
  };
}

/** Whether requests may draw on it at all: paid, not ended, and its time not over. */
export const isOpen = (session: Session, now: number): boolean =>
  (session.state === "active" || session.state === "paused") && session.expiresAt !== null && now < session.expiresAt;

/** The state that a balance stands for: what running requests hold may come back, so it counts. */
export const stateFor = (balanceSats: number, reservedSats: number, terms: SessionTerms): "active" | "paused" =>
  balanceSats + reservedSats < terms.minBalanceSats ? "paused" : "active";

/** The deposit settled: the session lives. One that had expired unpaid does too: paid money is never ignored. */
export function depositPaid(
  session: Session,
  input: { paymentHash: string; paidSats: number; terms: SessionTerms; now: number },
): SessionStep | NoStep {
  if (session.depositPaid || input.paymentHash !== session.deposit.paymentHash) return REPLAYED;
  return received({ ...session, depositPaid: true }, { ...input, balanceSats: 0, posting: sessionDeposit });
}

/**
 * A top-up settled, whenever it did: it adds to the balance, and a session that had ended lives again.
 * @param input.balanceSats what the session's account holds before it.
 */
export function topupPaid(
  session: Session,
  input: { paymentHash: string; paidSats: number; balanceSats: number; terms: SessionTerms; now: number },
): SessionStep {
  const paid = pendingTopup(session, input.paymentHash);
  const next = paid ? { ...without(session, paid), topupTokens: [...session.topupTokens, paid.token] } : session;
  return received(next, { ...input, posting: sessionTopup });
}

function received(
  session: Session,
  input: {
    paymentHash: string;
    paidSats: number;
    balanceSats: number;
    posting: typeof sessionDeposit;
    terms: SessionTerms;
    now: number;
  },
): SessionStep {
  const { paymentHash, paidSats, balanceSats, posting, terms, now } = input;
  const state = stateFor(balanceSats + paidSats, session.reservedSats, terms);
  const expiresAt = now + terms.expiryMs;
  return applied({ ...session, state, expiresAt }, {
    postings: [posting(session.handle, { paymentHash, sats: paidSats })],
    tasks: [{ kind: "session-expiry", id: session.handle, dueAt: expiresAt }],
  });
}

/** The deposit's invoice ran out unpaid. A settlement that still comes revives the session. */
export function depositExpired(session: Session, paymentHash: string): SessionStep | NoStep {
  if (session.state !== "awaiting_payment" || session.deposit.paymentHash !== paymentHash) return REPLAYED;
  return applied({ ...session, state: "expired" });
}

/** The top-up's invoice ran out unpaid: another one may be asked for. */
export function topupExpired(session: Session, paymentHash: string): SessionStep | NoStep {
  const expired = pendingTopup(session, paymentHash);
  return expired ? applied(without(session, expired)) : REPLAYED;
}

const without = (session: Session, topup: Topup): Session => ({
  ...session,
  topups: session.topups.filter((one) => one !== topup),
});

/** A top-up is offered, unless one waits already that will do (`pending`), or too many wait (`full`). */
export function offerTopup(
  session: Session,
  topup: Topup,
  now: number,
): SessionStep | { outcome: "pending"; topup: Topup } | { outcome: "not_open" } | { outcome: "full"; until: number } {
  if (!isOpen(session, now)) return { outcome: "not_open" };
  const waiting = waitingTopup(session, { ...topup, sats: topup.invoice.amountSats }, now);
  if (waiting) return { outcome: "pending", topup: waiting };
  const until = topupsFullUntil(session, topup);
  if (until !== null) return { outcome: "full", until };
  // Whoever shows a token for it has used it: from here on the id alone does not show it.
  const tokenUsed = session.tokenUsed || topup.by !== STRANGER;
  return applied({ ...session, topups: [...session.topups, topup], tokenUsed });
}

/** A request begins: what it may cost leaves the balance. From here on the id alone shows no macaroon any more. */
export function requestBegan(session: Session, reservedSats: number): Session {
  return {
    ...session,
    tokenUsed: true,
    running: session.running + 1,
    reservedSats: session.reservedSats + reservedSats,
  };
}

/**
 * A request has ended and its reservation with it.
 * @param input.durable whether {@link requestBegan} counted it: a chat is counted in memory alone.
 * @param input.reservedSats what it had set aside durably
 * @param input.balanceSats the account once the rest came back, with what chats may still cost.
 * @param input.succeeded a success renews the session's life.
 */
export function requestEnded(
  session: Session,
  input: {
    durable: boolean;
    reservedSats: number;
    costSheet: Pick<CostSheet, "chargeSats" | "modelCostSats" | "poolShareSats">;
    balanceSats: number;
    succeeded: boolean;
    terms: SessionTerms;
    now: number;
  },
): Session {
  const { durable, costSheet, balanceSats, succeeded, terms, now } = input;
  const reservedSats = session.reservedSats - input.reservedSats;
  return {
    ...session,
    tokenUsed: true,
    running: session.running - (durable ? 1 : 0),
    reservedSats,
    spentSats: session.spentSats + costSheet.chargeSats,
    modelCostSats: session.modelCostSats + costSheet.modelCostSats,
    poolShareSats: session.poolShareSats + costSheet.poolShareSats,
    state: stateFor(balanceSats, reservedSats, terms),
    expiresAt: succeeded ? Math.max(session.expiresAt ?? 0, now + terms.expiryMs) : session.expiresAt,
  };
}

/**
 * The holder ends it: the whole balance is owed back.
 * @returns `busy` while requests run, `unpaid` before the deposit, `ended` when it was over already.
 */
export function closeSession(
  session: Session,
  input: { balanceSats: number; terms: RefundTerms; now: number },
): SessionStep | { outcome: "busy" | "unpaid" | "ended" } {
  if (session.state === "awaiting_payment") return { outcome: "unpaid" };
  if (session.state !== "active" && session.state !== "paused") return { outcome: "ended" };
  if (session.running > 0) return { outcome: "busy" };
  return ended(session, "closed", input);
}

/**
 * Its time is over: the balance is a refund that can be claimed.
 * @returns `wait` with the time to look again: a success has renewed it, or a request is running.
 */
export function expireSession(
  session: Session,
  input: { balanceSats: number; terms: RefundTerms; now: number },
): SessionStep | NoStep | { outcome: "wait"; until: number } {
  if (session.state !== "active" && session.state !== "paused") return REPLAYED;
  const { now } = input;
  if (session.expiresAt !== null && now < session.expiresAt) return { outcome: "wait", until: session.expiresAt };
  if (session.running > 0) return { outcome: "wait", until: now + EXPIRY_AGAIN_MS };
  return ended(session, "expired", input);
}

/** The routing fees that the operator pays on what the session owes: no more than it has earned him (economy.md §5). */
export const sessionFeeCredit = (
  { spentSats: chargesSats, modelCostSats, poolShareSats, feesSats }: Session,
  { maxFeeSats }: RefundTerms,
): number => feeCredit({ maxFeeSats, chargesSats, modelCostSats, poolShareSats, feesSats });

function ended(
  session: Session,
  state: "closed" | "expired",
  input: { balanceSats: number; terms: RefundTerms; now: number },
): SessionStep {
  const { balanceSats, terms, now } = input;
  const { handle } = session;
  const ends = session.ends + 1;
  const id = `${handle}-${ends}`;
  const feeCreditSats = sessionFeeCredit(session, terms);
  const refund = newRefund({
    id,
    source: { kind: "session", handle },
    owner: session.pubkey,
    sats: balanceSats,
    feeCreditSats,
    address: session.lightningAddress ?? null, // a session of before addresses could be left has no such field
    ...terms,
    now,
  });
  const from = sessionAccount(handle);
  const rest = refund ? refundOwed(id, from, balanceSats, handle) : refundDust(id, from, balanceSats, handle);
  const refundIds = refund ? [...session.refundIds, id] : session.refundIds;
  const feesSats = session.feesSats + (refund ? feeCreditSats : 0);
  return applied({ ...session, state, refundIds, ends, feesSats }, {
    postings: [rest],
    tasks: [{ kind: "session-expiry", id: handle, dueAt: null }],
    refund,
  });
}
