import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";

const tags = ["dev"];

export const payInvoice = createRoute({
  method: "post",
  path: "/api/dev/stub/pay/{paymentHash}",
  operationId: "payStubInvoice",
  tags,
  summary: "Pay one of this instance's own invoices",
  description:
    "For trying things out; not there in production. The simulated wallet settles it; with LNbits the wallet pays it.",
  request: {
    params: z.object({
      paymentHash: z.string()
        .regex(/^[0-9a-fA-F]{64}$/, "must be a payment hash: 64 hex digits")
        .openapi({ param: { name: "paymentHash", in: "path" } }),
    }),
  },
  responses: {
    200: {
      description: "Paid (now or before)",
      content: {
        "application/json": {
          schema: z.object({
            ok: z.boolean().openapi({ description: "Always true" }),
            paymentHash: z.string(),
            preimage: z.string().optional(),
            stubMode: z.boolean(),
          }),
        },
      },
    },
    ...errorResponses(400, 401, 404, 409, 503),
  },
});

export const makeInvoice = createRoute({
  method: "post",
  path: "/api/dev/stub/invoice",
  operationId: "makeStubInvoice",
  tags,
  summary: "An invoice of an imaginary payer",
  description:
    "For claiming a refund while trying things out; only with the simulated wallet, and not there in production.",
  request: {
    body: {
      required: true,
      content: {
        "application/json": { schema: z.strictObject({ amountSats: z.int().min(1).max(100_000_000) }) },
      },
    },
  },
  responses: {
    201: {
      description: "The invoice",
      content: {
        "application/json": {
          schema: z.object({
            paymentRequest: z.string(),
            paymentHash: z.string(),
            amountSats: z.int(),
            stubMode: z.boolean().openapi({ description: "Always true" }),
          }),
        },
      },
    },
    ...errorResponses(400, 401, 404, 503),
  },
});

export type PayInvoiceRoute = typeof payInvoice;
export type MakeInvoiceRoute = typeof makeInvoice;
