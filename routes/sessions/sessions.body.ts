import type { Refund } from "@/lib/payments/refunds.machine.ts";
import type { SessionRequest } from "@/lib/sessions/requests.machine.ts";
import type { Tier } from "@/lib/identity/trust.rules.ts";
import type { Session } from "@/lib/sessions/sessions.machine.ts";
import { shownTopup } from "@/lib/sessions/topups.rules.ts";
import { attemptsBody } from "@/lib/http/claims.ts";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import type { RequestBody, SessionBody } from "./sessions.routes.ts";

const iso = (ms: number) => new Date(ms).toISOString();

/** What every answer about a session says. */
export const alwaysBody = (session: Session, tier: Tier) => ({
  trust_tier: tier,
  stubMode: session.simulated.length > 0,
  simulated: session.simulated,
});

/** The public face of a session, field by field. */
export function sessionBody(
  sessionId: string,
  session: Session,
  about: {
    balanceSats: number;
    minimumBalanceSats: number;
    macaroon: string | null;
    refund: Refund | null;
    tier: Tier;
  },
): SessionBody {
  const { refund, macaroon } = about;
  const topup = shownTopup(session);
  return {
    sessionId,
    state: session.state,
    createdAt: iso(session.createdAt),
    balanceSats: about.balanceSats,
    heldSats: session.reservedSats,
    spentSats: session.spentSats,
    minimumBalanceSats: about.minimumBalanceSats,
    expiresAt: session.expiresAt === null ? null : iso(session.expiresAt),
    ...(!session.depositPaid && { invoice: invoiceBody(session.deposit) }),
    ...(topup && { pendingTopup: invoiceBody(topup.invoice) }),
    ...(macaroon !== null && { macaroon }),
    ...(session.lightningAddress && { lightningAddress: session.lightningAddress }),
    ...(refund && {
      refund: {
        refundState: refund.state,
        refundAmountSats: refund.sats,
        refundPaymentHash: refund.payout?.paymentHash ?? null,
        refundClaimUntil: iso(refund.claimUntil),
        refundAttempts: attemptsBody(refund),
      },
    }),
    ...alwaysBody(session, about.tier),
  };
}

/** One request of a session. `result` null: it has none. `tier`: that of the key it was asked for. */
export function requestBody(
  request: SessionRequest,
  session: Session,
  { result, tier }: { result: string | null; tier: Tier },
): RequestBody {
  return {
    requestId: request.id,
    at: iso(request.at),
    state: request.state,
    model: request.model,
    debitedSats: request.chargeSats,
    heldSats: request.reservedSats,
    ...(result !== null && { result }),
    ...(request.finish && { finishReason: request.finish }),
    ...(request.reason !== null && { reason: request.reason }),
    ...(request.errorMessage !== null && { errorMessage: request.errorMessage }),
    ...(request.usage && { usage: request.usage }),
    ...(request.evalUsage && { evaluationUsage: request.evalUsage }),
    ...(request.freeTier && { free_tier: request.freeTier, absorbed_sats: request.subsidySats }),
    ...(request.balanceSats !== null && { balanceRemaining: request.balanceSats }),
    ...alwaysBody(session, tier),
  };
}
