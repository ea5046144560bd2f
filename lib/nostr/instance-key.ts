/** The instance's own key: a Nostr key (BIP-340 on secp256k1), which signs what the instance stands for. */
import { schnorr } from "@noble/curves/secp256k1.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { decode } from "nostr-tools/nip19";

export interface InstanceKey {
  /** x-only, 64 lower-case hex digits. */
  readonly publicKey: string;
  /** BIP-340 signature of 32 bytes, 128 hex digits. Only of a hash made here: whoever chooses the bytes gets an event signed. */
  sign(message32: Uint8Array): string;
}

/** @param secret 32 bytes, from the instance's key file or its settings. @throws for one that is no secp256k1 key. */
export function createInstanceKey(secret: Uint8Array): InstanceKey {
  const publicKey = bytesToHex(schnorr.getPublicKey(secret));
  return {
    publicKey,
    sign(message32) {
      if (message32.length !== 32) throw new RangeError("a message of 32 bytes is signed");
      return bytesToHex(schnorr.sign(message32, secret));
    },
  };
}

/** The 32 bytes of a private key in hex or as `nsec1…` (NIP-19); null for anything else. */
export function parsePrivateKey(text: string): Uint8Array | null {
  try {
    const secret = text.startsWith("nsec1") ? decode(text as `nsec1${string}`).data : hexToBytes(text);
    if (!(secret instanceof Uint8Array)) return null;
    schnorr.getPublicKey(secret);
    return secret;
  } catch {
    return null;
  }
}
