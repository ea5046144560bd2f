import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import {
  body,
  freeTierDecision,
  idempotencyKey as idempotency,
  idParam,
  invoiceSchema,
  json,
  lightningAddress,
  nostrToken,
  NOT_YET,
  notBoth,
  pageLimit,
  PAID as security,
  paymentHash as hash,
  refundAddress,
  refundAttempts,
  simulation,
  trustTier,
} from "@/lib/http/schemas.ts";

const tags = ["sessions"];

/** What every answer says about itself. */
const always = { trust_tier: trustTier, ...simulation };

const SESSION_STATES = ["awaiting_payment", "active", "paused", "expired", "closed"] as const;
const REQUEST_STATES = ["running", "complete", "rejected", "failed", "interrupted"] as const;
const REFUND_STATES = ["not_applicable", "pending", "paying", "paid", "expired"] as const;

const sessionId = z.string().openapi({
  description: "A capability: until the macaroon is first used, it shows the macaroon. Keep it.",
});

const createdSchema = z.object({
  sessionId,
  state: z.enum(SESSION_STATES),
  invoice: invoiceSchema,
  minimumBalanceSats: z.int(),
  lightningAddress: lightningAddress.optional(),
  ...always,
}).openapi("SessionCreated");

const refundSchema = z.object({
  refundState: z.enum(REFUND_STATES),
  refundAmountSats: z.int(),
  refundPaymentHash: hash.nullable(),
  refundClaimUntil: z.iso.datetime().nullable(),
  refundAttempts,
}).openapi("SessionRefund");

const sessionSchema = z.object({
  sessionId,
  state: z.enum(SESSION_STATES),
  createdAt: z.iso.datetime(),
  balanceSats: z.int().openapi({ description: "What can be spent now" }),
  heldSats: z.int().openapi({ description: "Set aside for requests that run now; the rest of it comes back" }),
  spentSats: z.int(),
  minimumBalanceSats: z.int().openapi({ description: "Below this the session is paused until it is topped up" }),
  expiresAt: z.iso.datetime().nullable(),
  invoice: invoiceSchema.optional(),
  pendingTopup: invoiceSchema.optional(),
  macaroon: z.string().optional().openapi({
    description: "From payment until it is first used. Afterwards: POST /api/sessions/{id}/macaroon with the preimage",
  }),
  lightningAddress: lightningAddress.optional().openapi({
    description: "Where its balance goes by itself when it ends",
  }),
  refund: refundSchema.optional(),
  ...always,
}).openapi("Session");

const usageSchema = z.object({
  inputTokens: z.int(),
  outputTokens: z.int(),
  source: z.enum(["api", "estimated"]),
}).openapi("RequestUsage");

const requestSchema = z.object({
  requestId: z.string(),
  at: z.iso.datetime(),
  state: z.enum(REQUEST_STATES).openapi({
    description: "`rejected` pays its evaluation only, `failed` nothing, `interrupted` what was written until then",
  }),
  model: z.string(),
  debitedSats: z.int(),
  heldSats: z.int().openapi({ description: "What was set aside for it; while it runs it is missing in the balance" }),
  result: z.string().optional(),
  finishReason: z.enum(["stop", "length"]).optional(),
  reason: z.string().optional(),
  errorMessage: z.string().optional(),
  usage: usageSchema.optional(),
  evaluationUsage: usageSchema.optional(),
  free_tier: freeTierDecision.optional().openapi({
    description: "What was decided for the key that asked, before it began",
  }),
  absorbed_sats: z.int().optional().openapi({ description: "What the pool paid of it" }),
  balanceRemaining: z.int().optional().openapi({ description: "The balance right after it (sats)" }),
  ...always,
}).openapi("SessionRequest");

const historySchema = z.object({
  requests: z.array(z.object({
    requestId: z.string(),
    at: z.iso.datetime(),
    state: z.enum(REQUEST_STATES),
    debitedSats: z.int(),
    absorbed_sats: z.int().optional(),
  })),
  next: z.string().optional().openapi({ description: "Send it as `after` for the next page" }),
}).openapi("SessionHistory");

const closedSchema = z.object({
  state: z.enum(SESSION_STATES),
  refundState: z.enum(REFUND_STATES),
  refundAmountSats: z.int(),
  refundPaymentHash: hash.nullable(),
  ...always,
}).openapi("SessionClosed");

export type SessionBody = z.infer<typeof sessionSchema>;
export type RequestBody = z.infer<typeof requestSchema>;

const amount = z.int().positive().openapi({ description: "Whole sats", example: 500 });

export const createSession = createRoute({
  method: "post",
  path: "/api/sessions",
  operationId: "createSession",
  tags,
  summary: "Open a session",
  description:
    "Answers with the invoice of the deposit (`SESSION_MIN_DEPOSIT_SATS` to `SESSION_MAX_DEPOSIT_SATS`, 100 to 10,000). " +
    "When it is paid, `GET /api/sessions/{id}` shows the macaroon. With a `lightningAddress` the balance goes there by itself when " +
    "the session is closed or expires: it is tried for a day, and can be claimed in every other way.",
  request: {
    headers: idempotency,
    body: body(
      z.strictObject({ amount_sats: amount, nostr_token: nostrToken, lightningAddress: refundAddress }).openapi(
        "CreateSession",
      ),
    ),
  },
  responses: { 201: json(createdSchema, "The session waits for its deposit"), ...errorResponses(400, 401, 409, 503) },
});

export const getSession = createRoute({
  method: "get",
  path: "/api/sessions/{id}",
  operationId: "getSession",
  tags,
  summary: "Read a session",
  description: "State, balance, what is pending. Reading moves nothing.",
  request: { params: idParam },
  responses: { 200: json(sessionSchema, "The session"), ...errorResponses(400, 401, 404, 503) },
});

export const sendRequest = createRoute({
  method: "post",
  path: "/api/sessions/{id}/request",
  operationId: "sendSessionRequest",
  tags,
  security,
  summary: "Ask",
  description:
    "Evaluates, works and charges what it really cost. The worst case is held while it runs and the rest comes back. " +
    "With an `Idempotency-Key` a repeat gets the same answer, charged once.",
  request: {
    params: idParam,
    headers: idempotency,
    body: body(
      z.strictObject({
        request: z.string().openapi({ description: "The question or task", example: "What is a hold invoice?" }),
        nostr_token: nostrToken,
        model: NOT_YET,
      }).openapi("SessionAsk"),
    ),
  },
  responses: {
    200: json(requestSchema, "It has ended: complete, rejected or failed"),
    202: json(requestSchema, "It still runs; GET …/requests/{requestId} shows how it ends"),
    ...errorResponses(400, 401, 402, 403, 409, 503),
  },
});

export const topUp = createRoute({
  method: "post",
  path: "/api/sessions/{id}/topup",
  operationId: "topUpSession",
  tags,
  security,
  summary: "Top up",
  description: "One top-up is pending at a time; 409 shows it.",
  request: {
    params: idParam,
    headers: idempotency,
    body: body(z.strictObject({ amount_sats: amount }).openapi("TopUp")),
  },
  responses: {
    201: json(z.object({ invoice: invoiceSchema, ...always }).openapi("TopUpOffered"), "Pay it to add to the balance"),
    ...errorResponses(400, 401, 402, 403, 409, 503),
  },
});

export const closeSession = createRoute({
  method: "post",
  path: "/api/sessions/{id}/close",
  operationId: "closeSession",
  tags,
  security,
  summary: "Close and take the balance back",
  description:
    "Pays the whole balance to an invoice of exactly that amount, or to a Lightning address. The invoice may be for less than that by 10 sats or 5 %, whichever is more: what it leaves pays the routing fee, and what the " +
    "fee does not use goes to the pool. The balance of an expired session is claimed the same " +
    "way. Without either the session is closed and its balance goes to the `lightningAddress` that was left with it, or else waits to " +
    "be claimed by a second call. Once claimed, every " +
    "repeat is answered 409 with the original `refundPaymentHash`; after a definite failure the claim is open again. Less than " +
    "`REFUND_DUST_SATS` (default 1) is not refunded. What nobody claims within `REFUND_CLAIM_DAYS` (30) goes to the pool that " +
    "the free tier is served from.",
  request: {
    params: idParam,
    body: body(
      notBoth(
        z.strictObject({
          invoice: z.string().min(1).max(4_096).optional().openapi({
            description: "A BOLT11 invoice for `balanceSats`, less what you leave for the routing fee",
          }),
          lightningAddress: lightningAddress.optional(),
        }),
      ).openapi("CloseSession"),
    ),
  },
  responses: {
    200: json(closedSchema, "Closed; paid, or waiting to be claimed"),
    202: json(closedSchema, "Closed; being paid, the outcome is not known yet. `GET /api/sessions/{id}` shows it"),
    ...errorResponses(400, 401, 402, 403, 409, 429, 503),
  },
});

export const listRequests = createRoute({
  method: "get",
  path: "/api/sessions/{id}/requests",
  operationId: "listSessionRequests",
  tags,
  security,
  summary: "The session's requests, newest first",
  description: "What each cost, in pages. Only for the token the session was opened with, or the key that owns it.",
  request: {
    params: idParam,
    query: z.object({
      limit: pageLimit,
      after: z.string().regex(/^[0-9a-z]{23}$/, "must be the `next` of an earlier page").optional(),
    }),
  },
  responses: { 200: json(historySchema, "One page"), ...errorResponses(400, 401, 402, 403, 503) },
});

export const getRequest = createRoute({
  method: "get",
  path: "/api/sessions/{id}/requests/{requestId}",
  operationId: "getSessionRequest",
  tags,
  security,
  summary: "One request with its result",
  description:
    "The same as when it was answered, for as long as the session is kept. A narrowed token reads its own requests only.",
  request: {
    params: idParam.extend({
      requestId: z.string().max(100).openapi({ param: { name: "requestId", in: "path" } }),
    }),
  },
  responses: { 200: json(requestSchema, "The request"), ...errorResponses(400, 401, 402, 403, 404, 503) },
});

export const getMacaroon = createRoute({
  method: "post",
  path: "/api/sessions/{id}/macaroon",
  operationId: "getSessionMacaroon",
  tags,
  summary: "The macaroon again",
  description:
    "For whoever can prove the deposit by its preimage, or is signed in with the key that owns the session. With `rotate` every token of the session, narrowed ones included, " +
    "stops working and a new one is answered.",
  request: {
    params: idParam,
    body: body(
      z.strictObject({
        preimage: z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hex digits").optional(),
        nostr_token: nostrToken,
        rotate: z.boolean().optional(),
      }).openapi("ProvePayment"),
    ),
  },
  responses: {
    200: json(z.object({ macaroon: z.string(), ...always }).openapi("Macaroon"), "The macaroon"),
    ...errorResponses(400, 401, 404, 503),
  },
});

export type CreateSessionRoute = typeof createSession;
export type GetSessionRoute = typeof getSession;
export type SendRequestRoute = typeof sendRequest;
export type TopUpRoute = typeof topUp;
export type CloseSessionRoute = typeof closeSession;
export type ListRequestsRoute = typeof listRequests;
export type GetRequestRoute = typeof getRequest;
export type GetMacaroonRoute = typeof getMacaroon;
