import type { Context } from "hono";
import type { AppDeps } from "@/lib/app-deps.ts";
import type { AppEnv } from "@/lib/app-env.ts";
import { unauthorized } from "@/lib/errors.ts";
import { identify } from "@/lib/identity.ts";

/**
 * The key a request is from, hex, or null: `X-Nostr-Token`, `nostr_token` in the body, or a NIP-98 event. Called once for
 * a request, since a NIP-98 event can be used once.
 * @param bodyToken the body's `nostr_token`, where the contract has one.
 * @throws {ApiError} 401 for a credential that is not good: it never counts as none.
 */
export async function identityOf(c: Context<AppEnv<AppDeps>>, bodyToken?: string): Promise<string | null> {
  const header = c.req.header("x-nostr-token");
  const authorization = c.req.header("authorization");
  const bytes = c.get("rawBody") ?? null;
  return await identify(c.get("deps"), {
    header,
    body: bodyToken,
    authorization,
    method: c.req.method,
    target: targetOf(c.req.raw.url),
    bytes: bytes && bytes.length > 0 ? bytes : null,
  });
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

/** Path and query of a request's address, byte for byte: the signed address is compared with it. */
const targetOf = (url: string): string => url.slice(url.indexOf("/", url.indexOf("//") + 2));
