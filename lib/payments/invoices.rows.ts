import { plan } from "@/lib/tasks/due.ts";
import type { Key, Reader, Tx } from "@/lib/store/store.ts";
import { readable, type Shape } from "@/lib/store/readable.ts";
import { expireAt } from "@/lib/tasks/expiring.ts";

/** What an invoice is for; each purpose has one settlement handler, named where the process is put together. */
const PURPOSES = ["job-eval", "job-work", "session-deposit", "session-topup", "pool-donation", "bootstrap"] as const;
export type InvoicePurpose = typeof PURPOSES[number];

/** An invoice of ours that was shown to a payer. */
export interface Invoice {
  v: 1;
  paymentHash: string;
  paymentRequest: string;
  purpose: InvoicePurpose;
  /** Handle of the record it pays for. */
  ref: string;
  amountSats: number;
  /** ms since the epoch. */
  createdAt: number;
  expiresAt: number;
  settled: { at: number; paidSats: number } | null;
}

/** What a payer is shown and a record keeps of its invoice. */
export type InvoiceSummary = Pick<Invoice, "paymentHash" | "paymentRequest" | "amountSats" | "expiresAt">;

/** The row of an invoice that is about to be shown. @param ref handle of the record it pays for @param now ms since the epoch */
export const newInvoice = (purpose: InvoicePurpose, ref: string, summary: InvoiceSummary, now: number): Invoice => ({
  v: 1,
  ...summary,
  purpose,
  ref,
  createdAt: now,
  settled: null,
});

/** An invoice as a payer sees it, field by field. */
export const invoiceBody = ({ paymentRequest, amountSats, paymentHash, expiresAt }: InvoiceSummary) => ({
  paymentRequest,
  amountSats,
  paymentHash,
  expiresAt: new Date(expiresAt).toISOString(),
});

export const invoiceKey = (paymentHash: string): Key => ["invoice", paymentHash];
/** Invoices the reconciler still asks the wallet about, oldest expiry first. */
export const OPEN_INVOICES: Key = ["open_invoice"];
const openInvoiceKey = (invoice: Pick<Invoice, "expiresAt" | "paymentHash">): Key => [
  ...OPEN_INVOICES,
  invoice.expiresAt,
  invoice.paymentHash,
];

const summary = { paymentHash: "text", paymentRequest: "text", amountSats: "count", expiresAt: "whole" } as const;
/** What the record that an invoice pays for keeps of it. */
export const INVOICE_SUMMARY: Shape<InvoiceSummary> = summary;
export const INVOICE: Shape<Invoice> = {
  ...summary,
  purpose: PURPOSES,
  ref: "text",
  createdAt: "whole",
  settled: { "?": { at: "whole", paidSats: "count" } },
};

/** @throws {UnreadableRow} */
export async function getInvoice(reader: Reader, paymentHash: string): Promise<Invoice | null> {
  const key = invoiceKey(paymentHash);
  return readable(INVOICE, key, await reader.get<Invoice>(key));
}

/** Records a new invoice, watches it, and plans the look at it when it expires. */
export async function addInvoice(tx: Tx, invoice: Invoice): Promise<void> {
  tx.insert(invoiceKey(invoice.paymentHash), invoice);
  tx.insert(openInvoiceKey(invoice), { v: 1 });
  await plan(tx, { kind: "invoice-expiry", id: invoice.paymentHash, dueAt: invoice.expiresAt, isNew: true });
}

/**
 * Marks an invoice as settled, once.
 * @returns `replayed` when it was before; `unknown` when it is none of ours. Nothing is written then.
 */
export async function settleInvoice(
  tx: Tx,
  paymentHash: string,
  paidSats: number,
  now: number,
): Promise<{ outcome: "settled"; invoice: Invoice } | { outcome: "replayed" | "unknown" }> {
  const invoice = await getInvoice(tx, paymentHash);
  if (!invoice) return { outcome: "unknown" };
  if (invoice.settled) return { outcome: "replayed" };
  const settled: Invoice = { ...invoice, settled: { at: now, paidSats } };
  tx.set(invoiceKey(paymentHash), settled);
  stopWatching(tx, invoice);
  await plan(tx, { kind: "invoice-expiry", id: paymentHash, dueAt: null });
  if (now > invoice.expiresAt) await expireAt(tx, invoiceKey(paymentHash), null); // paid after all: it is kept for good
  return { outcome: "settled", invoice: settled };
}

/** How long an invoice that nobody paid is kept after what it was for is gone (ms). */
const KEPT_MS = 30 * 86_400_000;

/**
 * What the invoice was for is gone. The row itself stays for a month: should a wallet take a payment for it all the same,
 * the money must find its way into the books.
 */
export async function dropInvoiceLater(tx: Tx, paymentHash: string, now: number): Promise<void> {
  await expireAt(tx, invoiceKey(paymentHash), now + KEPT_MS);
}

/** The reconciler asks no more: the invoice was settled, or is so long expired that nobody can pay it. */
export function stopWatching(tx: Tx, invoice: Invoice): void {
  tx.delete(openInvoiceKey(invoice));
}
