import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import {
  body,
  claimBody,
  freeTierDecision,
  idempotencyKey,
  idParam,
  invoiceSchema,
  json,
  lightningAddress,
  nostrToken,
  NOT_YET,
  paymentHash as hash,
  refundAddress,
  refundAttempts,
  refundSchema,
  simulation,
  trustTier,
} from "@/lib/http/schemas.ts";
import { JOB_STATES } from "@/lib/jobs/job-index.rows.ts";

const tags = ["jobs"];

const createdSchema = z.object({
  jobId: z.string().openapi({
    description: "A capability: whoever holds it can read the answer and claim the refund. Keep it.",
  }),
  state: z.string(),
  createdAt: z.iso.datetime(),
  evalInvoice: invoiceSchema,
  lightningAddress: lightningAddress.optional(),
  trust_tier: trustTier,
  ...simulation,
}).openapi("JobCreated");

const costLedgerSchema = z.object({
  actualInputTokens: z.int(),
  actualOutputTokens: z.int(),
  totalTokens: z.int(),
  actualCostUsd: z.number().openapi({ description: "What the model cost, before infrastructure and margin (USD)" }),
  actualAmountSats: z.int(),
  workAmountSats: z.int().openapi({ description: "What the work invoice asked" }),
  paidSats: z.int().openapi({ description: "What was paid for the work; the evaluation fee is beside it" }),
  chargedSats: z.int(),
  refundAmountSats: z.int(),
  refundState: z.enum(["not_applicable", "pending", "paying", "paid", "expired"]),
  refundPaymentHash: hash.nullable(),
  refundClaimUntil: z.iso.datetime().nullable(),
  refundFailure: z.string().nullable().openapi({ description: "Why the last payout failed; the claim is open again" }),
  refundAttempts,
  absorbedSats: z.int(),
  marginPct: z.number(),
  btcPriceUsd: z.number(),
  btcPriceSource: z.string(),
  infraUsd: z.number().openapi({ description: "This request's share of the infrastructure, before margin (USD)" }),
  usageSource: z.enum(["api", "estimated"]),
}).openapi("CostLedger");

const jobSchema = z.object({
  jobId: z.string(),
  state: z.enum(JOB_STATES),
  createdAt: z.iso.datetime(),
  trust_tier: trustTier,
  free_tier: freeTierDecision.optional().openapi({
    description: "What was decided for the key that asked, once it was accepted",
  }),
  absorbed_sats: z.int().optional().openapi({ description: "What the pool paid of the actual cost" }),
  ...simulation,
  lightningAddress: lightningAddress.optional().openapi({ description: "Where what is owed goes by itself" }),
  evalInvoice: invoiceSchema.optional(),
  workInvoice: invoiceSchema.optional(),
  pricingBreakdown: z.object({
    estimatedCostUsd: z.number().openapi({ description: "The whole quote, infrastructure and margin included (USD)" }),
    marginPct: z.number(),
    btcPriceUsd: z.number(),
  }).optional(),
  reason: z.string().optional(),
  result: z.string().optional(),
  finishReason: z.enum(["stop", "length"]).optional(),
  errorMessage: z.string().optional(),
  interrupted: z.literal(true).optional().openapi({
    type: "boolean", // an enum of `true` alone makes generators of clients fail
    description: "The provider broke off: the answer is what had been delivered, and that alone was charged",
  }),
  costLedger: costLedgerSchema.optional(),
}).openapi("Job");

export type JobBody = z.infer<typeof jobSchema>;
export type CostLedgerBody = z.infer<typeof costLedgerSchema>;

export const createJob = createRoute({
  method: "post",
  path: "/api/jobs",
  operationId: "createJob",
  tags,
  summary: "Create a job",
  description:
    "Answers with the invoice of the evaluation fee. When it is paid the request is evaluated; when it is accepted, " +
    "`GET /api/jobs/{id}` shows the work invoice. With a `lightningAddress` what is owed in the end goes there by itself: it is " +
    "tried for a day, and can be claimed in every other way. Send an `Idempotency-Key` to be able to repeat the call safely: the same key " +
    "and body give the same job for 24 hours.",
  request: {
    headers: idempotencyKey,
    body: body(
      z.strictObject({
        request: z.string().openapi({ description: "The question or task", example: "What is a hold invoice?" }),
        nostr_token: nostrToken,
        lightningAddress: refundAddress,
        model: NOT_YET,
      }).openapi("CreateJob"),
    ),
  },
  responses: {
    201: json(createdSchema, "The job waits for its evaluation fee"),
    ...errorResponses(400, 401, 409, 503),
  },
});

export const getJob = createRoute({
  method: "get",
  path: "/api/jobs/{id}",
  operationId: "getJob",
  tags,
  summary: "Read a job",
  description: "State, the invoice to pay, the answer, what it cost and what is owed back. Reading moves nothing.",
  request: { params: idParam },
  responses: { 200: json(jobSchema, "The job"), ...errorResponses(400, 401, 404, 503) },
});

export const jobEvents = createRoute({
  method: "get",
  path: "/api/jobs/{id}/events",
  operationId: "followJob",
  tags,
  summary: "Follow a job",
  description: "Server-sent events: `state` (the present one first), `result_chunk` while the answer is written " +
    "(`result_restart` when it begins anew), and at the end `result` and `cost_ledger`. The stream ends with the job.",
  request: { params: idParam },
  responses: {
    200: { description: "The events", content: { "text/event-stream": { schema: z.string() } } },
    ...errorResponses(400, 401, 404, 503),
  },
});

export const refundJob = createRoute({
  method: "post",
  path: "/api/jobs/{id}/refund",
  operationId: "refundJob",
  tags,
  summary: "Take the difference back",
  description:
    "Pays what is owed to an invoice of exactly that amount (`costLedger.refundAmountSats`), or to a Lightning address. The invoice may be for less than that by 10 sats or 5 %, whichever is more: what it leaves pays the routing fee, and what the " +
    "fee does not use goes to the pool. Once claimed, every repeat is " +
    "answered 409 with the original `refundPaymentHash`; after a definite failure the claim is open again. Less than " +
    "`REFUND_DUST_SATS` (default 1) is not refunded. What nobody claims within `REFUND_CLAIM_DAYS` (30) goes to the pool that " +
    "serves trusted keys free, and the refund says `expired`.",
  request: {
    params: idParam,
    body: body(claimBody),
  },
  responses: {
    200: json(refundSchema, "Paid"),
    202: json(refundSchema, "Being paid; the outcome is not known yet. `GET /api/jobs/{id}` shows it"),
    ...errorResponses(400, 401, 404, 409, 429, 503),
  },
});

export type CreateJobRoute = typeof createJob;
export type JobEventsRoute = typeof jobEvents;
export type GetJobRoute = typeof getJob;
export type RefundJobRoute = typeof refundJob;
