/** Claiming a refund over HTTP: what jobs and sessions share. */
import type { AppDeps } from "@/lib/services.ts";
import { badRequest, conflict, unavailable } from "./errors.ts";
import { type EventWait, waitForEvent } from "@/lib/store/events.ts";
import type { StoredEvent } from "@/lib/store/store.ts";
import { decodeInvoice, InvoiceError } from "@/lib/lightning/bolt11.ts";
import type { PayoutInvoice } from "@/lib/payments/payouts.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { getRefund } from "@/lib/payments/refunds.rows.ts";

/** How long a claim waits for the wallet before it answers 202 (ms). */
const PAYOUT_WAIT_MS = 10_000;

type ClaimDeps = Pick<AppDeps, "store" | "clock" | "payouts">;

export interface ClaimBody {
  refundState: "paid" | "paying";
  refundPaymentHash: string;
  refundAmountSats: number;
  stubMode: boolean;
}

/**
 * Pays what is owed to the payer's invoice and waits for the wallet's word.
 * @param about.ownInvoice an invoice of ours for the same record: the payer's must be for the same network.
 * @returns 200 when it is paid, 202 while nobody knows.
 * @throws {ApiError} 400 for an unusable invoice, 409 when it was claimed before, 503 when it could not be paid.
 */
export async function claimRefund(
  deps: ClaimDeps,
  refund: Refund,
  invoiceText: string,
  about: { ownInvoice: string; simulated: readonly string[] },
): Promise<{ status: 200 | 202; body: ClaimBody }> {
  if (refund.state !== "pending") throw alreadyClaimed(refund);
  const invoice = checkPayerInvoice(invoiceText, refund.sats, about.ownInvoice, deps.clock.now());
  const decided = waitForEvent(deps.store, deps.clock, (event) => isPayoutOutcome(event, refund), PAYOUT_WAIT_MS);
  const after = await claimAndWait(deps, refund, invoice, decided).finally(decided.cancel);
  const rest = {
    refundPaymentHash: invoice.paymentHash,
    refundAmountSats: refund.sats,
    stubMode: about.simulated.length > 0,
  };
  if (after.state === "paid") return { status: 200, body: { refundState: "paid", ...rest } };
  if (after.state === "paying") return { status: 202, body: { refundState: "paying", ...rest } };
  throw unavailable(
    "payout_failed",
    "The invoice could not be paid. Nothing left; claim again, perhaps with another invoice.",
    5,
    { details: { reason: after.lastFailure ?? "unknown", refundAmountSats: refund.sats } },
  );
}

/** Claims and waits for the wallet's word. @returns the refund as it then is: paid, still being paid, or open again. */
async function claimAndWait(
  deps: ClaimDeps,
  refund: Refund,
  invoice: PayoutInvoice,
  decided: EventWait,
): Promise<Refund> {
  const claimed = await deps.payouts.claim(refund.id, invoice);
  if (claimed.outcome === "used") {
    throw badRequest("invoice_used", "This invoice's payment hash was used before. Make a new invoice and send that.");
  }
  if (claimed.outcome !== "claimed") throw alreadyClaimed(await getRefund(deps.store, refund.id) ?? refund);
  await decided.event;
  const after = await getRefund(deps.store, refund.id) ?? refund;
  // Ours failed, and somebody has claimed with another invoice since: that one's outcome is not ours to report.
  if (after.payout && after.payout.paymentHash !== invoice.paymentHash) throw alreadyClaimed(after);
  return after;
}

const isPayoutOutcome = (event: StoredEvent, refund: Refund): boolean =>
  event.type === "refund_state" && event.handle === refund.source.handle && event.state !== "paying";

/**
 * Everything about a payer's invoice that can be wrong, before a single sat moves (economy.md §5).
 * @param sats what it must be for, exactly.
 * @throws {ApiError} 400
 */
export function checkPayerInvoice(text: string, sats: number, ownInvoice: string, now: number): PayoutInvoice {
  const paymentRequest = text.trim().replace(/^lightning:/i, "").toLowerCase();
  let invoice;
  try {
    invoice = decodeInvoice(paymentRequest);
  } catch (error) {
    if (!(error instanceof InvoiceError)) throw error;
    throw badRequest(`invoice_${error.code}`, error.message);
  }
  const { prefix } = decodeInvoice(ownInvoice);
  if (invoice.prefix !== prefix) {
    throw badRequest(
      "invoice_wrong_network",
      `The invoice is for another network (${invoice.prefix}); this wallet pays ${prefix}.`,
    );
  }
  if (invoice.amountMsat === null) {
    throw badRequest("invoice_without_amount", `The invoice names no amount. Make one for exactly ${sats} sats.`);
  }
  if (invoice.amountSats !== sats) {
    throw badRequest("invoice_wrong_amount", `The invoice is not for exactly ${sats} sats. Make one that is.`, {
      expectedSats: sats,
    });
  }
  if (invoice.expiresAt <= now) throw badRequest("invoice_expired", "The invoice has expired. Make a new one.");
  return { paymentHash: invoice.paymentHash, paymentRequest };
}

/** 409: this refund was claimed, or its time is over. */
export function alreadyClaimed(refund: Refund) {
  const details = { refundState: refund.state, refundPaymentHash: refund.payout?.paymentHash ?? null };
  return refund.state === "expired"
    ? conflict(
      "refund_expired",
      "Nobody claimed this refund in time; it went to the pool that serves trusted keys.",
      details,
    )
    : conflict(
      "refund_claimed",
      "This refund was claimed before; see details for the payment hash it is paid to.",
      details,
    );
}
