/** A minisign secret key's file, with a password or without, and the second key that is made of it. */
import { scryptSync } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { blake2b } from "@noble/hashes/blake2.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { equalBytes } from "@noble/curves/utils.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import type { MinisignSecretKey } from "./minisign.ts";
import { bytesOfBase64 } from "./refused.ts";

/** A secret key cannot be used; the message says what to do. */
export class SecretKeyError extends Error {
  override name = "SecretKeyError";
}

/**
 * Reads what `minisign -G` wrote. Layout: algorithm 2, derivation 2, checksum's algorithm 2, salt 32, operations 8, memory 8, and key
 * id 8, secret key 64 and checksum 32, these three xor-ed with the password's scrypt when there is one.
 *
 * @param password null when none is known
 * @throws {SecretKeyError}
 */
export function readSecretKey(text: string, password: string | null): MinisignSecretKey {
  const bytes = bytesOfBase64(text.split("\n")[1]?.trim() ?? "");
  if (bytes?.length !== 158) {
    throw new SecretKeyError("the file is not a secret key of minisign (minisign -G makes one)");
  }
  const [derivation, salt, body] = [bytes.subarray(2, 4), bytes.subarray(6, 38), bytes.slice(54)];
  if (equalBytes(derivation, utf8ToBytes("Sc"))) {
    if (password === null) throw new SecretKeyError("the secret key has a password: set TIMMY_RELEASE_KEY_PASSWORD");
    const limits = new DataView(bytes.buffer, 38, 16);
    const stream = derived(password, salt, Number(limits.getBigUint64(0, true)), Number(limits.getBigUint64(8, true)));
    body.forEach((byte, i) => body[i] = byte ^ stream[i]!);
  }
  const [id, seed, key, sum] = [body.slice(0, 8), body.slice(8, 40), body.slice(40, 72), body.slice(72)];
  // Without a password minisign writes no checksum.
  const bare = equalBytes(derivation, new Uint8Array(2));
  const right = bare ? new Uint8Array(32) : blake2b(concatBytes(bytes.subarray(0, 2), id, seed, key), { dkLen: 32 });
  if (!equalBytes(ed25519.getPublicKey(seed), key) || !equalBytes(sum, right)) {
    throw new SecretKeyError("the secret key is damaged, or its password is another one");
  }
  return { id, seed };
}

/** scrypt with N and p chosen from libsodium's limits (`crypto_pwhash_scryptsalsa208sha256`). */
function derived(password: string, salt: Uint8Array, operations: number, memory: number): Uint8Array {
  const r = 8;
  const bounded = Math.max(operations, 32_768);
  const little = bounded < memory / 32;
  const most = little ? bounded / (r * 4) : memory / (r * 128);
  const log2 = Math.floor(Math.log2(most / 2)) + 1;
  if (log2 < 1 || log2 > 24) throw new SecretKeyError("the secret key asks for more memory than minisign ever does");
  const N = 2 ** log2;
  const p = little ? 1 : Math.max(1, Math.floor(bounded / 4 / N / r));
  return scryptSync(password, salt, 104, { N, r, p, maxmem: 256 * N * r + 1_000_000 });
}

/** The ECDSA P-256 key that signs beside a minisign key: made of its seed, so that one file is kept and one is lost. */
export const ecdsaSecretOf = ({ seed }: MinisignSecretKey): Uint8Array =>
  p256.utils.randomSecretKey(hkdf(sha256, seed, undefined, utf8ToBytes("timmy release ECDSA P-256"), 48));
