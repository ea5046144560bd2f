import { p256, p384 } from "@noble/curves/nist.js";

export type Scheme = "p256-sha256" | "p384-sha384" | "rsa-pss-sha384";

/**
 * Whether a signature fits. A parameter of the verifiers, so that a run over all flipped bits can remember what it has checked.
 * @param key of a curve the point `04 ‖ x ‖ y`, of RSA the SubjectPublicKeyInfo in DER
 * @param signature of a curve r ‖ s, each of full length and big endian
 */
export type CheckSignature = (
  scheme: Scheme,
  key: Uint8Array,
  signature: Uint8Array,
  message: Uint8Array,
) => Promise<boolean>;

/** Hardware and vendors make s above and below half of the order alike (BIP-62's rule is Bitcoin's own). */
const ECDSA = { lowS: false, prehash: true } as const;
const RSA = { name: "RSA-PSS", hash: "SHA-384" } as const;
const PSS = { name: "RSA-PSS", saltLength: 48 } as const;

export const checkSignature: CheckSignature = async (scheme, key, signature, message) => {
  try {
    if (scheme === "p256-sha256") return p256.verify(signature, message, key, ECDSA);
    if (scheme === "p384-sha384") return p384.verify(signature, message, key, ECDSA);
    const imported = await crypto.subtle.importKey("spki", own(key), RSA, false, ["verify"]);
    return await crypto.subtle.verify(PSS, imported, own(signature), own(message));
  } catch {
    // Thrown for a point that is not on the curve, for r or s out of range, and for a key that is none: no signature either.
    return false;
  }
};

/** A copy on a buffer of its own: WebCrypto's types take no other. */
const own = (bytes: Uint8Array) => new Uint8Array(bytes);
