import type { Clock } from "@/lib/clock.ts";
import type { Store, Tx } from "@/lib/store/store.ts";
import type { PaymentState, PaymentWallet } from "@/lib/lightning/port.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { nonZero } from "@/lib/ledger/postings.ts";
import {
  claim,
  expireRefund,
  type Payout,
  payoutDoubtful,
  payoutFailed,
  payoutFeeLimit,
  payoutPaid,
  type Refund,
} from "./refunds.machine.ts";
import { holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import { getRefund, payoutKey, type PayoutRow, putRefund, usedBefore } from "./refunds.rows.ts";

/** A payer's invoice, decoded and checked by the caller: amount, network, expiry and signature. */
export interface PayoutInvoice {
  paymentHash: string;
  paymentRequest: string;
}

export type ClaimOutcome =
  | { outcome: "claimed" }
  | { outcome: "taken"; paymentHash: string | null }
  | { outcome: "used" | "expired" | "none" };

export interface Payouts {
  /**
   * Writes the claim (`pending → paying`, payment hash recorded) and starts the payout in the same commit. Of many calls
   * at once one is `claimed`. Nothing is written unless it is.
   */
  claim(refundId: string, invoice: PayoutInvoice): Promise<ClaimOutcome>;
  payoutTask: TaskSpec;
  expiryTask: TaskSpec;
}

export interface PayoutsOptions {
  store: Store;
  wallet: PaymentWallet;
  clock: Clock;
  /** Routing-fee limit: the larger of this and 1 % (sats). */
  maxFeeSats: number;
  /** Limit of one call to the wallet (ms). */
  timeoutMs: number;
}

/** A first call within this time of its claim counts as made with it (ms); small against the time that a failure is doubted. */
const PROMPT_MS = 1_000;

/** Nobody knows yet what became of the payment: the task looks again later, and never gives up. */
class OutcomeUnknown extends Error {
  override name = "OutcomeUnknown";
}

/** Pays refunds out, at most once each: the claim is durable before the wallet is called, and the wallet knows the hash. */
export function createPayouts(options: PayoutsOptions): Payouts {
  const { store, wallet, clock, maxFeeSats, timeoutMs } = options;
  /** Claims of this process that no call was made for yet: no earlier call can be under way for them. */
  const fresh = new Set<string>();

  async function claimRefund(refundId: string, invoice: PayoutInvoice): Promise<ClaimOutcome> {
    const now = clock.now();
    const known = fresh.has(invoice.paymentHash); // by another call at the same time, whose claim it may be
    fresh.add(invoice.paymentHash);
    let claimed = false;
    try {
      const result = await store.transact(async (tx): Promise<ClaimOutcome> => {
        const refund = await getRefund(tx, refundId);
        if (!refund) return { outcome: "none" };
        const next = claim(refund, {
          ...invoice,
          maxFeeSats: payoutFeeLimit(refund.sats, maxFeeSats),
          claimedAt: now,
        });
        if (next.outcome !== "claimed") return next;
        if (await usedBefore(tx, invoice.paymentHash, refundId)) return { outcome: "used" };
        await putRefund(tx, next.refund);
        const { paymentHash } = invoice;
        tx.set(payoutKey(paymentHash), { v: 1, paymentHash, refundId, at: now } satisfies PayoutRow);
        await plan(tx, { kind: "payout", id: refundId, dueAt: now });
        tx.event({ type: "refund_state", handle: refund.source.handle, state: "paying" });
        return { outcome: "claimed" };
      });
      claimed = result.outcome === "claimed";
      return result;
    } finally {
      if (!claimed && !known) fresh.delete(invoice.paymentHash);
    }
  }

  /**
   * Asks the wallet, and has it pay unless it knows the payment already.
   * @returns its word, and since when another call may be under way (null: none can be); null when the lease was lost.
   */
  async function pay(
    lease: Lease,
    payout: Payout,
    sats: number,
  ): Promise<{ state: PaymentState; doubtSince: number | null } | null> {
    const { paymentHash, paymentRequest } = payout;
    const firstCall = fresh.delete(paymentHash);
    const doubtSince = firstCall ? payout.doubtfulAt : payout.doubtfulAt ?? payout.claimedAt;
    if (!firstCall) {
      const known = await wallet.lookupPayment(paymentHash);
      if (known.state !== "unknown") return { state: known, doubtSince };
      // The wallet may never have heard of it. The same invoice again is safe: it pays a hash at most once.
    }
    // The claim's own commit says that a call follows at once. Any other call is written down before it is made: should this
    // process die during it, the next one must not take a failure of its own call for the end of this one.
    if (!firstCall || clock.now() > payout.claimedAt + PROMPT_MS) {
      if (!(await noteCall(lease, paymentHash))) return null;
    }
    const state = await wallet.pay({
      paymentHash,
      paymentRequest,
      amountSats: sats,
      maxFeeSats: payout.maxFeeSats,
      timeoutMs,
    });
    return { state, doubtSince };
  }

  /** @returns false when the lease was lost. */
  async function noteCall(lease: Lease, paymentHash: string): Promise<boolean> {
    const now = clock.now();
    return await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return false;
      const refund = await getRefund(tx, lease.id);
      const next = refund && payoutDoubtful(refund, paymentHash, now);
      if (next) await putRefund(tx, next);
      return next !== null;
    });
  }

  async function payOut(lease: Lease): Promise<void> {
    const refund = await getRefund(store, lease.id);
    if (!refund?.payout || refund.state !== "paying") return await close(lease, () => {});
    const { payout } = refund;
    const called = await pay(lease, payout, refund.sats);
    if (!called) return;
    const { state, doubtSince } = called;
    const done = await close(lease, async (tx) => await recordOutcome(tx, lease, payout, state, doubtSince));
    if (done === "look again") {
      throw new OutcomeUnknown(`a payout is ${state.state}: it is looked up until the wallet knows`);
    }
  }

  /** The transaction that records what the wallet said. The task stays planned while the outcome is not known. */
  async function recordOutcome(
    tx: Tx,
    lease: Lease,
    payout: Payout,
    state: PaymentState,
    doubtSince: number | null,
  ): Promise<"look again" | void> {
    const now = clock.now();
    const refund = await getRefund(tx, lease.id);
    if (!refund) return;
    const { paymentHash } = payout;
    if (state.state === "paid") {
      const next = payoutPaid(refund, { paymentHash, preimage: state.preimage, feeSats: state.feeSats, now });
      if (!next) return;
      await putRefund(tx, next.refund);
      await post(tx, nonZero(next.postings), now);
      await plan(tx, { kind: "refund-expiry", id: refund.id, dueAt: null });
      tx.event({ type: "refund_state", handle: refund.source.handle, state: "paid", sats: refund.sats });
    } else if (state.state === "failed") {
      const next = payoutFailed(refund, { paymentHash, reason: state.reason, now, doubtSince });
      if (!next) return;
      await putRefund(tx, next.refund);
      if (next.outcome === "doubtful") return "look again";
      tx.event({ type: "refund_state", handle: refund.source.handle, state: "pending" });
    } else {
      const next = payoutDoubtful(refund, paymentHash, now);
      if (next) await putRefund(tx, next);
      return "look again";
    }
  }

  /** Runs `record` under the lease and ends the task, unless `record` wants it to go on. */
  async function close<T>(lease: Lease, record: (tx: Tx) => Promise<T> | T): Promise<T | undefined> {
    return await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return undefined;
      const result = await record(tx);
      if (result === undefined) await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      return result;
    });
  }

  async function expire(lease: Lease): Promise<void> {
    const now = clock.now();
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      const refund = await getRefund(tx, lease.id);
      const next = refund ? expireRefund(refund, now) : { outcome: "over" as const };
      if (next.outcome === "wait") {
        // Being paid out right now: should that fail, the payer gets another day to claim again.
        return await plan(tx, {
          kind: lease.kind,
          id: lease.id,
          dueAt: Math.max((refund as Refund).claimUntil, now + 86_400_000),
        });
      }
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      if (next.outcome !== "expired") return;
      await putRefund(tx, next.refund);
      await post(tx, next.postings, now);
      tx.event({ type: "refund_state", handle: next.refund.source.handle, state: "expired", sats: next.refund.sats });
    });
  }

  return {
    claim: claimRefund,
    payoutTask: {
      kind: "payout",
      concurrency: 32,
      leaseMs: Math.max(60_000, timeoutMs * 3),
      maxAttempts: Infinity, // an unknown outcome is a state, not a guess
      maxDelayMs: 60_000,
      run: payOut,
      giveUp: async (lease) => void await close(lease, () => {}),
    },
    expiryTask: {
      kind: "refund-expiry",
      concurrency: 4,
      leaseMs: 30_000,
      maxAttempts: Infinity,
      maxDelayMs: 60_000,
      run: expire,
      giveUp: expire,
    },
  };
}
