import { ed25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import type { SshKeyType } from "../ssh-public-key.ts";
import { toBase64, writeSsh } from "../ssh-wire.ts";

const random = createSeededRandom(7);
export const ED25519_KEY = ed25519.getPublicKey(random.bytes(32));
const pointOf = (curve: typeof p256) =>
  curve.getPublicKey(curve.utils.randomSecretKey(random.bytes(curve.lengths.seed!)), false);
export const P256_KEY = pointOf(p256);

/** An odd number of so many bits with a zero byte before it, as SSH writes one whose first bit is set. No product of two primes. */
export function modulus(bits: number): Uint8Array {
  const number = random.bytes(Math.ceil(bits / 8) + 1);
  number[0] = 0;
  const spare = (8 - (bits % 8)) % 8;
  number[1] = (number[1]! >> spare) | (0x80 >> spare);
  number[number.length - 1]! |= 1;
  return spare === 0 ? number : number.subarray(1);
}

/** A line of `type` whose blob holds these fields after its type. */
export const lineOf = (type: string, ...fields: (string | Uint8Array)[]) =>
  `${type} ${toBase64(writeSsh(type, ...fields))}`;

export const F4 = Uint8Array.of(1, 0, 1);

/** One good line of each type, without a comment. */
export const sampleKeys = (): Record<SshKeyType, string> => ({
  "ssh-ed25519": lineOf("ssh-ed25519", ED25519_KEY),
  "ssh-rsa": lineOf("ssh-rsa", F4, modulus(3072)),
  "ecdsa-sha2-nistp256": lineOf("ecdsa-sha2-nistp256", "nistp256", P256_KEY),
  "ecdsa-sha2-nistp384": lineOf("ecdsa-sha2-nistp384", "nistp384", pointOf(p384)),
  "ecdsa-sha2-nistp521": lineOf("ecdsa-sha2-nistp521", "nistp521", pointOf(p521)),
  "sk-ssh-ed25519@openssh.com": lineOf("sk-ssh-ed25519@openssh.com", ED25519_KEY, "ssh:"),
  "sk-ecdsa-sha2-nistp256@openssh.com": lineOf("sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", P256_KEY, "ssh:"),
});
