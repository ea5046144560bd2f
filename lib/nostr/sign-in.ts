/**
 * The event that answers a sign-in challenge: `POST /api/identity/verify` (wire.md §3). Whether its nonce was given out here,
 * is not expired and was never used is the caller's to check, last.
 */
import { isPubkey, type NostrEvent, tagValues, verifyObject } from "./event.ts";
import { HTTP_AUTH_KIND } from "./nip98.ts";

export interface SignInRequest {
  /** As the client claims it; the event alone decides. */
  pubkey?: string | undefined;
  /** The `event` of the request body, whatever it is. */
  event: unknown;
  /** Scheme, host and port under which people reach this instance. */
  publicOrigin: string;
  /** Milliseconds since the epoch. */
  now: number;
}

export type SignInFault =
  | "pubkey_malformed"
  | "event_malformed"
  | "pubkey_mismatch"
  | "event_kind"
  | "challenge_missing"
  | "challenge_mismatch"
  | "event_time"
  | "event_origin"
  | "event_id"
  | "event_signature";

type SignIn =
  | { ok: true; pubkey: string; /** 64 hex digits. */ nonce: string }
  | { ok: false; code: SignInFault; message: string };

/** NIP-42: what signers know as "authentication". */
const RELAY_AUTH_KIND = 22_242;
const MAX_SKEW_MS = 5 * 60_000;
const NONCE = /^[0-9a-f]{64}$/;

const MESSAGES: Record<SignInFault, string> = {
  pubkey_malformed: "pubkey must be 64 lower-case hex digits (not an npub).",
  event_malformed: "event is not a Nostr event: exactly the seven fields of NIP-01, signed.",
  pubkey_mismatch: "pubkey is not the key of the event. Leave it out, or send the signer's.",
  event_kind: "The event must be of kind 27235 (or 22242).",
  challenge_missing:
    'The event holds no nonce: put the 64 hex digits in its content or in one ["challenge", nonce] tag.',
  challenge_mismatch: "The event has several challenge tags, or its content is another nonce than its tag.",
  event_time:
    "The event is more than five minutes old or ahead. Check your clock, ask for a new challenge and sign it.",
  event_origin: 'The event was signed for another address: its "u" or "relay" tag is not this server.',
  event_id: "The event was changed after it was signed: its id is not the hash of what it holds.",
  event_signature: "The event's signature does not belong to its public key.",
};

/**
 * Reads the nonce that the event answers, and proves who signed it. Never throws for anything a client sent.
 * Where the specification is silent: both ends of ±5 minutes pass; content that is no nonce is a text for people and is
 * ignored when a tag has the nonce; `u` and `relay` tags are not required, but every one that is there must name our origin.
 * @throws {TypeError} when `publicOrigin` is not a URL.
 */
export function readSignIn(request: SignInRequest): SignIn {
  const ourOrigin = new URL(request.publicOrigin).origin;
  if (request.pubkey !== undefined && !isPubkey(request.pubkey)) return refuse("pubkey_malformed");
  const verified = verifyObject(request.event);
  if (!verified.ok) return refuse(FAULT_OF[verified.reason]);
  const { event } = verified;
  if (request.pubkey !== undefined && request.pubkey !== event.pubkey) return refuse("pubkey_mismatch");
  if (event.kind !== HTTP_AUTH_KIND && event.kind !== RELAY_AUTH_KIND) return refuse("event_kind");
  const challenge = nonceOf(event);
  if (!challenge.ok) return refuse(challenge.code);
  if (Math.abs(event.created_at * 1000 - request.now) > MAX_SKEW_MS) return refuse("event_time");
  if (!isFor(event, ourOrigin)) return refuse("event_origin", ` Sign in at ${ourOrigin}.`);
  return { ok: true, pubkey: event.pubkey, nonce: challenge.nonce };
}

const FAULT_OF = { malformed: "event_malformed", wrong_id: "event_id", bad_signature: "event_signature" } as const;
const refuse = (code: SignInFault, more = ""): SignIn => ({ ok: false, code, message: MESSAGES[code] + more });

function nonceOf(
  event: NostrEvent,
): { ok: true; nonce: string } | { ok: false; code: "challenge_missing" | "challenge_mismatch" } {
  const named = tagValues(event, "challenge");
  const inContent = NONCE.test(event.content) ? event.content : undefined;
  const nonce = named.length === 0 ? inContent : named[0];
  if (nonce === undefined || !NONCE.test(nonce)) return { ok: false, code: "challenge_missing" };
  const agree = named.length <= 1 && (inContent === undefined || inContent === nonce);
  return agree ? { ok: true, nonce } : { ok: false, code: "challenge_mismatch" };
}

/** A website that shows somebody our challenge as its own gets an event that says so, if the signer writes the address in. */
function isFor(event: NostrEvent, ourOrigin: string): boolean {
  const urls = tagValues(event, "u").map((url) => originOf(url, false));
  const relays = tagValues(event, "relay").map((url) => originOf(url, true));
  return [...urls, ...relays].every((origin) => origin === ourOrigin);
}

/** @param relay read `ws` as `http` and `wss` as `https`. @returns null when there is none. */
function originOf(url: string | undefined, relay: boolean): string | null {
  if (url === undefined) return null;
  const http = relay ? url.replace(/^ws(s?):/i, "http$1:") : url;
  return URL.canParse(http) ? new URL(http).origin : null;
}
