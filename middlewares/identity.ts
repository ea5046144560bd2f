import type { Context, MiddlewareHandler } from "hono";
import type { AppDeps } from "@/lib/http/app-deps.ts";
import type { AppEnv } from "@/lib/http/app-env.ts";
import { unauthorized } from "@/lib/http/errors.ts";
import { identify, identityConflict, keyOfToken } from "@/lib/identity/identity.ts";

/**
 * The key a request is from, hex, or null: `X-Nostr-Token`, `nostr_token` in the body, or a NIP-98 event. A signed event is looked
 * at once for a request, since it can be used once.
 * @param bodyToken the body's `nostr_token`, where the contract has one.
 * @throws {ApiError} 401 for a credential that is not good: it never counts as none.
 */
export async function identityOf(c: Context<AppEnv<AppDeps>>, bodyToken?: string): Promise<string | null> {
  const deps = c.get("deps");
  const known = c.get("identity");
  if (known === undefined) {
    const bytes = c.get("rawBody");
    const pubkey = await identify(deps, {
      header: c.req.header("x-nostr-token"),
      bodyToken,
      authorization: c.req.header("authorization"),
      method: c.req.method,
      target: targetOf(c.req.raw.url),
      bytes: bytes && bytes.length > 0 ? bytes : null,
    });
    c.set("identity", pubkey);
    return pubkey;
  }
  // A middleware looked at it before, when the body was not read yet.
  if (bodyToken === undefined) return known;
  const named = keyOfToken(deps, bodyToken, deps.clock.now());
  if (known !== null && named !== known) throw identityConflict();
  return named;
}

/** The same, where a key must be shown. @throws {ApiError} 401 */
export async function requireIdentity(c: Context<AppEnv<AppDeps>>, bodyToken?: string): Promise<string> {
  const pubkey = await identityOf(c, bodyToken);
  if (pubkey !== null) return pubkey;
  throw unauthorized(
    "identity_required",
    "Sign in with a Nostr key: POST /api/identity/challenge, then /api/identity/verify, and send X-Nostr-Token.",
  );
}

/**
 * 401 for an `X-Nostr-Token` that is not good, on routes that do not look at it as well: whoever sends one means to be
 * somebody. Signing in again is the way out, so those routes do not mind an old one.
 */
export const refuseBadTokens: MiddlewareHandler<AppEnv<AppDeps>> = async (c, next) => {
  const token = c.req.header("x-nostr-token");
  const { identityTokens, clock } = c.get("deps");
  if (token !== undefined && !UNMINDED.has(c.req.path)) keyOfToken({ identityTokens }, token, clock.now());
  await next();
};

/** Where a token plays no part: signing in again, and the look of a supervisor. */
const UNMINDED: ReadonlySet<string> = new Set([
  "/api/identity/challenge",
  "/api/identity/verify",
  "/api/health",
  "/api/health/ready",
]);

/** Path and query of a request's address, byte for byte: the signed address is compared with it. */
const targetOf = (url: string): string => url.slice(url.indexOf("/", url.indexOf("//") + 2));
