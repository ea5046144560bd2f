/** Claiming a refund over HTTP: what jobs, sessions and nodes share. */
import type { AppDeps } from "./app-deps.ts";
import { badRequest, conflict, tooManyRequests, unavailable } from "./errors.ts";
import { type EventWait, waitForEvent } from "@/lib/store/events.ts";
import type { StoredEvent } from "@/lib/store/store.ts";
import { type DecodedInvoice, decodeInvoice, InvoiceError } from "@/lib/lightning/bolt11.ts";
import { whatWasPasted } from "@/lib/lightning/pasted.ts";
import { cheapestHintFeeMsat } from "@/lib/lightning/route-hints.ts";
import { maxFeeReserve, reserveFor } from "@/lib/payments/fees.rules.ts";
import { readLightningAddress } from "@/lib/payments/lightning-address.rules.ts";
import { askAddress, invoiceOfAddress, LnurlError } from "@/lib/payments/lnurl.ts";
import type { ClaimOutcome, PayoutInvoice } from "@/lib/payments/payouts.ts";
import { addressAskSats, type Refund } from "@/lib/payments/refunds.machine.ts";
import { getRefund } from "@/lib/payments/refunds.rows.ts";

/** How long a claim waits for the wallet before it answers 202 (ms). */
const PAYOUT_WAIT_MS = 10_000;

type ClaimDeps = Pick<AppDeps, "store" | "clock" | "payouts">;
type AddressDeps = Pick<AppDeps, "clock" | "publicFetch">;

interface ClaimBody {
  refundState: "paid" | "paying";
  refundPaymentHash: string;
  refundAmountSats: number;
  stubMode: boolean;
}

/**
 * The same to the invoice or the Lightning address that a claim names: {@link claimRefund}.
 * @throws {ApiError} as it does, and 400 when the address gives no invoice
 */
export async function claimTo(
  deps: ClaimDeps & AddressDeps,
  refund: Refund,
  { invoice, lightningAddress = "" }: { invoice?: string | undefined; lightningAddress?: string | undefined },
  about: { ownInvoice: string; simulated: readonly string[] },
): Promise<{ status: 200 | 202; body: ClaimBody }> {
  if (invoice !== undefined) return await claimRefund(deps, refund, { invoice }, about);
  const given = await addressInvoice(deps, refund, addressOf(lightningAddress), about.ownInvoice);
  return await claimRefund(deps, refund, { invoice: given, way: "lightning_address" }, about);
}

/**
 * Pays what is owed to the payer's invoice and waits for the wallet's word.
 * @param payee.way set when the invoice came from a Lightning address
 * @param about.ownInvoice an invoice of ours for the same record: the payer's must be for the same network.
 * @returns 200 when it is paid, 202 while nobody knows.
 * @throws {ApiError} 400 for an unusable invoice, 409 when it was claimed before, 429 when the payer has too many payouts
 * under way, 503 when it could not be paid.
 */
export async function claimRefund(
  deps: ClaimDeps,
  refund: Refund,
  payee: { invoice: string } & Pick<PayoutInvoice, "way">,
  about: { ownInvoice: string; simulated: readonly string[] },
): Promise<{ status: 200 | 202; body: ClaimBody }> {
  if (refund.state !== "pending") throw alreadyClaimed(refund);
  const { invoice: text, ...way } = payee;
  const invoice = { ...checkPayerInvoice(text, refund, about.ownInvoice, deps.clock.now()), ...way };
  const decided = waitForEvent(deps.store, deps.clock, (event) => isPayoutOutcome(event, refund), PAYOUT_WAIT_MS);
  const after = await claimAndWait(deps, refund, invoice, decided).finally(decided.cancel);
  const rest = {
    refundPaymentHash: invoice.paymentHash,
    refundAmountSats: refund.sats,
    stubMode: about.simulated.length > 0,
  };
  if (after.state === "paid") return { status: 200, body: { refundState: "paid", ...rest } };
  if (after.state === "paying") return { status: 202, body: { refundState: "paying", ...rest } };
  throw payoutFailed(refund, invoice, after.lastFailure ?? "unknown");
}

/** 503: nothing left; with what may be left for the routing fee, should that be what was missing. */
function payoutFailed(refund: Refund, invoice: PayoutInvoice, reason: string) {
  const feeLimitSats = feeLimit(refund, invoice);
  const leaveSats = maxFeeReserve(refund.sats);
  const leastSats = refund.sats - leaveSats;
  const advice = invoice.amountSats > leastSats && invoice.way
    ? `If there is no cheaper route, the address is asked for less the next time: ${leaveSats} sats are the most that is left for the fee.`
    : invoice.amountSats > leastSats
    ? `If there is no cheaper route, leave more for the fee: an invoice for ${leastSats} sats leaves ${leaveSats}, the most that may be left.`
    : "No more may be left for the fee: use a wallet that is reached by a cheaper route.";
  return unavailable(
    "payout_failed",
    `The invoice could not be paid with a routing fee of at most ${feeLimitSats} sats. Nothing left your refund; claim again with another invoice. ${advice}`,
    5,
    { details: { reason, refundAmountSats: refund.sats, feeLimitSats, leaveSats } },
  );
}

const feeLimit = ({ sats, feeCreditSats }: Owed, { amountSats }: PayoutInvoice): number =>
  feeCreditSats + sats - amountSats;

/** Claims and waits for the wallet's word. @returns the refund as it then is: paid, still being paid, or open again. */
async function claimAndWait(
  deps: ClaimDeps,
  refund: Refund,
  invoice: PayoutInvoice,
  decided: EventWait,
): Promise<Refund> {
  const claimed = await deps.payouts.claim(refund.id, invoice);
  if (claimed.outcome !== "claimed") {
    throw refusal(claimed, await getRefund(deps.store, refund.id) ?? refund, deps.clock.now());
  }
  await decided.event;
  const after = await getRefund(deps.store, refund.id) ?? refund;
  // Ours failed, and somebody has claimed with another invoice since: that one's outcome is not ours to report.
  if (after.payout && after.payout.paymentHash !== invoice.paymentHash) throw alreadyClaimed(after);
  return after;
}

const isPayoutOutcome = (event: StoredEvent, refund: Refund): boolean =>
  event.type === "refund_state" && event.handle === refund.source.handle && event.state !== "paying";

/** Why a claim was not taken, with what to do. @param now ms since the epoch */
function refusal(claimed: ClaimOutcome, refund: Refund, now: number) {
  switch (claimed.outcome) {
    case "used":
      return badRequest(
        "invoice_used",
        "This invoice's payment hash was used before. Make a new invoice and send that.",
      );
    case "distrusted":
      return unavailable(
        "wallet_distrusted",
        "The wallet was caught in a wrong answer about a payment, so nothing is paid out for ten minutes. Nothing left and " +
          "the refund stays owed: send the same claim again then.",
        (claimed.until - now) / 1_000,
      );
    case "frozen":
      return frozen();
    case "crowded":
      return tooManyRequests(
        "too_many_payouts",
        "As many refunds as may be at once are being paid to you. Let your wallet settle the ones under way, then claim again.",
        30,
      );
    case "too_many":
      return conflict(
        "too_many_invoices",
        "Too many invoices for this refund could not be paid. Send one of those again while it is valid, or ask the operator.",
      );
    default:
      return alreadyClaimed(refund);
  }
}

/** 503: after a restore nobody knows whether this was paid out before. */
export const frozen = () =>
  unavailable(
    "frozen",
    "This instance was restored from a backup and does not know whether this was paid out before, so its operator must decide. " +
      "Nothing moved and nothing is lost: try again later, or ask the operator.",
    3_600,
  );

/** What is owed, and what the operator pays of the routing fee (sats). */
type Owed = Pick<Refund, "sats" | "feeCreditSats">;

/**
 * Everything about a payer's invoice that can be wrong, before a single sat moves (economy.md §5).
 * @param owed it must be for this, or for less by what may be left for the routing fee.
 * @throws {ApiError} 400
 */
export function checkPayerInvoice(text: string, owed: Owed, ownInvoice: string, now: number): PayoutInvoice {
  const paymentRequest = text.trim().replace(/^lightning:(\/\/)?/i, "");
  const invoice = readInvoice(paymentRequest);
  const { prefix } = decodeInvoice(ownInvoice);
  if (invoice.prefix !== prefix) {
    throw badRequest(
      "invoice_wrong_network",
      `The invoice is for another network (${invoice.prefix}); this wallet pays ${prefix}. Make one with a wallet on that network.`,
    );
  }
  if (invoice.amountMsat === null) {
    throw badRequest("invoice_without_amount", `The invoice names no amount. Make one for exactly ${owed.sats} sats.`);
  }
  const { amountSats } = invoice;
  const leastSats = owed.sats - maxFeeReserve(owed.sats);
  if (amountSats === null || amountSats > owed.sats || amountSats < leastSats) {
    throw badRequest(
      "invoice_wrong_amount",
      `The invoice is not for exactly ${owed.sats} sats. Make one that is, or one for at least ${leastSats}: what it leaves ` +
        "pays the routing fee, and what that does not use goes to the pool.",
      { expectedSats: owed.sats, leastSats },
    );
  }
  if (invoice.expiresAt <= now) throw badRequest("invoice_expired", "The invoice has expired. Make a new one.");
  const payout = { paymentHash: invoice.paymentHash, paymentRequest: paymentRequest.toLowerCase(), amountSats };
  checkRouteFee(invoice, owed, payout);
  return payout;
}

/** @throws {ApiError} 400 that names what was pasted in place of an invoice, or what is wrong with it. */
function readInvoice(paymentRequest: string): DecodedInvoice {
  const pasted = whatWasPasted(paymentRequest);
  if (pasted) throw badRequest(`invoice_is_${pasted.kind}`, pasted.message);
  try {
    return decodeInvoice(paymentRequest.toLowerCase());
  } catch (error) {
    if (!(error instanceof InvoiceError)) throw error;
    throw badRequest(`invoice_${error.code}`, error.message);
  }
}

/** @throws {ApiError} 400 when the hops that the payee chose cost more than may be paid for them. */
function checkRouteFee({ routeHints }: DecodedInvoice, owed: Owed, payout: PayoutInvoice): void {
  const routeFeeSats = Math.ceil(cheapestHintFeeMsat(routeHints, payout.amountSats * 1_000) / 1_000);
  const feeLimitSats = feeLimit(owed, payout);
  if (routeFeeSats <= feeLimitSats) return;
  const leaveSats = reserveFor(owed.sats, owed.feeCreditSats, routeFeeSats);
  throw badRequest(
    "invoice_route_fee",
    `The last hops to this invoice's wallet cost ${routeFeeSats} sats, and at most ${feeLimitSats} are paid for the route. ` +
      (leaveSats === null
        ? "That is more than may be left for it: use an invoice of another wallet."
        : `Make an invoice for ${
          owed.sats - leaveSats
        } sats, which leaves ${leaveSats} for the fee, or use another wallet.`),
    { routeFeeSats, feeLimitSats, leaveSats, refundAmountSats: owed.sats },
  );
}

/**
 * The address in its one spelling.
 * @throws {ApiError} 400 for text that is none
 */
export function addressOf(text: string): string {
  const address = readLightningAddress(text);
  if (address !== null) return address;
  throw badRequest(
    "address_malformed",
    "This is not a Lightning address. One looks like name@example.com; an invoice belongs in `invoice`.",
  );
}

/**
 * An invoice of a Lightning address for what is owed, or for less where its route costs more than the operator pays.
 * @param owed a refund, or what a session will owe once it is closed
 * @throws {ApiError} 400 when the address gives none, 409 when the refund was claimed before, 503 when too many are asked at once
 */
export async function addressInvoice(
  { publicFetch, clock }: AddressDeps,
  owed: Refund | Owed,
  address: string,
  ownInvoice: string,
): Promise<string> {
  if ("state" in owed && owed.state !== "pending") throw alreadyClaimed(owed);
  const { sats: owedSats, feeCreditSats } = owed;
  const askSats = "earlier" in owed ? addressAskSats(owed) : owedSats;
  const wanted = { owedSats, askSats, feeCreditSats, prefix: decodeInvoice(ownInvoice).prefix };
  try {
    return (await invoiceOfAddress(publicFetch, address, wanted, () => clock.now())).paymentRequest;
  } catch (error) {
    throw addressRefused(error, "send an invoice in its place");
  }
}

/**
 * An address that cannot be paid to, as the answer to whoever named it; any other error as it is.
 * @param instead what may be done without an address
 */
export function addressRefused(error: unknown, instead: "leave it out" | "send an invoice in its place"): unknown {
  if (!(error instanceof LnurlError)) return error;
  if (error.code === "busy") return unavailable("address_busy", `${error.message} Try again shortly.`, 5);
  return badRequest(
    `address_${error.code}`,
    `${error.message} Nothing moved. Check the address, use another one, or ${instead}.`,
    error.said === null ? undefined : { said: error.said },
  );
}

/**
 * Asks the address that a refund is to go to whether it can be paid at all, before anything is charged.
 * @throws {ApiError} 400 when it cannot, 503 when too many are asked at once
 */
export async function refuseUnpayable({ publicFetch }: Pick<AppDeps, "publicFetch">, address: string): Promise<void> {
  try {
    await askAddress(publicFetch, address);
  } catch (error) {
    throw addressRefused(error, "leave it out");
  }
}

/** The tries with a Lightning address, as they are shown. */
export const attemptsBody = (refund: Refund | null) =>
  refund === null ? [] : refund.attempts.map(({ at, ...attempt }) => ({ at: new Date(at).toISOString(), ...attempt }));

/** 409: this refund was claimed, or its time is over. */
function alreadyClaimed(refund: Refund) {
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
