/**
 * A database that was put back from a backup catches up with its wallet (docs/operations/backup.md): what was paid since is not paid
 * again, and what came in since is not lost. Every step is a transaction that changes nothing when it is done again.
 */
import type { HistoryWallet, WalletHistory } from "@/lib/lightning/port.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";
import type { Store } from "@/lib/store/store.ts";
import { plan } from "@/lib/tasks/due.ts";
import { type FrozenRow, handleIn, MAX_NAMED, putFrozen } from "./freeze.ts";
import { getInvoice } from "./invoices.rows.ts";
import type { JournalEntry, PayoutJournal } from "./journal.ts";
import { payoutFound, recoveredRefund } from "./refunds.machine.ts";
import { getRefund, payoutKey, type PayoutRow, planAddressTry, putRefund } from "./refunds.rows.ts";

/** Clocks differ, and a payment may have been under way when the copy was made (ms). */
const MARGIN_MS = 86_400_000;

interface RecoveryOptions {
  store: Store;
  wallet: HistoryWallet;
  journal: PayoutJournal;
  /** Asks the wallet about an invoice of ours and records what it says. */
  check(paymentHash: string): Promise<unknown>;
  /** When the record of this handle was made (ms since the epoch); null: there is none. */
  createdAt(handle: string): Promise<number | null>;
  /** How long a refund can be claimed (days). */
  claimDays: number;
}

/** What was found, or would be. */
export interface Recovered {
  /** Payouts that the journal knows: their refunds are being paid with them. */
  paying: number;
  /** Invoices of ours that were paid meanwhile. */
  settled: number;
  /** Payments that nothing knows: each is a refund now. */
  recovered: number;
  /** Payments out that cannot be matched; null: none. */
  frozen: Omit<FrozenRow, "v" | "at"> | null;
}

type Outgoing = WalletHistory["outgoing"][number];

/**
 * @param backupAt when the backup was begun (ms since the epoch)
 * @param now what is made from this time on is not of the backup
 * @returns null when the wallet cannot tell: nothing was changed
 * @throws {WalletError} when it does not answer; begin again
 */
export async function catchUp(options: RecoveryOptions, backupAt: number, now: number): Promise<Recovered | null> {
  const { store, wallet } = options;
  const history = await wallet.listPayments(backupAt - MARGIN_MS);
  if (history === null) return null;
  const found = await matched(options, history, now);
  // Before anything that came in is booked: a crash in between must not let anything be claimed.
  if (found.frozen) {
    const { frozen } = found;
    await store.transact((tx) => putFrozen(tx, { v: 1, at: now, ...frozen }));
  }
  return { ...found, ...await booked(options, history, now) };
}

/** What has left: with the refund that the journal names, or to be decided. */
async function matched({ store, journal, createdAt }: RecoveryOptions, { outgoing }: WalletHistory, now: number) {
  const entries = new Map<string, JournalEntry>();
  for (const entry of await journal.entries()) entries.set(entry.paymentHash, entry);
  const unknown: Outgoing[] = [];
  const unfit: { sent: Outgoing; handle: string }[] = [];
  let paying = 0;
  // Those under way first: should one refund have several, the paid one is the last word.
  const sent = outgoing.filter(({ state }) => state !== "failed").toSorted((a, b) => rank(a) - rank(b));
  for (const one of sent) {
    const entry = entries.get(one.paymentHash);
    const outcome = await store.transact(async (tx): Promise<"known" | "found" | "unfit" | "unknown"> => {
      const { paymentHash } = one;
      if (await tx.get<PayoutRow>(payoutKey(paymentHash))) return "known";
      if (await getInvoice(tx, paymentHash)) return "known"; // paid to ourselves: no refund is ever paid so
      if (!entry) return "unknown";
      const refund = await getRefund(tx, entry.refundId);
      const { amountSats, at } = entry;
      const next = refund && payoutFound(refund, { paymentHash, amountSats, at, now });
      if (next?.outcome !== "found") return "unfit";
      await putRefund(tx, next.refund);
      tx.set(
        payoutKey(paymentHash),
        { v: 1, paymentHash, refundId: entry.refundId, amountSats, at } satisfies PayoutRow,
      );
      await plan(tx, { kind: "payout", id: entry.refundId, dueAt: now });
      await planAddressTry(tx, next.refund, null);
      return "found";
    });
    if (outcome === "found") paying++;
    if (outcome === "unknown") unknown.push(one);
    if (outcome === "unfit") unfit.push({ sent: one, handle: handleIn(entry!.refundId) });
  }
  const homeless = [...unknown];
  for (const { sent, handle } of unfit) if (await createdAt(handle) === null) homeless.push(sent);
  const cameInUntil = Math.max(0, ...homeless.map(({ at }) => at));
  const frozen = frozenBy(unknown, unfit);
  return { paying, frozen: frozen && { ...frozen, cameInUntil } };
}

const rank = ({ state }: Outgoing): number => state === "paid" ? 1 : 0;

function frozenBy(unknown: Outgoing[], unfit: { sent: Outgoing; handle: string }[]) {
  const all = [...unknown, ...unfit.map(({ sent }) => sent)];
  if (all.length === 0) return null;
  const handles = [...new Set(unfit.map(({ handle }) => handle))];
  const everything = unknown.length > 0 || handles.length > MAX_NAMED;
  return {
    everything,
    handles: everything ? [] : handles,
    count: all.length,
    sats: all.reduce((sum, { amountSats }) => sum + amountSats, 0),
    payments: all.slice(0, MAX_NAMED).map(({ paymentHash, amountSats, at }) => ({ paymentHash, amountSats, at })),
  };
}

/** What has come in: for its record, or for whoever shows its preimage. */
async function booked({ store, check, claimDays }: RecoveryOptions, { incoming }: WalletHistory, now: number) {
  let [settled, recovered] = [0, 0];
  for (const { paymentHash, paidSats, at } of incoming) {
    const invoice = await getInvoice(store, paymentHash);
    if (invoice?.settled) continue;
    if (invoice) {
      await check(paymentHash);
      settled++;
    } else if (paidSats > 0) {
      recovered += await store.transact(async (tx) => {
        if (await getRefund(tx, paymentHash)) return 0;
        const { refund, postings } = recoveredRefund({ paymentHash, sats: paidSats, at }, { claimDays, now });
        await putRefund(tx, refund, true);
        await post(tx, postings, now);
        return 1;
      });
    }
  }
  return { settled, recovered };
}
