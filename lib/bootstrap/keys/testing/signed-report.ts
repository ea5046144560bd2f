import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { toBase64, writeSsh } from "../ssh-wire.ts";

const NONE = new Uint8Array();

/** What a signature says; each part can be given wrong. */
export interface SignatureParts {
  magic: string;
  version: number;
  keyType: string;
  namespace: string;
  reserved: string;
  hash: string;
  signatureType: string;
  /** Changes the 64 bytes. */
  bent(signature: Uint8Array): Uint8Array;
  /** Stands behind the 64 bytes, and behind the whole. */
  inside: Uint8Array;
  behind: Uint8Array;
}

/** The blob of PROTOCOL.sshsig over `body`, by the Ed25519 key of `seed`: valid, but for what `parts` change. */
export function signatureBlob(seed: Uint8Array, body: Uint8Array, parts: Partial<SignatureParts> = {}): Uint8Array {
  const { magic = "SSHSIG", version = 1, keyType = "ssh-ed25519", namespace = "timmy-first-boot", reserved = "" } =
    parts;
  const { hash = "sha512", signatureType = "ssh-ed25519", bent = (bytes) => bytes, inside = NONE, behind = NONE } =
    parts;
  const digest = (hash === "sha256" ? sha256 : sha512)(body);
  const text = (words: string) => new TextEncoder().encode(words);
  const signed = Uint8Array.of(...text("SSHSIG"), ...writeSsh(namespace, reserved, hash, digest));
  const signature = Uint8Array.of(...writeSsh(signatureType, bent(ed25519.sign(signed, seed))), ...inside);
  const key = writeSsh(keyType, ed25519.getPublicKey(seed));
  const start = Uint8Array.of(...text(magic), 0, 0, 0, version);
  return Uint8Array.of(...start, ...writeSsh(key, namespace, reserved, hash, signature), ...behind);
}

/** As `ssh-keygen -Y sign` writes it. */
export const armored = (blob: Uint8Array, width = 70): string => {
  const lines = toBase64(blob).match(new RegExp(`.{1,${width}}`, "g"))!;
  return ["-----BEGIN SSH SIGNATURE-----", ...lines, "-----END SSH SIGNATURE-----", ""].join("\n");
};
