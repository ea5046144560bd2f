import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import {
  body,
  claimBody,
  idempotencyKey,
  idParam,
  invoiceSchema,
  json,
  lightningAddress,
  nostrToken,
  NOT_YET,
  onlyFields,
  paymentHash as hash,
  refundAddress,
  refundAttempts,
  refundSchema,
  simulation,
} from "@/lib/http/schemas.ts";
import { BOOTSTRAP_STATES, STEP_NAMES } from "@/lib/bootstrap/bootstrap.machine.ts";

const tags = ["bootstrap"];
const time = z.iso.datetime();

const machineSchema = z.object({
  region: z.string(),
  size: z.string().openapi({ description: "The provider's name of the machine's size" }),
  volumeGb: z.int().openapi({ description: "0: the machine's own disk" }),
  paidDays: z.int().openapi({ description: "How long the fee pays the machine" }),
  paidFrom: time.openapi({ description: "When those days begin; an estimate until the node is ready" }),
  paidUntil: time.openapi({
    description:
      "When they end. After it the node is never destroyed by a program: the operator decides, or you move it",
  }),
}).openapi("BootstrapMachine");

const createdSchema = z.object({
  bootstrapJobId: z.string().openapi({
    description: "A capability: whoever holds it gets the keys and the refund. Keep it.",
  }),
  state: z.enum(BOOTSTRAP_STATES),
  createdAt: time,
  invoice: invoiceSchema,
  machine: machineSchema,
  message: z.string(),
  lightningAddress: lightningAddress.optional().openapi({ description: "Where what is owed goes by itself" }),
  ...simulation,
}).openapi("BootstrapCreated");

const refundState = z.enum(["not_applicable", "pending", "paying", "paid", "expired"]);

const bootstrapSchema = z.object({
  bootstrapJobId: z.string(),
  state: z.enum(BOOTSTRAP_STATES),
  createdAt: time,
  invoice: invoiceSchema,
  machine: machineSchema,
  steps: z.array(z.object({
    name: z.enum(STEP_NAMES),
    startedAt: time,
    finishedAt: time.optional(),
    note: z.string().optional(),
  })),
  message: z.string(),
  credentials: z.object({
    nodeIp: z.string(),
    tailscaleHostname: z.string().nullable(),
    lnbitsUrl: z.string().nullable(),
    sshPublicKey: z.string(),
    sshPrivateKey: z.string().nullable().openapi({ description: "Shown once, to whoever asks first" }),
    sshKeyNote: z.string().optional(),
    knownHosts: z.array(z.string()).openapi({
      description: "Lines for ~/.ssh/known_hosts: the node told them itself, so the first login needs no trust",
    }),
  }).optional(),
  nextSteps: z.array(z.string()).optional(),
  errorMessage: z.string().optional(),
  refundState,
  refundAmountSats: z.int(),
  refundPaymentHash: hash.nullable(),
  refundClaimUntil: time.nullable(),
  refundFailure: z.string().nullable(),
  refundAttempts,
  lightningAddress: lightningAddress.optional().openapi({ description: "Where what is owed goes by itself" }),
  ...simulation,
}).openapi("Bootstrap");

export type BootstrapBody = z.infer<typeof bootstrapSchema>;

export const createBootstrap = createRoute({
  method: "post",
  path: "/api/bootstrap",
  operationId: "createBootstrap",
  tags,
  summary: "Order a Bitcoin and Lightning node",
  description:
    "Answers with one invoice. When it is paid a machine is made that runs Bitcoin, LND and LNbits, and its keys are handed over " +
    "once, at `GET /api/bootstrap/{id}`. Should the provider fail, everything that was made is destroyed and all of the fee is owed " +
    "back. Send your own SSH public key, so that no private key exists here. What the account cannot make just now is refused before " +
    "an invoice is made. Send an `Idempotency-Key` to be able to repeat the call safely.",
  request: {
    headers: idempotencyKey,
    body: body(
      onlyFields({
        sshPublicKey: z.string().max(16_384).optional().openapi({
          description:
            "One line, as in `~/.ssh/id_ed25519.pub`: ed25519, RSA of at least 3072 bits, ECDSA, or a security key's",
        }),
        region: z.string().regex(/^[a-z0-9-]{1,32}$/, "must be a region's short name, such as nyc3").optional(),
        size: z.string().regex(/^[a-z0-9.-]{1,64}$/, "must be a size's short name, such as s-4vcpu-8gb").optional(),
        nostr_token: nostrToken,
        lightningAddress: refundAddress,
        npub: NOT_YET,
      }).openapi("CreateBootstrap"),
    ),
  },
  responses: {
    201: json(createdSchema, "It waits for its fee"),
    ...errorResponses(400, 401, 409, 503),
  },
});

export const getBootstrap = createRoute({
  method: "get",
  path: "/api/bootstrap/{id}",
  operationId: "getBootstrap",
  tags,
  summary: "Follow a node",
  description:
    "State, named steps with their times, and when it is ready the credentials. The first call after that gets the private key (when it " +
    "was made here), of many at once exactly one; for ten minutes whoever shows the invoice's preimage gets it again " +
    "(`POST …/key`), then it is erased. `ready` means made and booted; the chain takes one to two weeks to sync.",
  request: { params: idParam },
  responses: { 200: json(bootstrapSchema, "The node"), ...errorResponses(400, 401, 404, 503) },
});

export const bootstrapEvents = createRoute({
  method: "get",
  path: "/api/bootstrap/{id}/events",
  operationId: "followBootstrap",
  tags,
  summary: "Follow a node as events",
  description:
    "Server-sent events: `state` with the step that is under way and when it began, the present one first. No secret is in them. The " +
    "stream ends with the last state.",
  request: { params: idParam },
  responses: {
    200: { description: "The events", content: { "text/event-stream": { schema: z.string() } } },
    ...errorResponses(400, 401, 404, 503),
  },
});

const keySchema = z.object({ sshPrivateKey: z.string() }).openapi("BootstrapKey");
const preimage = z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hex digits").openapi({
  description: "Preimage of the fee's invoice: your wallet shows it as proof of payment",
});

export const bootstrapPrivateKey = createRoute({
  method: "post",
  path: "/api/bootstrap/{id}/key",
  operationId: "fetchBootstrapKey",
  tags,
  summary: "Fetch the private key again",
  description:
    "An answer can be lost on its way: until ten minutes after the key was first shown, whoever shows the preimage gets it.",
  request: { params: idParam, body: body(z.strictObject({ preimage }).openapi("FetchBootstrapKey")) },
  responses: {
    200: json(keySchema, "The key, in OpenSSH's format"),
    ...errorResponses(400, 401, 404, 409, 410, 503),
  },
});

export const acknowledgeBootstrap = createRoute({
  method: "post",
  path: "/api/bootstrap/{id}/ack",
  operationId: "acknowledgeBootstrapKey",
  tags,
  summary: "Say that the key arrived",
  description: "The private key is erased here at once.",
  request: {
    params: idParam,
    body: body(z.strictObject({ preimage: preimage.optional() }).openapi("AcknowledgeBootstrapKey")),
  },
  responses: {
    200: json(z.object({ erased: z.literal(true).openapi({ type: "boolean" }) }).openapi("KeyErased"), "It is erased"),
    ...errorResponses(400, 401, 404, 409, 503),
  },
});

export const cancelBootstrap = createRoute({
  method: "post",
  path: "/api/bootstrap/{id}/cancel",
  operationId: "cancelBootstrap",
  tags,
  summary: "Cancel",
  description:
    "Possible until the machine is being made, and again when a machine did not report in time (`ready_unconfirmed`). What was made is " +
    "destroyed, then everything that was paid is owed back.",
  request: { params: idParam, body: body(z.strictObject({}).openapi("CancelBootstrap")) },
  responses: {
    202: json(bootstrapSchema, "It is being taken back"),
    ...errorResponses(400, 401, 404, 409, 503),
  },
});

export const refundBootstrap = createRoute({
  method: "post",
  path: "/api/bootstrap/{id}/refund",
  operationId: "refundBootstrap",
  tags,
  summary: "Take the fee back",
  description: "By the rules of a job's refund, once the provider says that nothing is left of what was made.",
  request: {
    params: idParam,
    body: body(claimBody),
  },
  responses: {
    200: json(refundSchema, "Paid"),
    202: json(refundSchema, "Being paid; the outcome is not known yet"),
    ...errorResponses(400, 401, 404, 409, 429, 503),
  },
});

export const reportFirstBoot = createRoute({
  method: "post",
  path: "/api/bootstrap/first-boot",
  operationId: "reportFirstBoot",
  tags,
  summary: "A node reports its first boot",
  description:
    "For the nodes themselves: `Authorization: Bearer` with the one-time token of the node's user data, `X-Timmy-Signature` with the " +
    "base64 of `ssh-keygen -Y sign -n timmy-first-boot` over the body, by the key that the body names.",
  request: {
    headers: z.object({
      "x-timmy-signature": z.string().max(8_192).optional().openapi({ description: "Base64 of an SSH signature" }),
    }),
    body: body(
      z.object({
        at: z.union([z.string(), z.number()]),
        sshHostKeys: z.array(z.string()),
        nodeKey: z.string(),
        tailscaleHostname: z.string().nullable(),
        lnbitsUrl: z.string().nullable(),
        services: z.record(z.string(), z.string()),
      }).openapi("FirstBootReport"),
    ),
  },
  responses: {
    200: json(z.object({ accepted: z.literal(true).openapi({ type: "boolean" }) }).openapi("ReportAccepted"), "Taken"),
    ...errorResponses(400, 401, 409, 413, 503),
  },
});

export type CreateBootstrapRoute = typeof createBootstrap;
export type GetBootstrapRoute = typeof getBootstrap;
export type BootstrapEventsRoute = typeof bootstrapEvents;
export type BootstrapPrivateKeyRoute = typeof bootstrapPrivateKey;
export type AcknowledgeBootstrapRoute = typeof acknowledgeBootstrap;
export type CancelBootstrapRoute = typeof cancelBootstrap;
export type RefundBootstrapRoute = typeof refundBootstrap;
export type ReportFirstBootRoute = typeof reportFirstBoot;
