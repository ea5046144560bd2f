/**
 * age, version 1, with a passphrase (age-encryption.org/v1, recipient type scrypt): what `age -d` opens, and what `age -p` makes.
 * Of the format only this much is here, since no other recipient is used (docs/decisions/0015-age-by-hand.md).
 */
import { Buffer } from "node:buffer";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { createHmac, hkdfSync, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { ByteReader } from "./byte-reader.ts";

const MAGIC = "age-encryption.org/v1";
const CHUNK = 64 * 1024;
const TAG = 16;
/** Memory of a try with a passphrase is 2^log2N KiB: of what is written here, and what is taken from others at most. */
const LOG2_N = 17;
const MAX_LOG2_N = 20;

/** It cannot be opened: the passphrase is wrong, or it is not what was written. The message says what to do. */
export class AgeError extends Error {
  override name = "AgeError";
}

/** @param start the first bytes of a file */
export const isAge = (start: Uint8Array): boolean =>
  new TextDecoder().decode(start.subarray(0, MAGIC.length + 1)) === `${MAGIC}\n`;

/** @param log2N of the work that a try costs; tests take less */
export async function* encrypt(
  plain: AsyncIterable<Uint8Array>,
  passphrase: string,
  log2N = LOG2_N,
): AsyncGenerator<Uint8Array> {
  const [fileKey, salt, nonce] = [randomBytes(16), randomBytes(16), randomBytes(16)];
  const wrapped = chacha20poly1305(await wrapKey(passphrase, salt, log2N), new Uint8Array(12)).encrypt(fileKey);
  const head = `${MAGIC}\n-> scrypt ${base64(salt)} ${log2N}\n${base64(wrapped)}\n---`;
  yield new TextEncoder().encode(`${head} ${base64(headerMac(fileKey, head))}\n`);
  yield nonce;
  const key = payloadKey(fileKey, nonce);
  const reader = new ByteReader(plain);
  for (let counter = 0;; counter++) {
    const chunk = await reader.upTo(CHUNK);
    const isLast = await reader.atEnd();
    yield chacha20poly1305(key, chunkNonce(counter, isLast)).encrypt(chunk);
    if (isLast) return;
  }
}

/** @throws {AgeError} as soon as a part is not what was written; what came before it was. */
export async function* decrypt(
  secret: AsyncIterable<Uint8Array>,
  passphrase: string,
): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(secret);
  const fileKey = await openHeader(reader, passphrase);
  const nonce = await reader.upTo(16);
  if (nonce.length < 16) throw torn();
  const key = payloadKey(fileKey, nonce);
  for (let counter = 0;; counter++) {
    const chunk = await reader.upTo(CHUNK + TAG);
    const isLast = await reader.atEnd();
    // An empty chunk is only there when everything is empty.
    if (chunk.length < TAG || (chunk.length === TAG && counter > 0)) throw torn();
    try {
      yield chacha20poly1305(key, chunkNonce(counter, isLast)).decrypt(chunk);
    } catch (cause) {
      throw torn(cause);
    }
    if (isLast) return;
  }
}

async function openHeader(reader: ByteReader, passphrase: string): Promise<Uint8Array> {
  const [magic, stanza, body, mac] = [
    await reader.line(64),
    await reader.line(128),
    await reader.line(128),
    await reader.line(128),
  ];
  const [, salt, work] = /^-> scrypt ([A-Za-z0-9+/]{22}) ([1-9]\d?)$/.exec(stanza ?? "") ?? [];
  const [, given] = /^--- ([A-Za-z0-9+/]{43})$/.exec(mac ?? "") ?? [];
  if (magic !== MAGIC || !salt || !work || !given || !/^[A-Za-z0-9+/]{43}$/.test(body ?? "")) {
    throw new AgeError("this is no age file for a passphrase, or its beginning is damaged: take another copy");
  }
  const log2N = Number(work);
  if (log2N > MAX_LOG2_N) throw new AgeError(`opening it takes 2^${log2N} KiB of memory, more than is given to it`);
  let fileKey: Uint8Array;
  try {
    const wrapped = Buffer.from(body!, "base64");
    fileKey = chacha20poly1305(await wrapKey(passphrase, Buffer.from(salt, "base64"), log2N), new Uint8Array(12))
      .decrypt(wrapped);
  } catch (cause) {
    throw new AgeError("the passphrase is wrong, or the file's beginning is damaged", { cause });
  }
  const head = [magic, stanza, body, "---"].join("\n");
  // The text as well: base64 has spare bits, and one that is set would be another file that opens.
  if (!timingSafeEqual(Buffer.from(given), Buffer.from(base64(headerMac(fileKey, head))))) throw torn();
  return fileKey;
}

const torn = (cause?: unknown) =>
  new AgeError("the file is cut short or damaged: take another copy", cause === undefined ? {} : { cause });

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64").replaceAll("=", "");

function wrapKey(passphrase: string, salt: Uint8Array, log2N: number): Promise<Uint8Array> {
  const salted = Buffer.concat([Buffer.from(`${MAGIC}/scrypt`), salt]);
  const N = 2 ** log2N;
  const options = { N, r: 8, p: 1, maxmem: 128 * 8 * N + 1024 * 1024 };
  return new Promise((resolve, reject) =>
    scrypt(passphrase, salted, 32, options, (error, key) => error ? reject(error) : resolve(key))
  );
}

const headerMac = (fileKey: Uint8Array, head: string): Uint8Array =>
  createHmac("sha256", new Uint8Array(hkdfSync("sha256", fileKey, "", "header", 32))).update(head).digest();

const payloadKey = (fileKey: Uint8Array, nonce: Uint8Array): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", fileKey, nonce, "payload", 32));

/** The number of the chunk in 11 bytes, and whether it is the last one. */
function chunkNonce(counter: number, isLast: boolean): Uint8Array {
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  view.setUint32(3, Math.floor(counter / 2 ** 32));
  view.setUint32(7, counter % 2 ** 32);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}
