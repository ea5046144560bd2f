/**
 * BOLT11 invoices (https://github.com/lightning/bolts/blob/master/11-payment-encoding.md): read and checked, and made.
 *
 * Written here rather than taken from npm `bolt11` (which the tests use as an oracle): that package loads bitcoinjs-lib
 * and, where native modules are not allowed, recovers keys with `elliptic`; it does not know signet, drops sub-satoshi
 * amounts and checks neither required features nor the payment secret. The curve is `@noble/curves`.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import type { InvoicePrefix } from "./port.ts";
import { readRouteHint, type RouteHint, writeRouteHint } from "./route-hints.ts";

export interface DecodedInvoice {
  /** The network: the part before the amount. */
  prefix: InvoicePrefix;
  /** 64 lower-case hex digits. */
  paymentHash: string;
  /** Whole satoshis; null when the invoice names no amount, or one that is not a whole number of sats. */
  amountSats: number | null;
  /** Millisatoshis; null when the invoice names no amount. With `amountSats` null it tells a sub-satoshi amount. */
  amountMsat: number | null;
  /** Milliseconds since the epoch. */
  createdAt: number;
  /** Milliseconds since the epoch; without an expiry in the invoice, one hour after `createdAt` (BOLT11's default). */
  expiresAt: number;
  /** The description; "" when there is only a hash of one. Written by a stranger: escape it before showing it. */
  memo: string;
  /** SHA-256 of a description that came another way, 64 hex digits; null when the invoice holds none. */
  descriptionHash: string | null;
  /** Public key of the payee's node, 66 hex digits, recovered from the signature. */
  payee: string;
  /** Private ways to the payee, in the order of the invoice; their fees are the payee's choice. */
  routeHints: readonly RouteHint[];
}

/** `malformed`: not a valid invoice at all. `unsupported`: maybe valid, but nothing we can or want to pay. */
type InvoiceErrorCode = "malformed" | "unsupported";

/** Why an invoice was not accepted. The message is meant for the person who sent it and quotes nothing of it. */
export class InvoiceError extends Error {
  override name = "InvoiceError";
  constructor(readonly code: InvoiceErrorCode, message: string) {
    super(message);
  }
}

/** Longest invoice looked at: what fits into the largest QR code, which is also LND's limit. */
export const MAX_INVOICE_LENGTH = 7089;

/** Longest description, in UTF-8 bytes: a field holds at most 1023 groups of 5 bits. */
export const MAX_MEMO_BYTES = 639;

const CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const CHECKSUM_WORDS = 6;
const TIMESTAMP_WORDS = 7;
const SIGNATURE_WORDS = 104;
const HASH_WORDS = 52; // 256 bits
const KEY_WORDS = 53; // 264 bits
const MAX_FIELD_WORDS = 1023;
const DEFAULT_EXPIRY_SECONDS = 3600;
const MSAT_PER_BTC = 100_000_000_000;

/** Field types, as the value of their 5-bit letter. All may stand once, but for the route hints. */
const FIELD = { hash: 1, secret: 16, memo: 13, payee: 19, memoHash: 23, expiry: 6, cltv: 24, features: 5 } as const;
const ROUTE_HINT = 3;

/**
 * Even (required) feature bits a payer can leave to the wallet: var_onion_optin, payment_secret, basic_mpp and
 * payment_metadata. Any other even bit means "do not pay unless you know this"; 30 (AMP) even means that there is no
 * single payment behind the hash, so nothing could ever prove it.
 */
const KNOWN_REQUIRED_FEATURES: ReadonlySet<number> = new Set([8, 14, 16, 48]);

/** The longest prefix first; the amount always starts with a digit, so no prefix is taken for another. */
const HUMAN_PART = /^ln(bcrt|bc|tbs|tb)(?:([1-9]\d*)([munp]?))?$/;

/**
 * Reads an invoice and checks it: bech32 checksum, network, amount, payment hash and secret, required features and the
 * signature (which must also fit the payee's key where the invoice names it). Whether it has expired is for the
 * caller, who knows the time.
 * @param text lower or upper case, without `lightning:`.
 * @throws {InvoiceError}
 */
export function decodeInvoice(text: string): DecodedInvoice {
  const { humanPart, words } = readBech32(text);
  const { prefix, amountMsat } = readHumanPart(humanPart);
  if (words.length < TIMESTAMP_WORDS + SIGNATURE_WORDS) throw malformed("it is cut short");

  const signed = words.subarray(0, -SIGNATURE_WORDS);
  const { fields, routeHints } = readFields(signed.subarray(TIMESTAMP_WORDS));
  const paymentHash = fields.get(FIELD.hash);
  if (!paymentHash) throw malformed("it has no payment hash");
  if (!fields.has(FIELD.secret)) {
    throw new InvoiceError("unsupported", "This invoice has no payment secret; make a new one with a current wallet.");
  }
  checkFeatures(fields.get(FIELD.features));

  const payee = recoverPayee(humanPart, signed, words.subarray(-SIGNATURE_WORDS));
  const namedPayee = fields.get(FIELD.payee);
  if (namedPayee && bytesToHex(wordsToBytes(namedPayee).subarray(0, 33)) !== payee) {
    throw malformed("its signature is not by the node it names");
  }

  const createdAt = wordsToNumber(signed.subarray(0, TIMESTAMP_WORDS)) * 1000;
  const expiry = fields.get(FIELD.expiry);
  const expiresAt = createdAt + (expiry ? wordsToNumber(expiry) : DEFAULT_EXPIRY_SECONDS) * 1000;
  if (!Number.isSafeInteger(expiresAt)) throw malformed("its expiry is out of range");
  const [memo, memoHash] = [fields.get(FIELD.memo), fields.get(FIELD.memoHash)];
  return {
    prefix,
    paymentHash: bytesToHex(wordsToBytes(paymentHash).subarray(0, 32)),
    amountSats: amountMsat !== null && amountMsat % 1000 === 0 ? amountMsat / 1000 : null,
    amountMsat,
    createdAt,
    expiresAt,
    memo: memo ? new TextDecoder().decode(wordsToBytes(memo)) : "",
    descriptionHash: memoHash ? bytesToHex(wordsToBytes(memoHash).subarray(0, 32)) : null,
    payee,
    routeHints,
  };
}

export interface InvoiceToSign {
  prefix: InvoicePrefix;
  /** Millisatoshis; null for an invoice that leaves the amount to the payer. */
  amountMsat: number | null;
  /** SHA-256 of the preimage, 64 hex digits. */
  paymentHash: string;
  /** 64 hex digits; must not be the preimage. */
  paymentSecret: string;
  memo: string;
  /** In place of the memo: SHA-256 of a description, 64 hex digits. */
  descriptionHash?: string | undefined;
  /** Unix time in seconds. */
  createdAtSeconds: number;
  expirySeconds: number;
  /** Feature bits; the default requires var_onion_optin (8) and payment_secret (14), which every wallet has. */
  features?: readonly number[];
  routeHints?: readonly RouteHint[];
}

/**
 * Makes an invoice signed by the node key `privateKey` (32 bytes). Fields come in the order s, p, d or h, x, c, 9, r.
 * @throws {RangeError} for a value no invoice can carry.
 */
export function encodeInvoice(invoice: InvoiceToSign, privateKey: Uint8Array): string {
  const { amountMsat, createdAtSeconds, expirySeconds } = invoice;
  if (amountMsat !== null && !(Number.isSafeInteger(amountMsat) && amountMsat > 0)) {
    throw new RangeError("an invoice's amount must be a positive whole number of millisatoshis");
  }
  if (!(Number.isInteger(createdAtSeconds) && createdAtSeconds >= 0 && createdAtSeconds < 2 ** 35)) {
    throw new RangeError("an invoice's time must be a whole number of seconds below 2^35");
  }
  if (!(Number.isSafeInteger(expirySeconds) && expirySeconds > 0)) {
    throw new RangeError("an invoice's expiry must be a positive whole number of seconds");
  }
  const memo = utf8ToBytes(invoice.memo);
  if (memo.length > MAX_MEMO_BYTES) throw new RangeError(`an invoice's memo has at most ${MAX_MEMO_BYTES} bytes`);

  const humanPart = `ln${invoice.prefix.slice(2)}${writeAmount(amountMsat)}`;
  const signed = Uint8Array.from([
    ...numberToWords(createdAtSeconds, TIMESTAMP_WORDS),
    ...field(FIELD.secret, bytesToWords(bytes32(invoice.paymentSecret, "payment secret"))),
    ...field(FIELD.hash, bytesToWords(bytes32(invoice.paymentHash, "payment hash"))),
    ...(invoice.descriptionHash === undefined
      ? field(FIELD.memo, bytesToWords(memo))
      : field(FIELD.memoHash, bytesToWords(bytes32(invoice.descriptionHash, "description hash")))),
    ...field(FIELD.expiry, numberToWords(expirySeconds)),
    ...field(FIELD.cltv, numberToWords(18)),
    ...field(FIELD.features, featureWords(invoice.features ?? [8, 14])),
    ...(invoice.routeHints ?? []).flatMap((hint) => field(ROUTE_HINT, bytesToWords(writeRouteHint(hint)))),
  ]);
  // noble puts the recovery id first, BOLT11 wants it last.
  const signature = secp256k1.sign(signingHash(humanPart, signed), privateKey, { prehash: false, format: "recovered" });
  const recovery = signature.subarray(0, 1);
  const words = [...signed, ...bytesToWords(concatBytes(signature.subarray(1), recovery))];
  return writeBech32(humanPart, words);
}

function malformed(what: string): InvoiceError {
  return new InvoiceError("malformed", `This is not a valid Lightning invoice: ${what}. Copy the whole BOLT11 text.`);
}

// --- bech32 (BIP-173, without its length limit) ---

function readBech32(text: string): { humanPart: string; words: Uint8Array } {
  if (text.length > MAX_INVOICE_LENGTH) throw malformed(`it is longer than ${MAX_INVOICE_LENGTH} characters`);
  const lower = text.toLowerCase();
  if (text !== lower && text !== text.toUpperCase()) throw malformed("it mixes upper and lower case");
  const separator = lower.lastIndexOf("1");
  if (!lower.startsWith("ln") || separator < 0) throw malformed("it does not start like one");
  const humanPart = lower.slice(0, separator);
  const words = new Uint8Array(lower.length - separator - 1);
  for (let i = 0; i < words.length; i++) {
    const value = CHARSET.indexOf(lower.charAt(separator + 1 + i));
    if (value < 0) throw malformed("it has a character that cannot be in one");
    words[i] = value;
  }
  if (words.length < CHECKSUM_WORDS || polymod([...expandHuman(humanPart), ...words]) !== 1) {
    throw malformed("its checksum is wrong, so a character is missing or changed");
  }
  return { humanPart, words: words.subarray(0, -CHECKSUM_WORDS) };
}

function writeBech32(humanPart: string, words: readonly number[]): string {
  const checksum = polymod([...expandHuman(humanPart), ...words, 0, 0, 0, 0, 0, 0]) ^ 1;
  let text = `${humanPart}1`;
  for (const word of words) text += CHARSET.charAt(word);
  for (let i = 0; i < CHECKSUM_WORDS; i++) text += CHARSET.charAt((checksum >> (5 * (5 - i))) & 31);
  return text;
}

function expandHuman(humanPart: string): number[] {
  const codes = Array.from(humanPart, (character) => character.charCodeAt(0));
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
}

function polymod(values: readonly number[]): number {
  let checksum = 1;
  for (const value of values) {
    const top = checksum >>> 25;
    checksum = ((checksum & 0x1ffffff) << 5) ^ value;
    GENERATOR.forEach((generator, bit) => {
      if ((top >> bit) & 1) checksum ^= generator;
    });
  }
  return checksum;
}

// --- human-readable part ---

function readHumanPart(humanPart: string): { prefix: InvoicePrefix; amountMsat: number | null } {
  const match = HUMAN_PART.exec(humanPart);
  if (!match) {
    if (/^ln(bcrt|bc|tbs|tb)/.test(humanPart)) throw malformed("its amount cannot be read");
    throw new InvoiceError("unsupported", "This invoice is for a network that is not known here.");
  }
  const [, network, digits, multiplier] = match;
  return {
    prefix: `ln${network}` as InvoicePrefix,
    amountMsat: digits === undefined ? null : readAmount(digits, multiplier ?? ""),
  };
}

function readAmount(digits: string, multiplier: string): number {
  if (multiplier === "p" && !digits.endsWith("0")) throw malformed("its amount is finer than a millisatoshi");
  const msatPerUnit: Record<string, bigint> = {
    "": BigInt(MSAT_PER_BTC),
    m: 100_000_000n,
    u: 100_000n,
    n: 100n,
  };
  const factor = msatPerUnit[multiplier];
  const msat = factor === undefined ? BigInt(digits) / 10n : BigInt(digits) * factor;
  if (msat > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InvoiceError("unsupported", "This invoice asks for more than can be counted here.");
  }
  return Number(msat);
}

/** The shortest way to write an amount: the largest unit it is a whole number of. */
function writeAmount(msat: number | null): string {
  if (msat === null) return "";
  if (msat % MSAT_PER_BTC === 0) return `${msat / MSAT_PER_BTC}`;
  if (msat % 100_000_000 === 0) return `${msat / 100_000_000}m`;
  if (msat % 100_000 === 0) return `${msat / 100_000}u`;
  if (msat % 100 === 0) return `${msat / 100}n`;
  return `${BigInt(msat) * 10n}p`;
}

// --- data part ---

/**
 * The fields we read, by type. As BOLT11 asks, unknown types are skipped, and so are hashes, secrets and keys of another
 * length (a later version may define them). A second field of one type is refused: wallets differ in which one they
 * follow, and a check of one hash must not lead to the payment of another.
 */
function readFields(words: Uint8Array): { fields: Map<number, Uint8Array>; routeHints: RouteHint[] } {
  const fixedLength: Record<number, number> = {
    [FIELD.hash]: HASH_WORDS,
    [FIELD.secret]: HASH_WORDS,
    [FIELD.memoHash]: HASH_WORDS,
    [FIELD.payee]: KEY_WORDS,
  };
  const single = new Set<number>(Object.values(FIELD));
  const fields = new Map<number, Uint8Array>();
  const routeHints: RouteHint[] = [];
  for (let at = 0; at < words.length;) {
    if (at + 3 > words.length) throw malformed("its fields are cut short");
    const type = wordsToNumber(words.subarray(at, at + 1));
    const length = wordsToNumber(words.subarray(at + 1, at + 3));
    const data = words.subarray(at + 3, at + 3 + length);
    if (data.length < length) throw malformed("its fields are cut short");
    at += 3 + length;
    if (type === ROUTE_HINT) {
      const hint = readRouteHint(wordsToBytes(data));
      if (!hint) throw malformed("a route hint of it is cut short");
      if (hint.length > 0) routeHints.push(hint); // an empty one names no way, and must not count as a free one
    }
    if (!single.has(type) || (fixedLength[type] ?? length) !== length) continue;
    if (fields.has(type)) throw malformed("it has the same field twice");
    fields.set(type, data);
  }
  return { fields, routeHints };
}

function checkFeatures(words: Uint8Array | undefined): void {
  if (!words) return;
  for (let i = 0; i < words.length; i++) {
    const word = words[words.length - 1 - i] ?? 0;
    for (let bit = 0; bit < 5; bit++) {
      const feature = i * 5 + bit;
      if ((word >> bit) & 1 && feature % 2 === 0 && !KNOWN_REQUIRED_FEATURES.has(feature)) {
        throw new InvoiceError(
          "unsupported",
          `This invoice requires the feature ${feature}, which is not supported here.`,
        );
      }
    }
  }
}

function featureWords(features: readonly number[]): number[] {
  const words = new Array<number>(Math.floor(Math.max(0, ...features) / 5) + 1).fill(0);
  for (const feature of features) {
    const at = words.length - 1 - Math.floor(feature / 5);
    words[at] = (words[at] ?? 0) | (1 << (feature % 5));
  }
  return words;
}

function recoverPayee(humanPart: string, signed: Uint8Array, signatureWords: Uint8Array): string {
  const signature = wordsToBytes(signatureWords);
  const recovery = signature.subarray(64);
  try {
    return bytesToHex(
      secp256k1.recoverPublicKey(concatBytes(recovery, signature.subarray(0, 64)), signingHash(humanPart, signed), {
        prehash: false,
      }),
    );
  } catch {
    throw malformed("its signature is wrong");
  }
}

/** SHA-256 over the human-readable part and the data before the signature, padded with zero bits to whole bytes. */
function signingHash(humanPart: string, signed: Uint8Array): Uint8Array {
  return sha256(concatBytes(utf8ToBytes(humanPart), regroup(signed, 5, 8, true)));
}

function field(type: number, words: readonly number[]): number[] {
  if (words.length > MAX_FIELD_WORDS) throw new RangeError("a field of an invoice is too long");
  return [type, words.length >> 5, words.length & 31, ...words];
}

function bytes32(hex: string, what: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new RangeError(`the ${what} must be 64 lower-case hex digits`);
  return hexToBytes(hex);
}

function bytesToWords(bytes: Uint8Array): number[] {
  return [...regroup(bytes, 8, 5, true)];
}

function wordsToBytes(words: Uint8Array): Uint8Array {
  return regroup(words, 5, 8, false);
}

/** Big-endian; beyond 2^53 the result is not exact, which callers notice as not safe. */
function wordsToNumber(words: Uint8Array): number {
  return words.reduce((total, word) => total * 32 + word, 0);
}

function numberToWords(value: number, length = 1): number[] {
  const words: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 32)) words.unshift(rest % 32);
  while (words.length < length) words.unshift(0);
  return words;
}

/** Regroups bits; what does not fill a group at the end is padded with zeros, or dropped. */
function regroup(values: Uint8Array, from: number, to: number, pad: boolean): Uint8Array {
  const result = new Uint8Array(Math.ceil((values.length * from) / to));
  let pending = 0;
  let bits = 0;
  let length = 0;
  for (const value of values) {
    pending = ((pending << from) | value) & 0xffff;
    bits += from;
    while (bits >= to) {
      bits -= to;
      result[length++] = (pending >> bits) & ((1 << to) - 1);
    }
  }
  if (pad && bits > 0) result[length++] = (pending << (to - bits)) & ((1 << to) - 1);
  return result.subarray(0, length);
}
