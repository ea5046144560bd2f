import type { Clock } from "@/lib/clock.ts";
import type { Store, Tx } from "@/lib/store/store.ts";
import type { PaymentState, PaymentWallet } from "@/lib/lightning/port.ts";
import type { Logger } from "@/lib/logger.ts";
import type { LeapGuard } from "@/lib/leap-guard.ts";
import type { TaskSpec } from "@/lib/tasks/queue.ts";
import { nonZero } from "@/lib/ledger/postings.ts";
import {
  DOUBT_MS,
  earlierPaid,
  expireRefund,
  nextAddressTry,
  type Payout,
  payoutClaimed,
  payoutDoubtful,
  payoutFailed,
  payoutPaid,
  type Refund,
} from "./refunds.machine.ts";
import { getTask, holdsLease, type Lease, plan } from "@/lib/tasks/due.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import {
  beginPayout,
  distrustedUntil,
  distrustWallet,
  endPayout,
  getRefund,
  payoutKey,
  type PayoutRow,
  planAddressTry,
  putRefund,
  usedBefore,
} from "./refunds.rows.ts";
import { type AddressOptions, addressTask } from "./address-payouts.ts";
import type { ClaimOutcome, PayoutInvoice } from "./claim-outcome.ts";
import type { Freeze } from "./freeze.ts";
import type { PayoutJournal } from "./journal.ts";
import { createUnderWay } from "./under-way.ts";
import { createWalletCalls } from "./wallet-calls.ts";

export type { ClaimOutcome, PayoutInvoice };

export interface Payouts {
  /**
   * Writes the claim (`pending → paying`, payment hash recorded) and starts the payout in the same commit. Of many calls
   * at once one is `claimed`. Nothing is written unless it is.
   * @param lease of the task that claims: without it, any more, there is nothing to claim (`none`).
   */
  claim(refundId: string, invoice: PayoutInvoice, lease?: Lease): Promise<ClaimOutcome>;
  /** Payouts that this process has looked at and whose outcome is not known, and how long ago the oldest was claimed (ms). */
  status(): { underWay: number; oldestMs: number };
  payoutTask: TaskSpec;
  /** Pays a refund to the Lightning address that its payer left. */
  addressTask: TaskSpec;
  expiryTask: TaskSpec;
}

interface PayoutsOptions extends AddressOptions {
  store: Store;
  wallet: PaymentWallet & { readonly name: string };
  journal: PayoutJournal;
  freeze: Freeze;
  clock: Clock;
  log: Logger;
  guard: LeapGuard;
  /** Limit of one call to the wallet (ms). */
  timeoutMs: number;
  /** Told of a look that ended without knowing, and of a wallet that was caught in a wrong answer. */
  counted?: (outcome: "unknown" | "contradicted") => void;
}

/** A first call within this time of its claim counts as made with it (ms); small against the time that a failure is doubted. */
const PROMPT_MS = 1_000;
/** How long a payout keeps its place while the wallet does not answer (ms). */
const PATIENCE_MS = 250;
/** How often an expiry looks whether the clock is believed again (ms). */
const LOOK_AGAIN_MS = 3_600_000;
/** Wallet calls under way at once; what comes beyond waits. */
const MAX_CALLS = 1_000;

/** Nobody knows yet what became of the payment: the task looks again later, and never gives up. */
class OutcomeUnknown extends Error {
  override name = "OutcomeUnknown";
}

/** What the wallet said to one call. */
interface Word {
  states: PaymentState[];
  /** Since when another call may be under way (ms since the epoch); null: none can be. */
  doubtSince: number | null;
}

/** A payment of this refund and its outcome: the one being made, or an earlier one that turned out paid. */
interface Found {
  paymentHash: string;
  state: PaymentState;
  doubtSince: number | null;
  wasEarlier: boolean;
}

/** Pays refunds out, at most once each: the claim is durable before the wallet is called, and the wallet knows the hash. */
export function createPayouts(options: PayoutsOptions): Payouts {
  const { store, wallet, journal, freeze, clock, log, guard, timeoutMs } = options;
  /** Claims of this process that no call was made for yet: no earlier call can be under way for them. */
  const fresh = new Set<string>();
  const underWay = createUnderWay(clock);
  const calls = createWalletCalls<Word>({ clock, patienceMs: PATIENCE_MS });

  async function writeClaim(tx: Tx, refundId: string, invoice: PayoutInvoice, now: number): Promise<ClaimOutcome> {
    const refund = await getRefund(tx, refundId);
    if (!refund) return { outcome: "none" };
    if (await freeze.covers(refund.source.handle)) return { outcome: "frozen" };
    const next = payoutClaimed(refund, { ...invoice, claimedAt: now });
    if (next.outcome !== "claimed") return next;
    if (await usedBefore(tx, invoice, refundId)) return { outcome: "used" };
    const until = await distrustedUntil(tx, now);
    if (until !== null) return { outcome: "distrusted", until };
    if (!(await beginPayout(tx, refund))) return { outcome: "crowded" };
    await putRefund(tx, next.refund);
    const { paymentHash, amountSats } = invoice;
    tx.set(payoutKey(paymentHash), { v: 1, paymentHash, refundId, amountSats, at: now } satisfies PayoutRow);
    await plan(tx, { kind: "payout", id: refundId, dueAt: now });
    await planAddressTry(tx, refund, null);
    tx.event({ type: "refund_state", handle: refund.source.handle, state: "paying" });
    return { outcome: "claimed" };
  }

  /**
   * One call to the wallet, or its answer when an earlier look began it.
   * @throws {OutcomeUnknown} when the answer is not there yet: the place goes to others, and the task comes again with it.
   */
  async function ask(lease: Lease, what: string, doubtSince: number | null, begin: () => Promise<PaymentState[]>) {
    const name = `${lease.kind} ${what}`;
    if (!calls.has(name) && calls.size >= MAX_CALLS) throw new OutcomeUnknown("too many wallet calls are under way");
    const answer = await calls.answer(name, {
      begin: async () => ({ states: await begin(), doubtSince }),
      onAnswer: () => void hasten(lease, name),
    });
    if (!answer) throw new OutcomeUnknown("the wallet has not answered yet");
    return answer;
  }

  /** The answer that a task gave its place back for is there: it need not wait for its time. */
  async function hasten({ kind, id }: Lease, name: string): Promise<void> {
    try {
      const planned = await store.transact(async (tx) => {
        const row = await getTask(tx, kind, id);
        if (row && !row.lease) await plan(tx, { kind, id, dueAt: clock.now(), attempt: row.attempt });
        return row !== null;
      });
      if (!planned) calls.forget(name);
    } catch (error) {
      log.warn({ task: kind, error }, "a payout could not be hastened; it looks again at its time");
    }
  }

  /**
   * Asks the wallet, and has it pay unless it knows the payment already, or an earlier one of this refund.
   * @returns its word; null when the lease was lost.
   * @throws {OutcomeUnknown} when nothing may be paid or decided yet.
   */
  async function findOrPay(lease: Lease, refund: Refund, payout: Payout): Promise<Found | null> {
    const { paymentHash, paymentRequest, amountSats, maxFeeSats, claimedAt, doubtfulAt } = payout;
    const own = ({ states: [state], doubtSince }: Word): Found | null =>
      state ? { paymentHash, state, doubtSince, wasEarlier: false } : null;
    const firstCall = fresh.has(paymentHash);
    const doubtSince = firstCall ? doubtfulAt : doubtfulAt ?? claimedAt;
    if (!calls.has(`${lease.kind} pay ${paymentHash}`)) {
      let mayBeUnderWay = false;
      if (!firstCall) {
        const look = async () => [await wallet.lookupPayment(paymentHash)];
        const known = await ask(lease, `look ${paymentHash}`, doubtSince, look);
        const [state] = known.states;
        if (state?.state !== "unknown") return own(known);
        // The wallet may never have heard of it. The same invoice again is safe: it pays a hash at most once.
        mayBeUnderWay = !state.absent || clock.now() < (doubtSince ?? 0) + DOUBT_MS;
      }
      const earlier = await findEarlier(lease, refund);
      if (earlier && mayBeUnderWay) {
        throw new OutcomeUnknown("an earlier payout was paid, and this one may be under way");
      }
      if (earlier) {
        fresh.delete(paymentHash);
        return earlier;
      }
      await writeDown(refund.id, payout);
      // The claim's own commit says that a call follows at once. Any other call is written down before it is made: should this
      // process die during it, the next one must not take a failure of its own call for the end of this one.
      const prompt = firstCall && clock.now() <= claimedAt + PROMPT_MS;
      if (!prompt && !(await noteCall(lease, paymentHash))) return null;
    }
    return own(
      await ask(lease, `pay ${paymentHash}`, doubtSince, async () => {
        fresh.delete(paymentHash);
        return [await wallet.pay({ paymentHash, paymentRequest, amountSats, maxFeeSats, timeoutMs })];
      }),
    );
  }

  /**
   * A database that is put back from a backup does not know what was paid since; the journal does.
   * @throws {OutcomeUnknown} when it could not be written: nothing is paid unwritten.
   */
  async function writeDown(refundId: string, { paymentHash, amountSats }: Payout): Promise<void> {
    try {
      await journal.append({ v: 1, at: clock.now(), paymentHash, refundId, amountSats });
    } catch (error) {
      log.error(
        { code: "journal_unwritable", error },
        "the journal of payouts cannot be written, so nothing is paid out: check the disk and the rights of payouts.journal",
      );
      throw new OutcomeUnknown("the journal of payouts cannot be written");
    }
  }

  /**
   * Asks again about every payout that failed: a wallet may have been wrong. One that was is not believed for a while.
   * @returns the one that turned out paid; null when all of them failed for good.
   * @throws {OutcomeUnknown} while that is not certain.
   */
  async function findEarlier(lease: Lease, { id, earlier }: Refund): Promise<Found | null> {
    if (earlier.length === 0) return null;
    const look = () => Promise.all(earlier.map(({ paymentHash }) => wallet.lookupPayment(paymentHash)));
    const { states } = await ask(lease, `earlier ${id}`, null, look);
    const paid = states.findIndex(({ state }) => state === "paid");
    const [state, payout] = [states[paid], earlier[paid]];
    if (state && payout) {
      const now = clock.now();
      await store.transact((tx) => distrustWallet(tx, now));
      options.counted?.("contradicted");
      log.error(
        { code: "payout_contradicted", backend: wallet.name },
        "the wallet had called a payout failed that it paid; nothing new is paid out for ten minutes: check the wallet",
      );
      return { paymentHash: payout.paymentHash, state, doubtSince: null, wasEarlier: true };
    }
    const over = states.every((each) => each.state === "failed" || (each.state === "unknown" && each.absent));
    if (!over) throw new OutcomeUnknown("the wallet does not say what became of an earlier payout");
    return null;
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
    try {
      await lookAt(lease);
      underWay.ended(lease.id);
    } catch (error) {
      if (error instanceof OutcomeUnknown) options.counted?.("unknown");
      throw error;
    }
  }

  async function lookAt(lease: Lease): Promise<void> {
    const refund = await getRefund(store, lease.id);
    if (!refund?.payout || refund.state !== "paying") return void await close(lease, () => {});
    underWay.seen(lease.id, refund.payout.claimedAt);
    const found = await findOrPay(lease, refund, refund.payout);
    if (!found) return;
    const done = await close(lease, async (tx) => await recordOutcome(tx, lease, found));
    if (done === "look again") {
      throw new OutcomeUnknown(`a payout is ${found.state.state}: it is looked up until the wallet knows`);
    }
  }

  /** The transaction that records what the wallet said. The task stays planned while the outcome is not known. */
  async function recordOutcome(tx: Tx, lease: Lease, found: Found): Promise<"look again" | void> {
    const now = clock.now();
    const refund = await getRefund(tx, lease.id);
    if (!refund) return;
    const { paymentHash, state, doubtSince } = found;
    if (state.state === "paid") await recordPaid(tx, refund, found, now);
    else if (state.state === "failed" && await distrustedUntil(tx, now) === null) {
      const next = payoutFailed(refund, { paymentHash, reason: state.reason, now, doubtSince });
      if (!next) return;
      await putRefund(tx, next.refund);
      if (next.outcome === "doubtful") return "look again";
      await endPayout(tx, refund);
      await planAddressTry(tx, refund, nextAddressTry(next.refund, now));
      tx.event({ type: "refund_state", handle: refund.source.handle, state: "pending" });
    } else {
      const next = payoutDoubtful(refund, paymentHash, now);
      if (next) await putRefund(tx, next);
      return "look again";
    }
  }

  async function recordPaid(tx: Tx, refund: Refund, { paymentHash, state, wasEarlier }: Found, now: number) {
    if (state.state !== "paid") return;
    const sent = { paymentHash, preimage: state.preimage, feeSats: state.feeSats, now };
    const next = wasEarlier ? earlierPaid(refund, sent) : payoutPaid(refund, sent);
    if (!next) return;
    await putRefund(tx, next.refund);
    await post(tx, nonZero(next.postings), now);
    await endPayout(tx, refund);
    await plan(tx, { kind: "payout", id: refund.id, dueAt: null });
    await plan(tx, { kind: "refund-expiry", id: refund.id, dueAt: null });
    await planAddressTry(tx, refund, null);
    tx.event({ type: "refund_state", handle: refund.source.handle, state: "paid", sats: refund.sats });
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
    const due = await getRefund(store, lease.id);
    const ends = due !== null && expireRefund(due, now).outcome === "expired";
    const waitMs = ends ? guard.waitMs() : 0;
    const earlier = ends && waitMs === 0 ? await findEarlier(lease, due) : null;
    await store.transact(async (tx) => {
      if (!(await holdsLease(tx, lease))) return;
      const again = (dueAt: number) => plan(tx, { kind: lease.kind, id: lease.id, dueAt });
      if (waitMs > 0) return again(now + Math.min(waitMs, LOOK_AGAIN_MS));
      const refund = await getRefund(tx, lease.id);
      if (earlier && refund?.state === "pending") return await recordPaid(tx, refund, earlier, now);
      const next = refund ? expireRefund(refund, now) : { outcome: "over" as const };
      // Being paid out right now: should that fail, the payer gets another day to claim again.
      if (next.outcome === "wait") return again(Math.max((refund as Refund).claimUntil, now + 86_400_000));
      await plan(tx, { kind: lease.kind, id: lease.id, dueAt: null });
      if (next.outcome !== "expired") return;
      await putRefund(tx, next.refund);
      await planAddressTry(tx, next.refund, null);
      await post(tx, next.postings, now);
      tx.event({ type: "refund_state", handle: next.refund.source.handle, state: "expired", sats: next.refund.sats });
    });
  }

  const claim: Payouts["claim"] = async (refundId, invoice, lease) => {
    const now = clock.now();
    const known = fresh.has(invoice.paymentHash); // by another call at the same time, whose claim it may be
    fresh.add(invoice.paymentHash);
    let claimed = false;
    try {
      const result = await store.transact(async (tx): Promise<ClaimOutcome> =>
        lease && !(await holdsLease(tx, lease)) ? { outcome: "none" } : await writeClaim(tx, refundId, invoice, now)
      );
      claimed = result.outcome === "claimed";
      return result;
    } finally {
      if (!claimed && !known) fresh.delete(invoice.paymentHash);
    }
  };

  return {
    claim,
    status: underWay.status,
    addressTask: addressTask({ ...options, claim }),
    payoutTask: {
      kind: "payout",
      concurrency: 64,
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
