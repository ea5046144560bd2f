/** The book of invoices: each that was settled is booked once, with what was paid. */
import type { Invoice } from "@/lib/payments/invoices.rows.ts";
import type { Book } from "./book.ts";

export async function auditInvoices({ source, ledger, check }: Book): Promise<void> {
  const unknown = new Map(ledger.receipts);
  let invoices = 0;
  let wrong: string | null = null;
  for await (const { value: { paymentHash, settled } } of source.rows<Invoice>(["invoice"])) {
    if (!settled) continue;
    invoices++;
    const booked = unknown.get(paymentHash) ?? 0;
    unknown.delete(paymentHash);
    if (booked !== settled.paidSats) {
      wrong ??= `account lightning: a settled invoice of ${settled.paidSats} sats is booked with ${booked}`;
    }
  }
  if (unknown.size > 0) wrong ??= `account lightning: ${unknown.size} receipts belong to no settled invoice`;
  check("every settled invoice is booked once", wrong, `${invoices} settled invoices`);
}
