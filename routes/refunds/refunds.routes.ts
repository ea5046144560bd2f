import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { body, json, lightningAddress, notBoth, paymentHash, simulation } from "@/lib/http/schemas.ts";

const claimedSchema = z.object({
  refundState: z.enum(["paid", "paying"]),
  refundPaymentHash: paymentHash,
  refundAmountSats: z.int(),
  stubMode: simulation.stubMode,
}).openapi("ClaimedByPreimage");

export const claimRefund = createRoute({
  method: "post",
  path: "/api/refunds/claim",
  operationId: "claimRefundByPreimage",
  tags: ["refunds"],
  summary: "Take back what a payment is owed, with its preimage",
  description:
    "For who paid and lost the id, and for payments that this instance took just before it was restored from a backup. The preimage is " +
    "the proof of payment that the payer's wallet keeps. Others on the way of a payment know it too, so it moves nothing within 72 " +
    "hours of the end (409 `preimage_too_early` says from when), nor where the record has a key, a Lightning address or a macaroon (409 " +
    "`preimage_not_enough` says which). Otherwise it pays as `POST /api/jobs/{id}/refund` does.",
  request: {
    body: body(
      notBoth(
        z.strictObject({
          preimage: z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hex digits"),
          invoice: z.string().min(1).max(4_096).optional(),
          lightningAddress: lightningAddress.optional(),
        }),
      ).refine((body) => body.invoice !== undefined || body.lightningAddress !== undefined, {
        error: "needs an invoice or a lightningAddress",
      }).openapi("ClaimByPreimage"),
    ),
  },
  responses: {
    200: json(claimedSchema, "Paid"),
    202: json(claimedSchema, "Being paid; the outcome is not known yet. The same call says more later"),
    ...errorResponses(400, 401, 404, 409, 429, 503),
  },
});
export type ClaimRefundRoute = typeof claimRefund;
