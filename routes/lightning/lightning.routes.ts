import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";

const paymentSchema = z.looseObject({ payment_hash: z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hex digits") });

export const webhook = createRoute({
  method: "post",
  path: "/api/lightning/webhook",
  operationId: "receiveLightningWebhook",
  tags: ["lightning"],
  summary: "A wallet says that something was paid",
  description:
    "What LNbits posts when `LNBITS_WEBHOOK_URL` names this address. Nothing in it is believed: it makes Timmy ask the " +
    "wallet about that payment hash, and a hash that is none of ours is ignored. The answer is the same either way.",
  request: {
    body: {
      required: true,
      content: {
        "application/json": {
          schema: z.union([
            paymentSchema,
            z.string().max(32_768).openapi({
              description: "The payment as JSON inside a JSON string, as LNbits sends it",
            }),
          ]),
        },
      },
    },
  },
  responses: { 204: { description: "Heard" }, ...errorResponses(400, 401, 503) },
});
export type WebhookRoute = typeof webhook;

export { paymentSchema };
