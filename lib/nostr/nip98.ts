/**
 * NIP-98: one HTTP request authorised by one signed event in `Authorization: Nostr <base64>` (wire.md §3).
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { parseEvent, tagValues, verifyFresh } from "./event.ts";

export interface Nip98Request {
  /** The whole `Authorization` value. */
  header: string;
  /** As HTTP has it: in capitals for the usual ones. */
  method: string;
  /** Absolute: the configured public origin, then path and query as they arrived. Never the Host header. */
  url: string;
  /** The raw bytes; null, or none, when there is no body. */
  body: Uint8Array | null;
  /** Milliseconds since the epoch. */
  now: number;
}

export type Nip98Fault =
  | "nip98_malformed"
  | "nip98_kind"
  | "nip98_tags"
  | "nip98_time"
  | "nip98_method"
  | "nip98_url"
  | "nip98_payload"
  | "nip98_id"
  | "nip98_signature";

export type Nip98Result =
  | {
    ok: true;
    pubkey: string;
    /** The caller refuses an id it has seen: that check comes last. */
    eventId: string;
    /** The first millisecond at which the event is refused for its age: its id must be remembered until then. */
    validUntil: number;
  }
  | { ok: false; code: Nip98Fault; message: string };

/** RFC 7235, and the kind NIP-98 took from it. */
export const HTTP_AUTH_KIND = 27_235;
const MAX_SKEW_MS = 60_000;
/** The scheme's name is read as HTTP reads it, in any case; both base64 alphabets, padded or not, as with L402. */
const HEADER = /^nostr +([\w+/-]+)={0,2}$/i;

const MESSAGES: Record<Nip98Fault, string> = {
  nip98_malformed:
    'The Authorization header is not "Nostr " and the base64 of one Nostr event in JSON. Sign the request again.',
  nip98_kind: "The event that signs this request is not of kind 27235.",
  nip98_tags:
    'The event that signs this request must have exactly one "u" and one "method" tag, and at most one "payload".',
  nip98_time:
    "The event that signs this request is more than 60 seconds old or ahead. Check your clock and sign it again.",
  nip98_method: 'The "method" tag is not the method of this request.',
  nip98_url:
    'The "u" tag is not the absolute URL of this request, with its query, at the public address of this server',
  nip98_payload: 'The "payload" tag must be the SHA-256 of the request body, as 64 hex digits.',
  nip98_id: "The event was changed after it was signed: its id is not the hash of what it holds.",
  nip98_signature: "The event's signature does not belong to its public key.",
};

/**
 * Checks everything but single use. The signature comes last, so that an old event sent over and over costs little.
 * Where NIP-98 is silent: `content` and unknown tags are ignored; a `payload` is required for a body of at least one byte and
 * never wrong (without a body: the hash of nothing); both ends of ±60 s pass; `u`, see {@link namesUrl}.
 * @returns the fault in words for the caller, who answers 401. Never throws for anything a client sent.
 * @throws {TypeError} when the origin in `url` is none: a mistake in the configuration.
 */
export function checkNip98(request: Nip98Request): Nip98Result {
  const json = textOf(request.header);
  const event = json === null ? null : parseEvent(json);
  if (json === null || event === null) return refuse("nip98_malformed");
  if (event.kind !== HTTP_AUTH_KIND) return refuse("nip98_kind");
  const urls = tagValues(event, "u");
  const methods = tagValues(event, "method");
  const payloads = tagValues(event, "payload");
  if (urls.length !== 1 || methods.length !== 1 || payloads.length > 1) return refuse("nip98_tags");
  const createdAt = event.created_at * 1000;
  if (Math.abs(createdAt - request.now) > MAX_SKEW_MS) return refuse("nip98_time");
  if (methods[0]?.toUpperCase() !== request.method.toUpperCase()) return refuse("nip98_method");
  if (!namesUrl(urls[0] ?? "", request.url)) return refuse("nip98_url", `: ${new URL(request.url).origin}.`);
  if (!payloadFits(payloads, request.body ?? new Uint8Array())) return refuse("nip98_payload");
  const verified = verifyFresh(json);
  if (!verified.ok) return refuse(FAULT_OF[verified.reason]);
  return { ok: true, pubkey: event.pubkey, eventId: event.id, validUntil: createdAt + MAX_SKEW_MS + 1 };
}

const FAULT_OF = { malformed: "nip98_malformed", wrong_id: "nip98_id", bad_signature: "nip98_signature" } as const;
const refuse = (code: Nip98Fault, more = ""): Nip98Result => ({ ok: false, code, message: MESSAGES[code] + more });

/**
 * Whether `u` names this URL: letter for letter as it arrived (its origin in the canonical form), or as a browser would have
 * sent `u` (WHATWG: host in lower case, no default port, `/` for no path, blanks and umlauts escaped). A slash at the end, the
 * order of the query and how something is escaped all matter; a fragment or a user name never fits. Only `u` is brought into
 * that form: the path that arrived is not tidied up, since it is routed as it is (`/a/../b` is not `/b`).
 */
function namesUrl(u: string, url: string): boolean {
  const here = url.replace(/^[^/]*\/\/[^/?#]*/, (origin) => new URL(origin).origin);
  if (u === here) return true;
  // The parser would strip blanks around and line breaks inside, and read a backslash as a slash.
  return /^https?:\/\/[^\\\p{Cc}]*[^\\\p{Cc} ]$/iu.test(u) && URL.canParse(u) && new URL(u).href === here;
}

function payloadFits(payloads: (string | undefined)[], body: Uint8Array): boolean {
  if (payloads.length === 0) return body.length === 0;
  return payloads[0]?.toLowerCase() === bytesToHex(sha256(body));
}

/** The JSON in the header, or null. */
function textOf(header: string): string | null {
  const base64 = HEADER.exec(header)?.[1];
  if (base64 === undefined) return null;
  try {
    const binary = atob(base64.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
