/**
 * Signatures as minisign makes and takes them (https://jedisct1.github.io/minisign/, "Signature format"): Ed25519 over BLAKE2b-512 of
 * the file (`ED`), and over that signature and the trusted comment. The older form over the whole file (`Ed`) is refused: nothing needs it.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { blake2b } from "@noble/hashes/blake2.js";
import { equalBytes } from "@noble/curves/utils.js";
import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { base64Of, bytesOfBase64, Refused } from "./refused.ts";

export interface MinisignPublicKey {
  /** 8 bytes that signatures name their key by; chosen at random, no proof of anything. */
  id: Uint8Array;
  key: Uint8Array;
}
export interface MinisignSecretKey {
  id: Uint8Array;
  /** Ed25519 seed, 32 bytes. */
  seed: Uint8Array;
}

const PREHASHED = utf8ToBytes("ED");
const LEGACY = utf8ToBytes("Ed");
const UNTRUSTED = "untrusted comment: ";
const TRUSTED = "trusted comment: ";
/** No key signs the first line, so only these are taken: a line that anybody may change is a place to deceive a reader. */
const FIRST_LINES = ["signature from minisign secret key", "signature of a timmy release"] as const;

/** A key's id as minisign prints it: a little-endian number in hex, without leading zeros. */
export const keyIdOf = ({ id }: { id: Uint8Array }): string =>
  bytesToHex(id.toReversed()).toUpperCase().replace(/^0+(?=.)/, "");

export const publicKeyOf = ({ id, seed }: MinisignSecretKey): MinisignPublicKey => ({
  id,
  key: ed25519.getPublicKey(seed),
});

/** `RW…`, which is what `minisign -P` takes. */
export const writePublicKey = ({ id, key }: MinisignPublicKey): string => base64Of(concatBytes(LEGACY, id, key));

/** The file that `minisign -p` takes. */
export const publicKeyFile = (key: MinisignPublicKey): string =>
  `${UNTRUSTED}minisign public key ${keyIdOf(key)}\n${writePublicKey(key)}\n`;

/** @param text `RW…`. @throws {Refused} */
export function readPublicKey(text: string): MinisignPublicKey {
  const bytes = bytesOfBase64(text);
  if (bytes?.length !== 42 || !equalBytes(bytes.subarray(0, 2), LEGACY)) {
    throw new Refused("public-key", "not a minisign public key (RW…)");
  }
  return { id: bytes.slice(2, 10), key: bytes.slice(10) };
}

/** The text of a `.minisig` file. @param comment one line, signed with the file. */
export function signMinisign(secret: MinisignSecretKey, file: Uint8Array, comment: string): string {
  if (!isOneLine(comment)) throw new Error("a trusted comment is one line of printable text");
  const signature = ed25519.sign(blake2b(file, { dkLen: 64 }), secret.seed);
  const both = ed25519.sign(concatBytes(signature, utf8ToBytes(comment)), secret.seed);
  return textOf(FIRST_LINES[1], concatBytes(PREHASHED, secret.id, signature), comment, both);
}

/**
 * The key that signed, and the trusted comment. Every byte of the text counts: one that minisign would forgive is refused here.
 *
 * @param text of the `.minisig` file
 * @throws {Refused}
 */
export function verifyMinisign<K extends MinisignPublicKey>(
  keys: readonly K[],
  file: Uint8Array,
  text: string,
): { key: K; comment: string } {
  const lines = text.split("\n");
  const [first = "", second = "", third = "", fourth = ""] = lines;
  const [body, both] = [bytesOfBase64(second), bytesOfBase64(fourth)];
  const [untrusted, comment] = [first.slice(UNTRUSTED.length), third.slice(TRUSTED.length)];
  if (body?.length !== 74 || both?.length !== 64 || text !== textOf(untrusted, body, comment, both)) {
    throw new Refused("signature", "the signature is not one that minisign made");
  }
  if (!FIRST_LINES.some((line) => line === untrusted) || !isOneLine(comment)) {
    throw new Refused("comment", "the signature's comments are not as minisign or a release writes them");
  }
  const [algorithm, id, signature] = [body.subarray(0, 2), body.subarray(2, 10), body.subarray(10)];
  if (equalBytes(algorithm, LEGACY)) {
    throw new Refused(
      "legacy-signature",
      "the signature is of minisign's old form (Ed); sign with minisign 0.10 or newer",
    );
  }
  if (!equalBytes(algorithm, PREHASHED)) throw new Refused("signature", "the signature is of a form nobody knows");
  const key = keys.find((key) => equalBytes(key.id, id));
  if (!key) {
    throw new Refused("unknown-key", `signed by the key ${keyIdOf({ id })}, which is not one of this program's`);
  }
  if (!ed25519.verify(signature, blake2b(file, { dkLen: 64 }), key.key, { zip215: false })) {
    throw new Refused("signature", "the signature is not of this file");
  }
  if (!ed25519.verify(both, concatBytes(signature, utf8ToBytes(comment)), key.key, { zip215: false })) {
    throw new Refused("comment", "the trusted comment is not the one that was signed");
  }
  return { key, comment };
}

/** minisign's own comments have tabs. */
const isOneLine = (text: string): boolean => text !== "" && !/[^\P{C}\t]|\p{Zl}|\p{Zp}/u.test(text);

const textOf = (untrusted: string, body: Uint8Array, comment: string, both: Uint8Array) =>
  `${UNTRUSTED}${untrusted}\n${base64Of(body)}\n${TRUSTED}${comment}\n${base64Of(both)}\n`;
