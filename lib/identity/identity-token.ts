/**
 * Tokens that say who somebody is after they signed in (wire.md §3): stateless, so nothing is stored and nothing is looked
 * up. They cannot be revoked one by one; they expire, and all of them end when their secret is taken out.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { equalText } from "@/lib/ids.ts";

export interface IdentityTokens {
  /**
   * @param pubkey 64 lower-case hex digits. @param now ms since the epoch.
   * @returns `expiresAt` in ms: the first at which the token is refused. @throws {TypeError} when `pubkey` is none.
   */
  issue(pubkey: string, now: number): { token: string; expiresAt: number };
  /**
   * Never throws, whatever the text. `bad_signature`: changed, of another instance, or its secret is no longer among ours.
   * `expired` is said only of a token that was ours.
   */
  verify(token: string, now: number): VerifiedToken;
}

type VerifiedToken =
  | { ok: true; pubkey: string; expiresAt: number }
  | { ok: false; code: "malformed" | "expired" | "bad_signature" };

interface Key {
  id: string;
  secret: Uint8Array;
}

/** `t1.<key id>.<public key>.<expiry, ms>.<mac>`; one way only to write each part, so one text for each token. */
const TOKEN = /^(t1\.([0-9a-f]{8})\.([0-9a-f]{64})\.([1-9]\d{0,15}))\.([0-9a-f]{64})$/;
const PUBKEY = /^[0-9a-f]{64}$/;

/**
 * HMAC-SHA256 over version, instance and claims.
 * @param options.secrets newest first, at least 32 bytes each: the first signs, all verify. To rotate, put a new one in front,
 *   and take the old one out when its tokens have expired, or at once when it is known to others.
 * @param options.instance the public origin: a token of another instance is refused even under the same secret.
 * @param options.ttlMs how long a token is good, in ms.
 * @throws {Error} when a secret is too short, there is none, or `ttlMs` is not a positive whole number.
 */
export function createIdentityTokens(options: {
  secrets: readonly Uint8Array[];
  instance: string;
  ttlMs: number;
}): IdentityTokens {
  const { instance, ttlMs } = options;
  if (!Number.isSafeInteger(ttlMs) || ttlMs <= 0) {
    throw new Error("the lifetime of a token must be a positive whole number");
  }
  const keys = options.secrets.map(keyOf);
  const [newest] = keys;
  if (newest === undefined) throw new Error("identity tokens need at least one secret");
  // The claims have a fixed form and stand before the instance, which may hold anything: no two sets give one text.
  const mac = (key: Key, claims: string) =>
    bytesToHex(hmac(sha256, key.secret, utf8ToBytes(`timmy identity token\n${claims}\n${instance}`)));
  return {
    issue(pubkey, now) {
      if (!PUBKEY.test(pubkey)) throw new TypeError("a token needs a public key of 64 lower-case hex digits");
      const expiresAt = Math.floor(now) + ttlMs;
      const claims = `t1.${newest.id}.${pubkey}.${expiresAt}`;
      return { token: `${claims}.${mac(newest, claims)}`, expiresAt };
    },
    verify(token, now) {
      const match = TOKEN.exec(token);
      if (!match) return { ok: false, code: "malformed" };
      const [, claims, keyId, pubkey, expiry, given] = match as unknown as [
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      const ours = keys.filter((key) => key.id === keyId).some((key) => equalText(mac(key, claims), given));
      if (!ours) return { ok: false, code: "bad_signature" };
      const expiresAt = Number(expiry);
      return now < expiresAt ? { ok: true, pubkey, expiresAt } : { ok: false, code: "expired" };
    },
  };
}

/** The key's id says which secret signed, and nothing about the secret. */
function keyOf(secret: Uint8Array): Key {
  if (secret.length < 32) throw new Error("a secret of identity tokens must have at least 32 bytes");
  const id = bytesToHex(hmac(sha256, secret, utf8ToBytes("timmy identity key id"))).slice(0, 8);
  return { id, secret: secret.slice() };
}
