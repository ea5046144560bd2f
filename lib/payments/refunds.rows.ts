import { plan } from "@/lib/tasks/due.ts";
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import type { Refund } from "./refunds.machine.ts";
import { getInvoice } from "./invoices.rows.ts";

export const refundKey = (id: string): Key => ["refund", id];
export const payoutKey = (paymentHash: string): Key => ["payout", paymentHash];

/** Every payment hash a refund was ever claimed with: none is paid for a second refund. */
export interface PayoutRow {
  v: 1;
  paymentHash: string;
  refundId: string;
  at: number;
}

export const getRefund = (reader: Reader, id: string): Promise<Refund | null> => reader.get<Refund>(refundKey(id));

/** Writes a refund; a new one gets the task that ends it when nobody claims it. */
export async function putRefund(tx: Tx, refund: Refund, isNew = false): Promise<void> {
  tx.set(refundKey(refund.id), refund);
  if (isNew) await plan(tx, { kind: "refund-expiry", id: refund.id, dueAt: refund.claimUntil });
}

/**
 * What a payment hash was used for before: an invoice of ours, or a payout. The same refund may claim again with the
 * invoice of its own failed attempt.
 */
export async function usedBefore(
  reader: Reader,
  paymentHash: string,
  refundId: string,
): Promise<"invoice" | "payout" | null> {
  const [invoice, payout] = await Promise.all([
    getInvoice(reader, paymentHash),
    reader.get<PayoutRow>(payoutKey(paymentHash)),
  ]);
  if (invoice) return "invoice";
  return payout && payout.refundId !== refundId ? "payout" : null;
}
