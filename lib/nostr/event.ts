/**
 * Nostr events as they arrive from strangers (NIP-01). Only JSON text is taken: nostr-tools remembers "verified" under a
 * symbol on the object, a spread copies it, and a changed copy would then pass. Text holds no symbols.
 */
import { getEventHash, verifyEvent } from "nostr-tools/pure";

/** The seven fields of NIP-01 and no others. */
export interface NostrEvent {
  /** SHA-256 of the canonical form, 64 lower-case hex digits. */
  id: string;
  /** x-only public key, 64 lower-case hex digits. */
  pubkey: string;
  /** Seconds since the epoch. */
  created_at: number;
  /** 0 to 65,535. */
  kind: number;
  tags: string[][];
  content: string;
  /** BIP-340 Schnorr signature of the id, 128 lower-case hex digits. */
  sig: string;
}

type VerifiedEvent = { ok: true; event: NostrEvent } | { ok: false; reason: EventFault };
/** `malformed`: no event at all. `wrong_id`: changed after it was signed. `bad_signature`: not signed by its key. */
type EventFault = "malformed" | "wrong_id" | "bad_signature";

/** What signs in or authorises a request is far smaller. */
const MAX_BYTES = 16_384;
const MAX_TAGS = 100;
const FIELDS = ["content", "created_at", "id", "kind", "pubkey", "sig", "tags"].join();
const HEX_64 = /^[0-9a-f]{64}$/;
const HEX_128 = /^[0-9a-f]{128}$/;

/**
 * The event that a JSON text holds, unverified. Strict: exactly the seven fields, at most 16 KiB of UTF-8 and 100 tags,
 * every tag with a name, no half of a surrogate pair (UTF-8, and so the id, has none).
 * @returns null when it is anything else. Never throws.
 */
export function parseEvent(json: string): NostrEvent | null {
  if (new TextEncoder().encode(json).length > MAX_BYTES) return null;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  return isEvent(value) ? value : null;
}

/** Parses the text by itself, computes the id again and checks the signature. Never throws. */
export function verifyFresh(json: string): VerifiedEvent {
  const event = parseEvent(json);
  if (event === null) return { ok: false, reason: "malformed" };
  if (getEventHash(event) !== event.id) return { ok: false, reason: "wrong_id" };
  // A copy is verified, so that the "verified" mark of nostr-tools never leaves this function.
  return verifyEvent({ ...event }) ? { ok: true, event } : { ok: false, reason: "bad_signature" };
}

/** {@link verifyFresh} for a value that was parsed already: it goes through text again. Never throws. */
export function verifyObject(value: unknown): VerifiedEvent {
  const json = textOf(value);
  return json === null ? { ok: false, reason: "malformed" } : verifyFresh(json);
}

/** The values of all tags of this name, in order; undefined where a tag has a name only. */
export function tagValues(event: NostrEvent, name: string): (string | undefined)[] {
  return event.tags.filter((tag) => tag[0] === name).map((tag) => tag[1]);
}

/** True for what has the form of a public key; not every such number lies on the curve. */
export const isPubkey = (text: string): boolean => HEX_64.test(text);

/** JSON of a value; null when it has none (cycles, functions, numbers too large for it). */
function textOf(value: unknown): string | null {
  try {
    return (JSON.stringify(value) as string | undefined) ?? null;
  } catch {
    return null;
  }
}

function isEvent(value: unknown): value is NostrEvent {
  if (typeof value !== "object" || value === null || Object.keys(value).sort().join() !== FIELDS) return false;
  const { id, pubkey, created_at, kind, tags, content, sig } = value as Record<keyof NostrEvent, unknown>;
  return isHex(id, HEX_64) && isHex(pubkey, HEX_64) && isHex(sig, HEX_128) &&
    isWhole(created_at, Number.MAX_SAFE_INTEGER) && isWhole(kind, 65_535) && isText(content) &&
    Array.isArray(tags) && tags.length <= MAX_TAGS && tags.every(isTag);
}

const isHex = (value: unknown, pattern: RegExp) => typeof value === "string" && pattern.test(value);
const isWhole = (value: unknown, max: number) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= max;
const isText = (value: unknown) => typeof value === "string" && value.isWellFormed();
const isTag = (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isText);
