import type { AppDeps, DevTools } from "@/lib/http/app-deps.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { conflict, notFound, unavailable } from "@/lib/http/errors.ts";
import { getInvoice } from "@/lib/payments/invoices.rows.ts";
import type { MakeInvoiceRoute, PayInvoiceRoute } from "./dev.routes.ts";

export function payInvoice(tools: DevTools): AppRouteHandler<PayInvoiceRoute, AppDeps> {
  return async (c) => {
    const { store, wallet, settlements } = c.get("deps");
    const paymentHash = c.req.valid("param").paymentHash.toLowerCase();
    const invoice = await getInvoice(store, paymentHash);
    if (!invoice) throw notFound("This instance made no invoice with that payment hash.", "invoice_not_found");

    const result = await tools.pay(invoice);
    switch (result.outcome) {
      case "paid": {
        const { preimage } = result;
        await settlements.check(paymentHash); // a payer's wallet would tell nobody: here the next call finds it booked
        return c.json(
          { ok: true as const, paymentHash, ...(preimage && { preimage }), stubMode: wallet.simulated },
          200,
        );
      }
      case "expired":
        throw conflict("invoice_expired", "This invoice has expired. Create a new job.");
      case "refused":
        await settlements.check(paymentHash);
        throw unavailable("payment_refused", "The wallet did not pay the invoice.", 5, {
          details: { reason: result.reason },
        });
    }
  };
}

export function makeInvoice(tools: DevTools): AppRouteHandler<MakeInvoiceRoute, AppDeps> {
  return async (c) => {
    if (!tools.payerInvoice) throw notFound("Only the simulated wallet has an imaginary payer.", "not_simulated");
    const { amountSats } = c.req.valid("json");
    const { paymentRequest, paymentHash } = await tools.payerInvoice(amountSats);
    return c.json({ paymentRequest, paymentHash, amountSats, stubMode: true as const }, 201);
  };
}
