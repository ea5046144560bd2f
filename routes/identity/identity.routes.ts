import { createRoute, z } from "@hono/zod-openapi";
import { errorResponses } from "@/lib/http/errors.ts";
import { body, json, pageLimit, SIGNED_IN as security } from "@/lib/http/schemas.ts";
import type { SessionState } from "@/lib/sessions/sessions.machine.ts";
import { BOOTSTRAP_STATES } from "@/lib/bootstrap/bootstrap.machine.ts";
import { JOB_STATES } from "@/lib/jobs/job-index.rows.ts";

const tags = ["identity"];

/** How a caller shows which key it is (wire.md §3). */
export const SECURITY_SCHEMES = {
  NostrToken: {
    type: "apiKey",
    in: "header",
    name: "X-Nostr-Token",
    description:
      "The `nostr_token` that `POST /api/identity/verify` answers; some bodies take it as `nostr_token`, too",
  },
  Nostr: {
    type: "apiKey",
    in: "header",
    name: "Authorization",
    description: "NIP-98: `Nostr <base64 of a signed event of kind 27235>`, for this one request; needs no sign-in",
  },
} as const;

const SESSION_STATES = [
  "awaiting_payment",
  "active",
  "paused",
  "expired",
  "closed",
] as const satisfies readonly SessionState[];

const pubkey = z.string().openapi({
  description: "Nostr public key, 64 hex digits (not an npub)",
  example: "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d",
});

const trustSchema = z.object({
  tier: z.enum(["new", "established", "trusted", "elite"]).openapi({ description: "Follows from the score" }),
  score: z.int().openapi({ description: "Now, with what absence took off it" }),
  interactionCount: z.int().openapi({ description: "Requests of this key that succeeded, or failed by its own doing" }),
}).openapi("Trust");

const challengeSchema = z.object({
  nonce: z.string().openapi({ description: "64 hex digits to sign; good once", example: "69577a00c41d…" }),
  expiresAt: z.iso.datetime(),
}).openapi("IdentityChallenge");

const signedInSchema = z.object({
  pubkey,
  nostr_token: z.string().openapi({
    description: "Send it as `X-Nostr-Token`. Whoever has it is this key until it expires: keep it secret",
  }),
  expiresAt: z.iso.datetime().openapi({ description: "From then on it is refused: sign in again" }),
  trust: trustSchema,
}).openapi("SignedIn");

const meSchema = z.object({
  pubkey,
  trust: trustSchema,
  budget: z.object({
    dailySats: z.int().openapi({ description: "What the pool may pay for a key of this tier in a UTC day" }),
    usedSats: z.int().openapi({ description: "What it paid today, what is reserved for running requests included" }),
    offeredSats: z.int().optional().openapi({
      description:
        "Help that is offered on work invoices which wait to be paid; until they are, or expire, it is not offered again",
    }),
    resetsAt: z.iso.datetime().openapi({ description: "When the day ends" }),
  }),
}).openapi("Identity");

const next = z.string().optional().openapi({ description: "There are older ones: send it as `after`" });

const jobsSchema = z.object({
  jobs: z.array(z.object({
    jobId: z.string().openapi({ description: "A capability: `GET /api/jobs/{id}` shows the job" }),
    state: z.enum(JOB_STATES),
    createdAt: z.iso.datetime(),
  })),
  next,
}).openapi("IdentityJobs");

const bootstrapsSchema = z.object({
  bootstraps: z.array(z.object({
    bootstrapJobId: z.string().openapi({ description: "A capability: `GET /api/bootstrap/{id}` shows the node" }),
    state: z.enum(BOOTSTRAP_STATES),
    createdAt: z.iso.datetime(),
  })),
  next,
}).openapi("IdentityBootstraps");

const sessionsSchema = z.object({
  sessions: z.array(z.object({
    sessionId: z.string().openapi({ description: "A capability: `GET /api/sessions/{id}` shows the session" }),
    state: z.enum(SESSION_STATES),
    createdAt: z.iso.datetime(),
    balanceSats: z.int().openapi({ description: "What can be spent now" }),
  })),
  next,
}).openapi("IdentitySessions");

/** The event goes to {@link readSignIn} as it is: what is wrong with it has a code of its own. */
const eventSchema = z.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "must be an object: the event that you signed",
).openapi({
  type: "object",
  description: "A signed Nostr event with exactly the seven fields of NIP-01",
  required: ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"],
  properties: {
    id: { type: "string" },
    pubkey: { type: "string" },
    created_at: { type: "integer", description: "Seconds since the epoch; at most five minutes from now" },
    kind: { type: "integer", enum: [27_235, 22_242] },
    tags: { type: "array", items: { type: "array", items: { type: "string" } } },
    content: { type: "string" },
    sig: { type: "string" },
  },
});

/** Runs as it stands in a browser's console on a page of the instance; a test runs it. */
const EXAMPLE = `\`\`\`js
const post = async (path, body) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return await answer.json();
};
const { nonce } = await post("/api/identity/challenge", {});
const event = await window.nostr.signEvent({
  kind: 27235,
  created_at: Math.floor(Date.now() / 1000),
  tags: [["u", location.origin], ["method", "POST"]],
  content: nonce,
});
const { nostr_token } = await post("/api/identity/verify", { event });
const me = await fetch("/api/identity/me", { headers: { "X-Nostr-Token": nostr_token } });
console.log(await me.json());
\`\`\``;

export const challenge = createRoute({
  method: "post",
  path: "/api/identity/challenge",
  operationId: "createIdentityChallenge",
  tags,
  summary: "Begin to sign in",
  description:
    "A random nonce, good once and for five minutes, at this instance alone. Sign it with your Nostr key and send the event to " +
    "`POST /api/identity/verify`. Nothing is stored.",
  request: { body: { required: false, content: { "application/json": { schema: z.strictObject({}) } } } },
  responses: { 200: json(challengeSchema, "What to sign"), ...errorResponses(400) },
});

export const verify = createRoute({
  method: "post",
  path: "/api/identity/verify",
  operationId: "verifyIdentity",
  tags,
  summary: "Sign in",
  description:
    "Send the nonce of `POST /api/identity/challenge` back in an event that you signed: kind 27235 (or 22242), the nonce as its " +
    '`content` or as a `["challenge", nonce]` tag, `created_at` within five minutes. A `u` (or `relay`) tag is not required; when ' +
    "there is one, it must name this server, so that no other site can use what you sign there.\n\n" +
    "In a browser with a NIP-07 signer:\n\n" + EXAMPLE + "\n\n" +
    "`examples/sign-in.ts` does the same with a key of its own, without a browser.\n\n" +
    "The token then goes into the header `X-Nostr-Token` of any route, or as `nostr_token` into the body of those that have the " +
    "field. Instead of a token, each single request can be signed as NIP-98 has it (`Authorization: Nostr …`). A token or event " +
    "that is wrong or expired is 401 everywhere; it never counts as none.",
  request: {
    body: body(
      z.strictObject({
        pubkey: z.string().optional().openapi({ description: "May be left out. If given, it must be the event's" }),
        event: eventSchema,
      }).openapi("SignIn"),
    ),
  },
  responses: { 200: json(signedInSchema, "You are this key"), ...errorResponses(400, 401, 503) },
});

export const me = createRoute({
  method: "get",
  path: "/api/identity/me",
  operationId: "getIdentity",
  tags,
  security,
  summary: "Who you are here",
  description: "How far your key is trusted, and what the pool still pays for it today. Reading moves nothing.",
  responses: { 200: json(meSchema, "Your key"), ...errorResponses(400, 401, 503) },
});

const pageQuery = z.strictObject({
  limit: pageLimit,
  after: z.string().regex(/^\d{1,15}-[0-9a-hjkmnp-tv-z]{13}$/, "must be the `next` of an earlier page").optional(),
});

export const listJobs = createRoute({
  method: "get",
  path: "/api/identity/jobs",
  operationId: "listIdentityJobs",
  tags,
  security,
  summary: "Your jobs, newest first",
  description: "Every job that was created with your key, unpaid ones included: they are `expired` after a while.",
  request: { query: pageQuery },
  responses: { 200: json(jobsSchema, "One page"), ...errorResponses(400, 401, 503) },
});

export const listSessions = createRoute({
  method: "get",
  path: "/api/identity/sessions",
  operationId: "listIdentitySessions",
  tags,
  security,
  summary: "Your sessions, newest first",
  description: "Every session that was opened with your key. It may be used and closed with the key alone, and " +
    "`POST /api/sessions/{id}/macaroon` shows its macaroon again.",
  request: { query: pageQuery },
  responses: { 200: json(sessionsSchema, "One page"), ...errorResponses(400, 401, 503) },
});

export const listBootstraps = createRoute({
  method: "get",
  path: "/api/identity/bootstraps",
  operationId: "listIdentityBootstraps",
  tags,
  security,
  summary: "Your nodes, newest first",
  description: "Every node that was ordered with your key, those that nobody paid included for a day.",
  request: { query: pageQuery },
  responses: { 200: json(bootstrapsSchema, "One page"), ...errorResponses(400, 401, 503) },
});

export type ChallengeRoute = typeof challenge;
export type VerifyRoute = typeof verify;
export type MeRoute = typeof me;
export type ListJobsRoute = typeof listJobs;
export type ListSessionsRoute = typeof listSessions;
export type ListBootstrapsRoute = typeof listBootstraps;
