/** What a caller presents in `Authorization` (wire.md §2). Pure; nothing here says whether it is good. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { equalText } from "@/lib/ids.ts";
import { MAX_MACAROON_BYTES } from "./macaroon.ts";

export type Credential =
  /** Nothing, or a scheme that is somebody else's to judge (`Nostr`, NIP-98). */
  | { kind: "none" }
  /** Something that cannot be a credential of ours. The message tells people what to send and repeats nothing of it. */
  | { kind: "malformed"; message: string }
  /** `macaroon` is base64 as it was sent, not decoded yet; `preimage` 64 lower-case hex digits, or null when none was sent. */
  | { kind: "l402"; macaroon: string; preimage: string | null };

const MAX_CREDENTIAL_CHARS = Math.ceil(MAX_MACAROON_BYTES / 3) * 4 + ":".length + 64;
const CREDENTIAL = /^([A-Za-z0-9+/_-]+={0,2})(?::([0-9a-f]{64}))?$/i;
const PREIMAGE = /^[0-9a-f]{64}$/i;

/**
 * Reads an `Authorization` header: `L402 <macaroon>:<preimage>`, `LSAT` the same, `Bearer <macaroon>:<preimage>` or
 * `Bearer <macaroon>`. The scheme's case does not matter (RFC 9110 §11.1), nor that of the hex digits.
 * A scheme nobody here knows is malformed rather than none: its sender meant to be someone, and must not pass as nobody.
 */
export function parseAuthorization(header: string | undefined): Credential {
  const trimmed = header?.trim() ?? "";
  if (trimmed === "") return { kind: "none" };
  // Also how several Authorization lines arrive. No credential of ours, nor a NIP-98 event in base64, holds a comma.
  if (trimmed.includes(",")) return malformed("Send one credential with one macaroon in the Authorization header.");
  const [scheme = "", credential = "", ...more] = trimmed.split(/ +/);
  const bearer = equalScheme(scheme, "Bearer");
  if (equalScheme(scheme, "Nostr")) return { kind: "none" };
  if (!bearer && !equalScheme(scheme, "L402") && !equalScheme(scheme, "LSAT")) {
    return malformed(`The Authorization scheme is not one of L402, LSAT, Bearer and Nostr. ${BEARER_FORM}`);
  }
  const match = credential.length <= MAX_CREDENTIAL_CHARS && more.length === 0 ? CREDENTIAL.exec(credential) : null;
  const macaroon = match?.[1];
  const preimage = match?.[2]?.toLowerCase() ?? null;
  if (macaroon === undefined || (preimage === null && !bearer)) return malformed(bearer ? BEARER_FORM : L402_FORM);
  return { kind: "l402", macaroon, preimage };
}

/** Whether SHA-256 of the preimage is the payment hash (both 64 hex digits, any case; anything else is false). Constant-time. */
export function preimageMatches(preimageHex: string, paymentHashHex: string): boolean {
  if (!PREIMAGE.test(preimageHex)) return false;
  return equalText(bytesToHex(sha256(hexToBytes(preimageHex))), paymentHashHex.toLowerCase());
}

const L402_FORM =
  "Send the macaroon in base64 and the payment's preimage as 64 hex digits: L402 <macaroon>:<preimage>.";
const BEARER_FORM = "Send Bearer <macaroon>, or Bearer <macaroon>:<preimage> with the preimage as 64 hex digits.";

const malformed = (message: string): Credential => ({ kind: "malformed", message });
const equalScheme = (given: string, name: string): boolean => given.toLowerCase() === name.toLowerCase();
