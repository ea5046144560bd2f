import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";

/** What the 64 bytes bind together. */
export interface Bound {
  /** 32 bytes of whoever asks: evidence that was made before the question has another. */
  nonce: Uint8Array;
  /** SHA-256 of the program's file, 32 bytes; null when it is unknown. */
  build: Uint8Array | null;
  /** The instance's x-only public key (BIP-340), 32 bytes. */
  instanceKey: Uint8Array;
  /** SHA-256 of the SubjectPublicKeyInfo of its TLS key, 32 bytes; null when there is none. */
  tlsKeyHash: Uint8Array | null;
}

/** In words, for the answer of an instance. */
export const REPORT_DATA_LAYOUT =
  "sha512(nonce[32] | build.sha256[32], zeros when unknown | instanceKey[32] | tlsKeyHash[32], left out when absent)";

/**
 * The 64 bytes that the hardware signs: `sha512(nonce ‖ sha256(build) ‖ instance public key ‖ tls key hash)`. Parts of a fixed length
 * in a fixed order, and only the last one may be missing: no two sets of parts give the same input.
 *
 * | offset | bytes | part |
 * | --- | --- | --- |
 * | 0 | 32 | nonce |
 * | 32 | 32 | build, zeros when unknown |
 * | 64 | 32 | instance key |
 * | 96 | 0 or 32 | TLS key hash |
 *
 * @throws {RangeError} for a part of another length.
 */
export function reportDataOf({ nonce, build, instanceKey, tlsKeyHash }: Bound): Uint8Array {
  const parts = [nonce, build ?? new Uint8Array(32), instanceKey, ...(tlsKeyHash ? [tlsKeyHash] : [])];
  if (parts.some((part) => part.length !== 32)) throw new RangeError("every part of report data has 32 bytes");
  return sha512(concatBytes(...parts));
}

const TAG = sha256(utf8ToBytes("timmy/attestation"));

/**
 * The 32 bytes that the instance's key signs to show that it answers: BIP-340's tagged hash of nonce ‖ report data. Never the nonce
 * itself: the key is a Nostr key too, and whoever chose the id of an event as nonce would get it signed.
 * @param nonce 32 bytes @param reportData 64 bytes
 */
export function bindingMessage(nonce: Uint8Array, reportData: Uint8Array): Uint8Array {
  return sha256(concatBytes(TAG, TAG, nonce, reportData));
}
