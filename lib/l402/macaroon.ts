/**
 * Macaroons, version 2 binary, as go-macaroon writes them (wire.md §2): mint, narrow, verify, encode, decode. Pure.
 *
 * One macaroon has one encoding. Whatever else would decode to the same content is refused, so that a token cannot be
 * dressed up as another one, and bytes that were accepted once are the bytes `encode` gives back.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";

/** A macaroon with first-party caveats only. */
export interface Macaroon {
  /** Where it is for. The signature does NOT cover it: compare it yourself. */
  location: string | null;
  identifier: Uint8Array;
  caveats: readonly string[];
  /** 32 bytes. */
  signature: Uint8Array;
}

/** Bytes, text or parts that are not a macaroon this server takes. The message holds nothing of the token. */
export class MacaroonError extends Error {
  override name = "MacaroonError";
}

/** Most bytes of one macaroon, encoded. A minted one has some 300. */
export const MAX_MACAROON_BYTES = 4096;
/** Most caveats of one macaroon, those of the minter included. */
export const MAX_CAVEATS = 32;

const SIGNATURE_BYTES = 32;
const MAX_BASE64_CHARS = Math.ceil(MAX_MACAROON_BYTES / 3) * 4;

// Field types of the v2 format: https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt
const VERSION = 2;
const END = 0;
const LOCATION = 1;
const IDENTIFIER = 2;
const VERIFICATION_ID = 4;
const SIGNATURE = 6;

const KEY_GENERATOR = utf8ToBytes("macaroons-key-generator");

/**
 * A new macaroon.
 * @param input.rootKey the secret of this one token, 32 random bytes (wire.md §2)
 * @throws {MacaroonError} when it could not be decoded again: too long, an empty location or identifier
 */
export function mint(
  input: { rootKey: Uint8Array; identifier: Uint8Array; location: string; caveats: readonly string[] },
): Macaroon {
  const { rootKey, identifier, location, caveats } = input;
  const chain = signatureChain(rootKey, identifier, caveats);
  return checked({ location, identifier, caveats: [...caveats], signature: last(chain) });
}

/**
 * The same macaroon with `caveats` added: it can do less and needs no key, so its holder makes it alone.
 * @throws {MacaroonError} when it would have too many caveats or bytes
 */
export function narrow(macaroon: Macaroon, caveats: readonly string[]): Macaroon {
  const signature = caveats.reduce((key, caveat) => hmac(sha256, key, utf8ToBytes(caveat)), macaroon.signature);
  return checked({ ...macaroon, caveats: [...macaroon.caveats, ...caveats], signature });
}

/**
 * Signatures after the identifier and after each caveat: `chain[0]` belongs to the identifier, `chain[i]` to the i-th
 * caveat (counted from 1); the last is the macaroon's own. Every macaroon narrowed from one shares the beginning of its chain.
 *
 * As go-macaroon: the first key is HMAC-SHA256("macaroons-key-generator", root key), each next one the signature so far.
 */
export function signatureChain(rootKey: Uint8Array, identifier: Uint8Array, caveats: readonly string[]): Uint8Array[] {
  let signature = hmac(sha256, hmac(sha256, KEY_GENERATOR, rootKey), identifier);
  const chain = [signature];
  for (const caveat of caveats) {
    signature = hmac(sha256, signature, utf8ToBytes(caveat));
    chain.push(signature);
  }
  return chain;
}

/**
 * Constant-time; returns the chain ({@link signatureChain}) when the signature is right, else null. A right signature says
 * nothing about the location, which it does not cover, nor about what the caveats allow.
 */
export function verify(macaroon: Macaroon, rootKey: Uint8Array): Uint8Array[] | null {
  const chain = signatureChain(rootKey, macaroon.identifier, macaroon.caveats);
  return equalBytes(last(chain), macaroon.signature) ? chain : null;
}

/** The v2 bytes. @throws {MacaroonError} when {@link decode} would refuse them. */
export function encode(macaroon: Macaroon): Uint8Array {
  const { location, identifier, caveats, signature } = macaroon;
  if (location === "") throw new MacaroonError("a macaroon's location is left out or not empty");
  if (identifier.length === 0) throw new MacaroonError("a macaroon needs an identifier");
  if (signature.length !== SIGNATURE_BYTES) throw new MacaroonError("a macaroon's signature has 32 bytes");
  if (caveats.length > MAX_CAVEATS) throw new MacaroonError(`a macaroon has at most ${MAX_CAVEATS} caveats`);
  const parts: Uint8Array[] = [Uint8Array.of(VERSION)];
  if (location !== null) parts.push(...field(LOCATION, textBytes(location)));
  parts.push(...field(IDENTIFIER, identifier), Uint8Array.of(END));
  for (const caveat of caveats) parts.push(...field(IDENTIFIER, textBytes(caveat)), Uint8Array.of(END));
  parts.push(Uint8Array.of(END), ...field(SIGNATURE, signature));
  const bytes = concatBytes(...parts);
  if (bytes.length > MAX_MACAROON_BYTES) throw tooLong();
  return bytes;
}

/**
 * Reads v2 bytes and nothing else: first-party caveats only, minimal varints, valid UTF-8, nothing after the signature,
 * at most {@link MAX_MACAROON_BYTES} and {@link MAX_CAVEATS}. `encode(decode(bytes))` is `bytes`.
 * @throws {MacaroonError}
 */
export function decode(bytes: Uint8Array): Macaroon {
  if (bytes.length > MAX_MACAROON_BYTES) throw tooLong();
  const reader = new Reader(bytes);
  if (reader.byte() !== VERSION) throw new MacaroonError("not a macaroon in the version 2 binary format");
  let location: string | null = null;
  if (reader.peek() === LOCATION) {
    location = readText(reader.field(LOCATION));
    if (location === "") throw new MacaroonError("the macaroon's location is empty");
  }
  const identifier = reader.field(IDENTIFIER).slice();
  if (identifier.length === 0) throw new MacaroonError("the macaroon's identifier is empty");
  reader.end();
  const caveats: string[] = [];
  while (reader.peek() !== END) {
    if (caveats.length === MAX_CAVEATS) throw new MacaroonError(`the macaroon has more than ${MAX_CAVEATS} caveats`);
    if (reader.peek() === LOCATION) throw thirdParty();
    caveats.push(readText(reader.field(IDENTIFIER)));
    if (reader.peek() === VERIFICATION_ID) throw thirdParty();
    reader.end();
  }
  reader.end();
  const signature = reader.field(SIGNATURE).slice();
  if (signature.length !== SIGNATURE_BYTES) throw new MacaroonError("the macaroon's signature does not have 32 bytes");
  if (!reader.done()) throw new MacaroonError("there are bytes after the macaroon");
  return { location, identifier, caveats, signature };
}

/** The macaroon in base64, standard alphabet, padded. @throws {MacaroonError} as {@link encode} does */
export function toBase64(macaroon: Macaroon): string {
  return btoa(String.fromCharCode(...encode(macaroon)));
}

/**
 * Reads base64 in the standard or the URL alphabet, padded or not: these four texts of a macaroon and no other. Mixed
 * alphabets, half a padding, white space and bits left over are refused.
 * @throws {MacaroonError}
 */
export function fromBase64(text: string): Macaroon {
  if (text.length > MAX_BASE64_CHARS) throw tooLong();
  const urlAlphabet = /[-_]/.test(text);
  let binary;
  try {
    binary = atob(urlAlphabet ? text.replaceAll("-", "+").replaceAll("_", "/") : text);
  } catch {
    throw notBase64();
  }
  const standard = btoa(binary);
  const padded = urlAlphabet ? standard.replaceAll("+", "-").replaceAll("/", "_") : standard;
  if (text !== padded && text !== padded.replace(/=+$/, "")) throw notBase64();
  return decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}

/** Fields one after the other; whatever is not as expected throws. */
class Reader {
  #at = 0;
  constructor(readonly bytes: Uint8Array) {}

  peek(): number {
    const byte = this.bytes[this.#at];
    if (byte === undefined) throw new MacaroonError("the macaroon is cut off");
    return byte;
  }

  byte(): number {
    const byte = this.peek();
    this.#at++;
    return byte;
  }

  end(): void {
    if (this.byte() !== END) throw unexpectedField();
  }

  field(type: number): Uint8Array {
    if (this.byte() !== type) throw unexpectedField();
    const length = this.#varint();
    const from = this.#at;
    if (length > this.bytes.length - from) throw new MacaroonError("the macaroon is cut off");
    this.#at += length;
    return this.bytes.subarray(from, this.#at);
  }

  done(): boolean {
    return this.#at === this.bytes.length;
  }

  /** Two bytes reach 16,383, more than a macaroon may have. A second byte of 0 would be a longer spelling of the first. */
  #varint(): number {
    const low = this.byte();
    if (low < 0x80) return low;
    const high = this.byte();
    if (high === 0 || high >= 0x80) throw new MacaroonError("a length in the macaroon is too large or not minimal");
    return (high << 7) | (low & 0x7f);
  }
}

/** A length beyond two bytes is nonsense here, and its macaroon too long whatever it says. */
function field(type: number, data: Uint8Array): [Uint8Array, Uint8Array] {
  const length = data.length < 0x80 ? [data.length] : [(data.length & 0x7f) | 0x80, data.length >> 7];
  return [Uint8Array.of(type, ...length), data];
}

/** A lone surrogate has no UTF-8: the encoder would put another character in its place and sign something else. */
function textBytes(text: string): Uint8Array {
  const bytes = utf8ToBytes(text);
  if (readText(bytes) !== text) throw new MacaroonError("a text of the macaroon cannot be written in UTF-8");
  return bytes;
}

/** `ignoreBOM` keeps a byte order mark as a character: dropped, two different caveats would read the same. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new MacaroonError("a text of the macaroon is not UTF-8");
  }
}

function checked(macaroon: Macaroon): Macaroon {
  encode(macaroon);
  return macaroon;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  a.forEach((byte, i) => difference |= byte ^ (b[i] ?? 0));
  return difference === 0;
}

/** A chain has at least the identifier's signature. */
const last = (chain: readonly Uint8Array[]): Uint8Array => chain[chain.length - 1] as Uint8Array;

const tooLong = () => new MacaroonError(`the macaroon is longer than ${MAX_MACAROON_BYTES} bytes`);
const thirdParty = () => new MacaroonError("the macaroon has a third-party caveat, which this server does not take");
const unexpectedField = () => new MacaroonError("the macaroon's fields are not in the order of the format");
const notBase64 = () => new MacaroonError("the macaroon is not base64");
