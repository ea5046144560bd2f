import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** Randomness as a dependency, so that a seeded source can replay a test. */
export interface Random {
  /** `length` bytes nobody can predict (in production: the operating system's generator). */
  bytes(length: number): Uint8Array;
}

/** The operating system's generator. */
export const systemRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
};

const HANDLE_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base32: no i, l, o, u
const HANDLE_LENGTH = 13; // 65 bits
const MAC_LENGTH = 32; // hex digits: 128 bits
const ID_PATTERN = /^([0-9a-hjkmnp-tv-z]{13})-([0-9a-f]{32})$/;

/**
 * A new public handle: 13 characters (65 random bits). Handles may appear in feeds; they open nothing.
 * Records are stored under their handle.
 */
export function newHandle(random: Random): string {
  let handle = "";
  for (const byte of random.bytes(HANDLE_LENGTH)) handle += HANDLE_ALPHABET[byte & 31];
  return handle;
}

/** Digits of a time in ms: enough for the next thousand years. */
const TIME_LENGTH = 10;

/**
 * A handle whose text order is the order of time, as far as milliseconds tell: ten characters of time, thirteen random
 * ones (65 bits). For records that are listed by when they were made.
 * @param now ms since the epoch.
 */
export function newOrderedId(random: Random, now: number): string {
  let time = "";
  for (let left = now; time.length < TIME_LENGTH; left = Math.floor(left / 32)) {
    time = HANDLE_ALPHABET[left % 32] + time;
  }
  return time + newHandle(random);
}

/**
 * Ids that are capabilities (wire.md §1): `handle-mac`, where the mac is 128 bits of HMAC-SHA256 under a secret kept
 * outside the store. Whoever holds the id may act on the record; a copy of the store holds handles only and cannot
 * make an id from one.
 */
export interface RecordIds {
  /** The secret id of the record `handle` of this `kind` ("job", "session", …). */
  idOf(kind: string, handle: string): string;
  /** The handle an id stands for, or null when the id is malformed or was not made with this secret. */
  handleOf(kind: string, id: string): string | null;
}

/** @param secret at least 32 bytes, from the instance's key file. */
export function createRecordIds(secret: Uint8Array): RecordIds {
  if (secret.length < 32) throw new Error("the capability secret must have at least 32 bytes");
  const mac = (kind: string, handle: string) =>
    bytesToHex(hmac(sha256, secret, utf8ToBytes(`${kind}:${handle}`))).slice(0, MAC_LENGTH);
  return {
    idOf: (kind, handle) => `${handle}-${mac(kind, handle)}`,
    handleOf(kind, id) {
      const match = ID_PATTERN.exec(id);
      if (!match) return null;
      const [, handle, given] = match as unknown as [string, string, string];
      return equalText(mac(kind, handle), given) ? handle : null;
    },
  };
}

/** Compares two texts in time that depends on their length only: an early exit would tell how much of a guess is right. */
export function equalText(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

/** SHA-256 of a text's UTF-8 bytes, as 64 hex digits. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/**
 * The name a client address is counted under. It is made with the instance's secret, so that a copy of the store tells nobody
 * who asked: there are few enough addresses to try them all against a plain hash.
 */
export const callerName = (recordIds: RecordIds, clientAddress: string): string =>
  sha256Hex(recordIds.idOf("caller", clientAddress));
