import { plan } from "@/lib/tasks/due.ts";
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
import { nextAddressTry, type Refund } from "./refunds.machine.ts";
import { getInvoice } from "./invoices.rows.ts";

export const refundKey = (id: string): Key => ["refund", id];
export const payoutKey = (paymentHash: string): Key => ["payout", paymentHash];

/** Every payment hash a refund was ever claimed with: none is paid for a second refund. */
export interface PayoutRow {
  v: 1;
  paymentHash: string;
  refundId: string;
  amountSats: number;
  at: number;
}

export const REFUND: Shape<Refund> = {
  id: "text",
  source: { kind: ["job", "session", "bootstrap", "recovered"], handle: "text" },
  owner: "text?",
  sats: "count",
  feeCreditSats: "count",
  state: ["pending", "paying", "paid", "expired"],
  claimUntil: "whole",
  payout: {
    "?": { paymentHash: "text", paymentRequest: "text", amountSats: "count", maxFeeSats: "count", claimedAt: "whole" },
  },
  earlier: "list",
  paid: { "?": { at: "whole", preimage: "text", feeSats: "whole" } },
};

/** @throws {UnreadableRow} */
export async function getRefund(reader: Reader, id: string): Promise<Refund | null> {
  const key = refundKey(id);
  return wholeRefund(readable(REFUND, key, await reader.get<Refund>(key)));
}

/** A refund as it was read: one that was written before addresses could be left has none. */
export const wholeRefund = (row: Refund | null): Refund | null => row && { ...row, ...addressOf(row) };
const addressOf = ({ address = null, attempts = [] }: Partial<Refund>) => ({ address, attempts });

/** Writes a refund; a new one gets the task that ends it when nobody claims it, and the one that pays it to its address. */
export async function putRefund(tx: Tx, refund: Refund, isNew = false): Promise<void> {
  tx.set(refundKey(refund.id), refund);
  if (!isNew) return;
  await plan(tx, { kind: "refund-expiry", id: refund.id, dueAt: refund.claimUntil });
  await planAddressTry(tx, refund, nextAddressTry(refund, refund.createdAt));
}

/** Plans the next try to pay a refund to its address, or (null) ends them. */
export async function planAddressTry(tx: Tx, { id, address }: Refund, dueAt: number | null): Promise<void> {
  if (address !== null) await plan(tx, { kind: "refund-address", id, dueAt });
}

/** Payouts of one payer that are under way: so few that they leave room for those of others. */
interface PayerRow {
  v: 1;
  refundIds: string[];
}
const MAX_UNDER_WAY = 8;
const payerKey = ({ owner, source }: Refund): Key => ["payer_payouts", owner ?? source.handle];

/** Counts a payout that begins. @returns false when too many of its payer's are under way. */
export async function beginPayout(tx: Tx, refund: Refund): Promise<boolean> {
  const refundIds = (await tx.get<PayerRow>(payerKey(refund)))?.refundIds ?? [];
  if (refundIds.length >= MAX_UNDER_WAY) return false;
  tx.set(payerKey(refund), { v: 1, refundIds: [...refundIds, refund.id] } satisfies PayerRow);
  return true;
}

/** The payout came to its end, whichever. */
export async function endPayout(tx: Tx, refund: Refund): Promise<void> {
  const row = await tx.get<PayerRow>(payerKey(refund));
  const refundIds = row?.refundIds.filter((id) => id !== refund.id) ?? [];
  if (refundIds.length > 0) tx.set(payerKey(refund), { v: 1, refundIds } satisfies PayerRow);
  else if (row) tx.delete(payerKey(refund));
}

const DISTRUST: Key = ["wallet_distrust"];
/** How long a wallet's "failed" is not believed after one of them turned out to be paid (ms). */
export const DISTRUST_MS = 600_000;

/** From now on nothing new is paid, and no failure is believed. */
export const distrustWallet = (tx: Tx, now: number): void => tx.set(DISTRUST, { v: 1, until: now + DISTRUST_MS });

/** Until when the wallet is not believed (ms since the epoch); null: it is. */
export async function distrustedUntil(tx: Reader, now: number): Promise<number | null> {
  const row = await tx.get<{ v: 1; until: number }>(DISTRUST);
  // A clock that was set back must not make ten minutes of it a month.
  return row && row.until > now && row.until <= now + DISTRUST_MS ? row.until : null;
}

/**
 * What a payment hash was used for before: an invoice of ours, or a payout. The same refund may claim again with the
 * invoice of its own failed attempt, which is then for the same amount: a wallet knows one payment for each hash.
 */
export async function usedBefore(
  reader: Reader,
  { paymentHash, amountSats }: { paymentHash: string; amountSats: number },
  refundId: string,
): Promise<"invoice" | "payout" | null> {
  const [invoice, payout] = await Promise.all([
    getInvoice(reader, paymentHash),
    reader.get<PayoutRow>(payoutKey(paymentHash)),
  ]);
  if (invoice) return "invoice";
  return payout && (payout.refundId !== refundId || payout.amountSats !== amountSats) ? "payout" : null;
}
