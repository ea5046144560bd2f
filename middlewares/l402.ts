import type { Context, MiddlewareHandler } from "hono";
import { npubEncode } from "nostr-tools/nip19";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppEnv } from "@/lib/http/app-env.ts";
import { frozen } from "@/lib/http/claims.ts";
import { tooManyRequests, unauthorized, unavailable } from "@/lib/http/errors.ts";
import { tokenRefused } from "@/lib/http/spending.ts";
import type { Capability } from "@/lib/l402/caveats.ts";
import { parseAuthorization } from "@/lib/l402/credential.ts";
import { caveatsOf, type VerifiedToken, verifyToken } from "@/lib/sessions/tokens.ts";
import { WalletError } from "@/lib/lightning/port.ts";
import { getSession } from "@/lib/sessions/sessions.rows.ts";
import { identityOf } from "./identity.ts";
import type { RateLimiter } from "./rate-limit.ts";

interface L402Options {
  capability: Capability;
  /** Counts challenges by address; null: no limit. */
  limiter: RateLimiter | null;
  /** Whether the path names the session that the credential must be of. */
  sessionInPath: boolean;
}

/**
 * Finds out who pays: the verified token, which the handler finds as `c.get("token")`, or null for a caller who showed nothing.
 * That caller's request is looked at first, and only one that nothing else is wrong with is answered 402, by `tokenOr402` of
 * lib/http/spending.ts. A credential that was shown comes before everything in the body. In this order:
 * 1. what the header says: something that cannot be a credential is 401, never "no credential", which would sell its
 *    sender a second session;
 * 2. no credential: the key that owns the session in the path will do, too;
 * 3. the token itself (lib/sessions/tokens.ts), caveats included;
 * 4. the session in the path: a token of one session opens no other. Late, so that only the holder of a good token
 *    learns anything;
 * 5. the key it was narrowed to, which must show itself beside it.
 */
export function l402({ capability, limiter, sessionInPath }: L402Options): MiddlewareHandler<AppEnv<AppDeps>> {
  return async (c, next) => {
    const deps = c.get("deps");
    c.set("countChallenge", () => {
      countChallenge(limiter, c.get("clientAddress"));
      deps.metrics.challenge();
    });
    const presented = parseAuthorization(c.req.header("authorization"));
    if (presented.kind === "malformed") throw unauthorized("invalid_token", presented.message);
    const path = sessionInPath ? sessionOfId(deps, c.req.param("id") ?? "") : null;
    if (presented.kind === "none") {
      const pubkey = await identityOf(c);
      const token = path === null || pubkey === null ? null : await ownerToken(deps, path, pubkey);
      if (token && c.req.method !== "GET" && await deps.freeze.covers(token.session)) throw frozen();
      c.set("token", token);
      return await next();
    }
    const verified = await verifyToken(
      { ...deps, settled: (paymentHash) => isSettled(deps, paymentHash) },
      presented,
      capability,
      deps.clock.now(),
    );
    deps.metrics.tokenCheck(verified.ok ? "accepted" : "refused");
    if (!verified.ok) throw tokenRefused(verified);
    if (path !== null && path !== verified.token.session) {
      throw unauthorized("wrong_session", "This macaroon belongs to another session than the one in the address.");
    }
    if (verified.token.npub !== null) await requireNpub(c, verified.token.npub);
    if (c.req.method !== "GET" && await deps.freeze.covers(verified.token.session)) throw frozen();
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
    caveats: caveatsOf(deps.recordIds.idOf("session", handle)),
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
export const sessionOfId = (deps: AppDeps, id: string): string => deps.recordIds.handleOf("session", id) ?? "";

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

/** Counts one more invoice that is made before anybody has paid. @throws {ApiError} 429 above the limit */
function countChallenge(limiter: RateLimiter | null, address: string): void {
  const waitMs = limiter?.take(address) ?? null;
  if (waitMs === null) return;
  const message = "Too many payment challenges from this address. Pay one of them, or wait as Retry-After says.";
  throw tooManyRequests("too_many_challenges", message, waitMs / 1_000);
}

/** For a route that opens something unpaid by itself: it is counted as a challenge is. */
export function limitChallenges(limiter: RateLimiter | null): MiddlewareHandler<AppEnv<AppDeps>> {
  return async (c, next) => {
    countChallenge(limiter, c.get("clientAddress"));
    await next();
  };
}
