/** The invoice that a request is answered with. */
import type { InvoiceSummary } from "@/lib/payments/invoices.rows.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import type { AppDeps } from "./app-deps.ts";
import { unavailable } from "./errors.ts";

/**
 * An invoice of ours over what a payer is to pay.
 * @param amountSats sats
 * @param memo what the payer's wallet shows
 * @throws {ApiError} 503 when the wallet makes none
 */
export async function invoiceOver(
  { wallet, settings }: Pick<AppDeps, "wallet" | "settings">,
  amountSats: number,
  memo: string,
): Promise<InvoiceSummary> {
  try {
    const created = await wallet.createInvoice({ amountSats, memo, expirySeconds: settings.invoiceExpirySeconds });
    return { ...created, amountSats };
  } catch (cause) {
    if (!(cause instanceof WalletError)) throw cause;
    throw unavailable("wallet_unavailable", "The Lightning wallet did not make an invoice. Try again shortly.", 5, {
      cause,
    });
  }
}
