/** Signatures over files that `ssh-keygen -Y sign` makes (OpenSSH's PROTOCOL.sshsig), by Ed25519 keys. */
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { parseSshPublicKey } from "./ssh-public-key.ts";
import { fromStrictBase64, readSsh, SshFormatError, toBase64, writeSsh } from "./ssh-wire.ts";

export type SshSignature = {
  ok: true;
  /** Whose signature it is: `ssh-ed25519 base64`. */
  key: string;
} | { ok: false; message: string };

const MAGIC = "SSHSIG";
const VERSION = 1;
const HASHES = { sha256, sha512 } as const;
const MAX_CHARS = 4_096;
const ARMOR = /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n?$/;

/**
 * Checks a signature over `message`. It says which key signed; whether that key may, the caller knows.
 * @param base64 of the file that `ssh-keygen -Y sign` writes, on one line; or of what its armor holds
 * @param namespace exactly what was given to `-n`: a signature made for another purpose is refused
 * @returns never throws for anything a client sent
 */
export function checkSshSignature(base64: string, namespace: string, message: Uint8Array): SshSignature {
  const blob = blobOf(base64);
  if (blob === null) return refuse("it is not the base64 of what ssh-keygen -Y sign writes");
  try {
    return checkBlob(blob, namespace, message);
  } catch (error) {
    if (!(error instanceof SshFormatError)) throw error;
    return refuse(error.message);
  }
}

/** Reads `SSHSIG`, version, key, namespace, reserved, hash, signature, in this order. @throws {SshFormatError} */
function checkBlob(blob: Uint8Array, namespace: string, message: Uint8Array): SshSignature {
  const reader = readSsh(blob);
  if (String.fromCharCode(...reader.take(MAGIC.length)) !== MAGIC) return refuse("it does not begin with SSHSIG");
  if (reader.uint32() !== VERSION) return refuse(`it is not of version ${VERSION}`);
  const key = parseSshPublicKey(`ssh-ed25519 ${toBase64(reader.string())}`);
  if (!key.ok) return refuse("its key is not ssh-ed25519");
  if (reader.name() !== namespace) return refuse(`its namespace is not ${namespace}`);
  const reserved = reader.string();
  const hash = reader.name();
  if (hash !== "sha256" && hash !== "sha512") return refuse("its hash is neither sha512 nor sha256");
  const signature = readSsh(reader.string());
  reader.end();
  if (signature.name() !== "ssh-ed25519") return refuse("it is not an ssh-ed25519 signature");
  const bytes = signature.string();
  signature.end();

  const fields = writeSsh(namespace, reserved, hash, HASHES[hash](message));
  const signed = Uint8Array.of(...new TextEncoder().encode(MAGIC), ...fields);
  const valid = bytes.length === 64 && ed25519.verify(bytes, signed, rawKey(key.key));
  return valid ? { ok: true, key: key.key } : refuse("it does not belong to this body and this key");
}

/** The 32 bytes of an Ed25519 key that was read before. */
const rawKey = (key: string) => fromStrictBase64(key.split(" ")[1]!)!.subarray(-32);

function blobOf(base64: string): Uint8Array | null {
  const file = base64.length > MAX_CHARS ? null : fromStrictBase64(base64);
  const inner = file && ARMOR.exec(String.fromCharCode(...file).replaceAll("\r\n", "\n"))?.[1];
  return inner ? fromStrictBase64(inner.replaceAll("\n", "")) : file;
}

const refuse = (fault: string): SshSignature => ({ ok: false, message: `The signature is refused: ${fault}.` });
