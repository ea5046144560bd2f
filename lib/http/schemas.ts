/** What the contracts of several routes have in common. */
import { z } from "@hono/zod-openapi";
import { nearestName } from "./nearest.rules.ts";

/** A response of JSON. */
export const json = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

/** A request's body, which must be there. */
export const body = <S extends z.ZodType>(schema: S) => ({
  required: true as const,
  content: { "application/json": { schema } },
});

/** An object of these fields and no others: an unknown one is refused with the known name that is nearest to it. */
export const onlyFields = <S extends z.ZodRawShape>(shape: S) =>
  z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== "unrecognized_keys" || issue.keys.length !== 1) return undefined;
      const near = nearestName(issue.keys[0] ?? "", Object.keys(shape));
      return near === null ? undefined : `is not a field of this request: did you mean ${near}? If not, remove it`;
    },
  });

/** Who must show a macaroon, and who a Nostr key (wire.md §2 and §3). */
export const PAID = [{ L402: [] }, { Bearer: [] }];
export const SIGNED_IN = [{ NostrToken: [] }, { Nostr: [] }];

export const paymentHash = z.string().openapi({
  description: "Payment hash, 64 hex digits",
  example: "02d449a31fbb267c…",
});

export const invoiceSchema = z.object({
  paymentRequest: z.string().openapi({ description: "BOLT11 invoice", example: "lnbc100n1…" }),
  amountSats: z.int(),
  paymentHash,
  expiresAt: z.iso.datetime(),
}).openapi("Invoice");

export const trustTier = z.enum(["anonymous", "new", "established", "trusted", "elite"]).openapi({
  description: "How far the key that asked, or owns this, is trusted now; anonymous without one",
});

/** What every answer about something made here says of itself. */
export const simulation = {
  stubMode: z.boolean().openapi({
    description: "True when something behind this is simulated: no real money, or no real model, was used",
  }),
  simulated: z.array(z.string()).openapi({ description: "What is simulated: lightning, model" }),
};

export const freeTierDecision = z.object({
  serve: z.enum(["free", "partial", "gate"]).openapi({
    description: "free: served from the pool; partial: the pool pays a part, the payer the rest; gate: paid in full",
  }),
  absorbSats: z.int().openapi({ description: "What the pool was to pay of the quote" }),
  chargeSats: z.int().openapi({ description: "What the payer was to pay" }),
}).openapi("FreeTierDecision");

export const idempotencyKey = z.object({
  "idempotency-key": z.string().min(1).max(200).optional().openapi({
    description:
      "Any text of up to 200 characters: the same key and body give the same answer for 24 hours, charged once",
  }),
});

/** A body field that the specification knows and this version does not: refused by name, never ignored. */
export const NOT_YET = z.never({ error: "is not supported by this version; leave it out" }).optional().openapi({
  type: "null",
});

export const lightningAddress = z.string().min(1).max(400).openapi({
  description: "A Lightning address (LUD-16)",
  example: "name@example.com",
});

/** Where the refund goes, left beforehand. */
export const refundAddress = lightningAddress.optional().openapi({
  description:
    "A Lightning address (LUD-16) that what is owed in the end is paid to by itself. It is asked at once whether it can be paid",
  example: "name@example.com",
});

/** A body in which an invoice or a Lightning address says where a refund goes. */
export const notBoth = <S extends z.ZodType<{ invoice?: unknown; lightningAddress?: unknown }>>(schema: S) =>
  schema.refine(({ invoice, lightningAddress }) => invoice === undefined || lightningAddress === undefined, {
    error: "has an invoice and a lightningAddress: send one of the two",
  });

/** What claims a refund. */
export const claimBody = notBoth(
  z.strictObject({
    invoice: z.string().min(1).max(4_096).optional().openapi({
      description: "A BOLT11 invoice for the amount owed, less what you leave for the routing fee",
    }),
    lightningAddress: lightningAddress.optional(),
  }),
).refine((body) => body.invoice !== undefined || body.lightningAddress !== undefined, {
  error: "needs an invoice or a lightningAddress",
}).openapi("ClaimRefund");

/** What is said of a refund that was claimed. */
export const refundSchema = z.object({
  refundState: z.enum(["paid", "paying"]),
  refundPaymentHash: paymentHash,
  refundAmountSats: z.int(),
  stubMode: simulation.stubMode,
}).openapi("Refund");

export const refundAttempts = z.array(
  z.object({
    at: z.iso.datetime(),
    way: z.literal("lightning_address").openapi({ type: "string" }),
    ok: z.boolean(),
    reason: z.string().nullable().openapi({
      description: "Why it failed. What stands in quotes the address' server said",
    }),
  }).openapi("RefundAttempt"),
).openapi({ description: "The latest tries to pay it to a Lightning address, oldest first" });

export const nostrToken = z.string().min(1).max(500).optional().openapi({
  description: "Who asks, after signing in; the same as the header X-Nostr-Token",
});

export const idParam = z.object({ id: z.string().max(100).openapi({ param: { name: "id", in: "path" } }) });

/** How many of a list (1 to 100, as text in the query). */
export const pageLimit = z.string().regex(/^([1-9]\d?|100)$/, "must be a whole number from 1 to 100").optional()
  .openapi({ description: "Default 20" });
