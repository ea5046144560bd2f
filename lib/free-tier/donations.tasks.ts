import type { InvoiceHandler } from "@/lib/payments/settlements.ts";
import { dropInvoiceLater } from "@/lib/payments/invoices.rows.ts";
import { poolDonation } from "@/lib/ledger/postings.ts";
import { post } from "@/lib/ledger/ledger.rows.ts";

/** What a settled and an expired invoice of a donation mean: it has no record but the invoice itself. */
export function freeTierTasks(): { handlers: { "pool-donation": InvoiceHandler } } {
  return {
    handlers: {
      "pool-donation": {
        /** All that was paid is the pool's, also when it is more than was asked, or comes late. */
        async settled(tx, { paymentHash, ref }, paidSats, now) {
          await post(tx, [poolDonation({ paymentHash, sats: paidSats })], now);
          tx.event({ type: "pool_donation", handle: ref, amountSats: paidSats });
        },
        /** It may still be paid for a day: until then the row must stand. */
        expired: () => Promise.resolve(),
        forgotten: (tx, { paymentHash }, now) => dropInvoiceLater(tx, paymentHash, now),
      },
    },
  };
}
