import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { body, idempotencyKey, invoiceSchema, json, simulation } from "@/lib/http/schemas.ts";

const tags = ["free tier"];

/** The most that one invoice of a donation asks (sats). */
const MAX_DONATION_SATS = 1_000_000;

const freeTierSchema = z.object({
  pool: z.object({ balanceSats: z.int().openapi({ description: "What can be granted now, to all keys together" }) }),
  dailyBudgets: z.object({ new: z.int(), established: z.int(), trusted: z.int(), elite: z.int() }).openapi({
    description: "Sats a key of each tier may take in one UTC day",
  }),
  grantedTodaySats: z.int().openapi({
    description: "Granted to all keys this UTC day: what running requests have reserved, and what ended ones absorbed",
  }),
}).openapi("FreeTier");

const donationSchema = z.object({
  invoice: invoiceSchema,
  ...simulation,
}).openapi("Donation");

export const getFreeTier = createRoute({
  method: "get",
  path: "/api/free-tier",
  operationId: "getFreeTier",
  tags,
  summary: "The pool and the budgets",
  description:
    "What keys that have earned it are served from, and how much each may take a day. Reading moves nothing.",
  responses: {
    200: json(freeTierSchema, "The free tier now"),
    ...errorResponses(400, 401, 503),
  },
});

export const donate = createRoute({
  method: "post",
  path: "/api/free-tier/donate",
  operationId: "donate",
  tags,
  summary: "Give to the pool",
  description:
    "Answers with an invoice. All that is paid to it goes to the pool, in the commit that notices the payment, and is not " +
    "given back. An invoice that nobody pays expires and is forgotten. No key is needed, and none earns trust by it.",
  request: {
    headers: idempotencyKey,
    body: body(
      z.strictObject({
        amount_sats: z.int().min(1).max(MAX_DONATION_SATS).openapi({ description: "Whole sats", example: 1_000 }),
      }).openapi("Donate"),
    ),
  },
  responses: {
    201: json(donationSchema, "Pay it to give"),
    ...errorResponses(400, 401, 409, 503),
  },
});

export type GetFreeTierRoute = typeof getFreeTier;
export type DonateRoute = typeof donate;
