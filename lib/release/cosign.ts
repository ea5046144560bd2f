/**
 * Signatures in a form that cosign takes: ECDSA P-256 in DER over SHA-256, in a Sigstore bundle v0.3 with a message signature and a public
 * key (https://docs.sigstore.dev/about/bundle/). No certificate and no log: nothing is asked over the network.
 */
import { p256 } from "@noble/curves/nist.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { base64Of, bytesOfBase64, Refused } from "./refused.ts";

const MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** SubjectPublicKeyInfo of an uncompressed point on P-256, up to the point (RFC 5480 §2). */
const SPKI = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/** The uncompressed point of a secret key, in hex. */
export const ecdsaPublicOf = (secret: Uint8Array): string => bytesToHex(p256.getPublicKey(secret, false));

/** A public key's file, for `cosign verify-blob --key` and `openssl dgst -verify`. @param point uncompressed, in hex */
export function publicKeyPem(point: string): string {
  const lines = base64Of(hexToBytes(SPKI + point)).match(/.{1,64}/g) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join("\n")}\n-----END PUBLIC KEY-----\n`;
}

/** The text of a bundle over `file`. */
export const signCosign = (secret: Uint8Array, file: Uint8Array): string =>
  bundleOf(ecdsaPublicOf(secret), file, p256.sign(file, secret, { prehash: true, format: "der" }));

/**
 * Checks a bundle that {@link signCosign} made. Every byte counts: another spelling of the same bundle is refused.
 *
 * @param point the uncompressed public key, in hex
 * @throws {Refused}
 */
export function verifyCosign(point: string, file: Uint8Array, text: string): void {
  const signature = bytesOfBase64(/"signature": "([A-Za-z0-9+/=]+)"/.exec(text)?.[1] ?? "");
  if (!signature?.length || text !== bundleOf(point, file, signature)) {
    throw new Refused("bundle", "the bundle is not of this file and key");
  }
  if (!isGood(signature, file, point)) throw new Refused("bundle", "the bundle's signature is not of this file");
}

function isGood(signature: Uint8Array, file: Uint8Array, point: string): boolean {
  try {
    return p256.verify(signature, file, hexToBytes(point), { prehash: true, format: "der", lowS: false });
  } catch {
    return false; // not DER
  }
}

function bundleOf(point: string, file: Uint8Array, signature: Uint8Array): string {
  const bundle = {
    mediaType: MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: base64Of(sha256(hexToBytes(SPKI + point))) } },
    messageSignature: {
      messageDigest: { algorithm: "SHA2_256", digest: base64Of(sha256(file)) },
      signature: base64Of(signature),
    },
  };
  return `${JSON.stringify(bundle, null, 2)}\n`;
}
