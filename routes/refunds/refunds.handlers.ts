import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { getBootstrap } from "@/lib/bootstrap/bootstrap.rows.ts";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import { claimTo } from "@/lib/http/claims.ts";
import type { AppRouteHandler } from "@/lib/http/create-app.ts";
import { conflict, notFound, unavailable } from "@/lib/http/errors.ts";
import { getJob } from "@/lib/jobs/jobs.rows.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import { getInvoice, type Invoice } from "@/lib/payments/invoices.rows.ts";
import { claimByPreimage } from "@/lib/payments/preimage-claims.rules.ts";
import type { Refund } from "@/lib/payments/refunds.machine.ts";
import { getRefund } from "@/lib/payments/refunds.rows.ts";
import { simulatedParts } from "@/lib/services.ts";
import type { ClaimRefundRoute } from "./refunds.routes.ts";

export const claimRefund: AppRouteHandler<ClaimRefundRoute, AppDeps> = async (c) => {
  const deps = c.get("deps");
  const { preimage, ...payee } = c.req.valid("json");
  const paymentHash = bytesToHex(sha256(hexToBytes(preimage)));
  const paid = await getInvoice(deps.store, paymentHash);
  const { refund, simulated } = paid?.settled ? await owedFor(deps, paid) : await recovered(deps, paymentHash);
  refuseUnless(refund, deps.clock.now());
  const ownInvoice = paid?.paymentRequest ?? await networkInvoice(deps);
  const { status, body } = await claimTo(deps, refund, payee, { ownInvoice, simulated });
  return c.json(body, status);
};

interface Owed {
  refund: Refund;
  simulated: readonly string[];
}

/** What the record owes that this invoice was paid for. */
async function owedFor({ store }: AppDeps, { purpose, ref }: Invoice): Promise<Owed> {
  if (purpose === "session-deposit" || purpose === "session-topup") throw notEnough("macaroon");
  const record = purpose === "bootstrap"
    ? await getBootstrap(store, ref)
    : purpose === "pool-donation"
    ? null
    : await getJob(store, ref);
  if (!record) throw nothingFound();
  const refund = record.refundId === null ? null : await getRefund(store, record.refundId);
  if (!refund) throw conflict("no_refund", "What was paid for owes nothing, or has not ended yet.");
  return { refund, simulated: record.simulated };
}

/** What came in before a restore, and has no record any more. */
async function recovered(deps: AppDeps, paymentHash: string): Promise<Owed> {
  const refund = await getRefund(deps.store, paymentHash);
  if (refund?.source.kind !== "recovered") throw nothingFound();
  return { refund, simulated: simulatedParts(deps) };
}

/** An invoice that nobody is shown: it tells the wallet's network, which the payer's must be on. */
async function networkInvoice({ wallet }: AppDeps): Promise<string> {
  try {
    return (await wallet.createInvoice({ amountSats: 1, memo: "Timmy: network", expirySeconds: 60 })).paymentRequest;
  } catch (cause) {
    if (!(cause instanceof WalletError)) throw cause;
    throw unavailable("wallet_unavailable", "The Lightning wallet does not answer. Try again shortly.", 5, { cause });
  }
}

/** @throws {ApiError} 409 */
function refuseUnless(refund: Refund, now: number): void {
  const may = claimByPreimage(refund, now);
  if (may.outcome === "other_way") throw notEnough(may.way);
  if (may.outcome === "may") return;
  throw conflict(
    "preimage_too_early",
    "A preimage alone takes nothing within 72 hours, since others know it too. Claim with the id, or again at the time in details.",
    { claimableFrom: new Date(may.from).toISOString(), refundAmountSats: refund.sats },
  );
}

const WAYS = {
  key: "It belongs to a Nostr key: the record's id is the way, which that key's holder lists.",
  address: "It goes to the Lightning address that was left: the record's id is any other way.",
  macaroon: "It belongs to a session: close that with its macaroon.",
};
const notEnough = (way: keyof typeof WAYS) =>
  conflict("preimage_not_enough", `The preimage alone takes nothing here. ${WAYS[way]}`, { way });

const nothingFound = () =>
  notFound(
    "Nothing that this instance took has this preimage. Check that it is the payment's preimage, not its hash.",
    "payment_not_found",
  );
