import type { Context, MiddlewareHandler } from "hono";
import { npubEncode } from "nostr-tools/nip19";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppEnv } from "@/lib/http/app-env.ts";
import { type ApiError, paymentRequired, tooManyRequests, unauthorized, unavailable } from "@/lib/http/errors.ts";
import { tokenRefused } from "@/lib/http/spending.ts";
import type { Capability } from "@/lib/l402/caveats.ts";
import { parseAuthorization } from "@/lib/l402/credential.ts";
import { type VerifiedToken, verifyToken } from "@/lib/sessions/tokens.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import { type Challenge, challengeNew, challengeOf } from "@/lib/sessions/open.ts";
import { invoiceBody } from "@/lib/payments/invoices.rows.ts";
import { getSession } from "@/lib/sessions/sessions.rows.ts";
import { identityOf } from "./identity.ts";
import type { RateLimiter } from "./rate-limit.ts";

interface L402Options {
  capability: Capability;
  /** Counts challenges by address; null: no limit. */
  limiter: RateLimiter | null;
  /**
   * What a caller without a credential is offered: a new session, or a top-up of the session whose id stands in the path.
   */
  offer: "new-session" | "session-in-path";
}

/**
 * Lets a request through with a good credential, which the handler finds as `c.get("token")`; anybody else gets a way to
 * pay. In this order:
 * 1. what the header says: something that cannot be a credential is 401, never "no credential", which would sell its
 *    sender a second session;
 * 2. no credential: the key that owns the session in the path will do, too;
 * 3. nothing at all: 402 with a challenge. It makes an invoice and rows nobody has paid for, so it is counted by address,
 *    and in all;
 * 4. the token itself (lib/sessions/tokens.ts), caveats included;
 * 5. the session in the path: a token of one session opens no other. Late, so that only the holder of a good token
 *    learns anything;
 * 6. the key it was narrowed to, which must show itself beside it.
 */
export function l402(options: L402Options): MiddlewareHandler<AppEnv<AppDeps>> {
  return async (c, next) => {
    const deps = c.get("deps");
    const presented = parseAuthorization(c.req.header("authorization"));
    if (presented.kind === "malformed") throw unauthorized("invalid_token", presented.message);
    const path = options.offer === "session-in-path" ? handleInPath(deps, c.req.param("id") ?? "") : null;
    if (presented.kind === "none") {
      const pubkey = await identityOf(c);
      const owner = path === null || pubkey === null ? null : await ownerToken(deps, path, pubkey);
      if (!owner) throw await challenge(deps, { session: path, pubkey }, options.limiter, c.get("clientAddress"));
      c.set("token", owner);
      return await next();
    }
    const verified = await verifyToken(
      { ...deps, settled: (paymentHash) => isSettled(deps, paymentHash) },
      presented,
      options.capability,
      deps.clock.now(),
    );
    if (!verified.ok) throw tokenRefused(verified);
    if (path !== null && path !== verified.token.session) {
      throw unauthorized("wrong_session", "This macaroon belongs to another session than the one in the address.");
    }
    if (verified.token.npub !== null) await requireNpub(c, verified.token.npub);
    deps.usedSessions.add(verified.token.session);
    c.set("token", verified.token);
    await next();
  };
}

/**
 * The key that owns the session in the path needs no macaroon: it could have one again at any time.
 * @throws {ApiError} 401 for a key that owns something else.
 */
async function ownerToken(deps: AppDeps, handle: string, pubkey: string): Promise<VerifiedToken | null> {
  const session = await getSession(deps.store, handle);
  if (session?.pubkey === pubkey && !session.depositPaid) return null; // its deposit is what is missing
  if (session?.pubkey !== pubkey) {
    throw unauthorized("not_the_owner", "This key does not own the session. Send the session's macaroon.");
  }
  return {
    session: handle,
    kind: "bearer",
    owner: true,
    name: `key ${pubkey}`,
    allowances: [],
    models: null,
    npub: null,
  };
}

/** A token that was narrowed to a key is no good to a thief who has not that key. @throws {ApiError} 401 */
async function requireNpub(c: Context<AppEnv<AppDeps>>, npub: string): Promise<void> {
  const pubkey = await identityOf(c);
  if (pubkey !== null && npubEncode(pubkey) === npub) return;
  throw unauthorized(
    "wrong_key",
    "This macaroon is bound to a Nostr key (npub). Sign in with that key and send X-Nostr-Token beside it.",
    { caveat: "npub" },
  );
}

/** An id that opens nothing stands for no session; the answer is the same as for one that is gone. */
const handleInPath = (deps: AppDeps, id: string): string => deps.recordIds.handleOf("session", id) ?? "";

/** The wallet's word on an invoice that our books do not have as paid yet. A wallet that is down says no. */
async function isSettled(deps: AppDeps, paymentHash: string): Promise<boolean> {
  try {
    return await deps.settlements.check(paymentHash) === "settled";
  } catch (cause) {
    if (!(cause instanceof WalletError)) throw cause;
    throw unavailable("wallet_unavailable", "The Lightning wallet does not say whether this is paid. Try again.", 5, {
      cause,
    });
  }
}

/** The 402 with its challenge, or why none can be made. */
async function challenge(
  deps: AppDeps,
  { session, pubkey }: { session: string | null; pubkey: string | null },
  limiter: RateLimiter | null,
  address: string,
): Promise<ApiError> {
  const tooMany = overLimit(limiter, address);
  if (tooMany) return tooMany;
  const made = session === null ? await challengeNew(deps, pubkey) : await challengeOf(deps, session);
  if (made.outcome !== "challenge") return refusedChallenge(made.outcome);
  const { invoice, header } = made;
  return paymentRequired(
    "payment_required",
    "Pay the invoice in the WWW-Authenticate header, then repeat the request with " +
      "Authorization: L402 <macaroon>:<preimage>. The token goes on working until what it paid for is used up.",
    [header],
    {
      sessionId: deps.recordIds.idOf("session", made.session.handle),
      invoice: invoiceBody(invoice),
      ...(made.session.simulated.length > 0 && { stubMode: true, simulated: made.session.simulated }),
    },
  );
}

/** Counts one more invoice that is made before anybody has paid; 429 above the limit. */
function overLimit(limiter: RateLimiter | null, address: string): ApiError | null {
  const waitMs = limiter?.take(address) ?? null;
  if (waitMs === null) return null;
  const message = "Too many payment challenges from this address. Pay one of them, or wait as Retry-After says.";
  return tooManyRequests("too_many_challenges", message, waitMs / 1_000);
}

/** For a route that opens something unpaid by itself: it is counted as a challenge is. */
export function limitChallenges(limiter: RateLimiter | null): MiddlewareHandler<AppEnv<AppDeps>> {
  return async (c, next) => {
    const tooMany = overLimit(limiter, c.get("clientAddress"));
    if (tooMany) throw tooMany;
    await next();
  };
}

function refusedChallenge(outcome: Exclude<Challenge["outcome"], "challenge">): ApiError {
  if (outcome === "full") {
    const message = "Too many payment challenges wait to be paid. Try again when some of them have expired.";
    return unavailable("too_many_open_challenges", message, 60);
  }
  // A session that is over, one that is gone and an id that was never given look the same to whoever has no token.
  return unauthorized("token_required", "This session needs its macaroon: Authorization: Bearer <macaroon>.");
}
