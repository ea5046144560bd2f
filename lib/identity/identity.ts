/** Who is asking: Nostr keys as identities (wire.md §1, §3). */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import type { Clock } from "@/lib/clock.ts";
import { equalText, type Random } from "@/lib/ids.ts";
import type { Key, Store, Tx, Versioned } from "@/lib/store/store.ts";
import { checkNip98 } from "@/lib/nostr/nip98.ts";
import type { IdentityTokens } from "./identity-token.ts";
import { setExpiring } from "@/lib/tasks/expiring.ts";

/** How long a sign-in challenge can be answered (ms). */
export const CHALLENGE_MS = 5 * 60_000;
/** Ids of used events are remembered this much longer than they could be used, for a clock that is set back (ms). */
const SEEN_MARGIN_MS = 10 * 60_000;

// ---- sign-in challenges --------------------------------------------------------------------------------------------

const EXPIRY_BYTES = 4; // seconds since the epoch, good until 2106
const RANDOM_BYTES = 12;
const MAC_BYTES = 16;

/**
 * A nonce for a sign-in: 32 bytes, 64 hex digits. It carries its own expiry and a mac, bound to this origin, so nothing is
 * stored until somebody answers it, and asking for a million of them costs nobody anything.
 */
export function newChallenge(
  deps: { random: Random; signInSecret: Uint8Array; publicOrigin: string },
  now: number,
): { nonce: string; expiresAt: number } {
  const expiresAt = Math.floor((now + CHALLENGE_MS) / 1_000) * 1_000;
  const head = new Uint8Array(EXPIRY_BYTES + RANDOM_BYTES);
  new DataView(head.buffer).setUint32(0, expiresAt / 1_000);
  head.set(deps.random.bytes(RANDOM_BYTES), EXPIRY_BYTES);
  return { nonce: bytesToHex(head) + challengeMac(deps, head), expiresAt };
}

function challengeMac(deps: { signInSecret: Uint8Array; publicOrigin: string }, head: Uint8Array): string {
  const text = utf8ToBytes(`timmy sign-in\n${deps.publicOrigin}\n${bytesToHex(head)}`);
  return bytesToHex(hmac(sha256, deps.signInSecret, text).subarray(0, MAC_BYTES));
}

/**
 * Whether a nonce (64 lower-case hex digits) is one of ours and still good. Whether it was used before, {@link useOnce} says.
 * @returns when it expires (ms), or why it is refused.
 */
export function checkChallenge(
  deps: { signInSecret: Uint8Array; publicOrigin: string },
  nonce: string,
  now: number,
): { ok: true; expiresAt: number } | { ok: false; reason: "unknown" | "expired" } {
  const at = 2 * (EXPIRY_BYTES + RANDOM_BYTES);
  const head = hexToBytes(nonce.slice(0, at));
  if (!equalText(challengeMac(deps, head), nonce.slice(at))) return { ok: false, reason: "unknown" };
  const expiresAt = new DataView(head.buffer).getUint32(0) * 1_000;
  return now < expiresAt ? { ok: true, expiresAt } : { ok: false, reason: "expired" };
}

// ---- single use ----------------------------------------------------------------------------------------------------

const usedKey = (kind: string, id: string): Key => ["used", kind, id];

/**
 * Marks a nonce or an event as used. @param until ms since the epoch; from then on it is refused for its age anyway.
 * @returns false when it was used before; nothing is written then.
 */
export async function useOnce(tx: Tx, kind: "challenge" | "event", id: string, until: number): Promise<boolean> {
  const key = usedKey(kind, id);
  if (await tx.get<Versioned>(key)) return false;
  await setExpiring(tx, key, { v: 1 }, until + SEEN_MARGIN_MS);
  return true;
}

// ---- credentials ---------------------------------------------------------------------------------------------------

/** What a request says about who sends it. */
export interface IdentityCredentials {
  /** `X-Nostr-Token`. */
  header: string | undefined;
  /** `nostr_token` of the body, where the contract has one. */
  bodyToken?: string | undefined;
  /** `Authorization: Nostr …` (NIP-98); any other scheme is not for this. */
  authorization: string | undefined;
  method: string;
  /** Path and query as they arrived. */
  target: string;
  /** The raw body; null: there is none. */
  bytes: Uint8Array | null;
}

interface IdentityDeps {
  store: Store;
  clock: Clock;
  identityTokens: IdentityTokens;
  settings: { publicOrigin: string };
}

/** A credential that was shown and is not good. The message is for whoever sent it and holds nothing of it. */
export class IdentityError extends Error {
  override name = "IdentityError";
  /** @param code stable: what programs compare. */
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

/**
 * The key that a request is from, hex; null when it shows none. In this order:
 * 1. tokens, which cost a hash: a wrong or expired one is refused, never "anonymous", or a typing error would be served to
 *    nobody and charged in full;
 * 2. a signed event (NIP-98), which costs a signature check;
 * 3. all of them name one key;
 * 4. that the event was not used before, last: only a good one is worth a row.
 * @throws {IdentityError}
 */
export async function identify(deps: IdentityDeps, given: IdentityCredentials): Promise<string | null> {
  const { store, clock, settings } = deps;
  const now = clock.now();
  const keys = new Set<string>();
  for (const token of [given.header, given.bodyToken]) {
    if (token !== undefined) keys.add(keyOfToken(deps, token, now));
  }
  const signed = isNostr(given.authorization)
    ? checkNip98({
      header: given.authorization,
      method: given.method,
      url: settings.publicOrigin + given.target,
      body: given.bytes,
      now,
    })
    : null;
  if (signed && !signed.ok) throw new IdentityError(signed.code, signed.message);
  if (signed) keys.add(signed.pubkey);
  if (keys.size > 1) throw identityConflict();
  if (signed) {
    const fresh = await store.transact((tx) => useOnce(tx, "event", signed.eventId, signed.validUntil));
    if (!fresh) {
      throw new IdentityError(
        "nip98_replayed",
        "This event was used before. Sign a new one; a random nonce tag keeps ids apart.",
      );
    }
  }
  return keys.values().next().value ?? null;
}

export const identityConflict = () =>
  new IdentityError("identity_conflict", "The request names two different keys. Send one of them.");

/** The key a token stands for. @throws {IdentityError} */
export function keyOfToken(deps: Pick<IdentityDeps, "identityTokens">, token: string, now: number): string {
  const verified = deps.identityTokens.verify(token, now);
  if (verified.ok) return verified.pubkey;
  throw verified.code === "expired"
    ? new IdentityError("identity_expired", "The nostr_token has expired. Sign in again.")
    : new IdentityError("identity_invalid", "The nostr_token is not valid here. Sign in again, or leave it out.");
}

/**
 * Whether somebody meant to sign the request: also with nothing behind the scheme, or in one of several Authorization lines,
 * which arrive joined by commas. Those are no NIP-98, and are refused as such; they must not pass as nobody's.
 */
const isNostr = (authorization: string | undefined): authorization is string =>
  authorization !== undefined && /(?:^|,)\s*nostr(?:[\s,]|$)/i.test(authorization);
