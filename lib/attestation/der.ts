/**
 * DER (X.690 §10–11), strict: definite lengths in their shortest form, tags of one octet, nothing behind the end. Whatever has two
 * encodings is refused in all but one, so that a changed bit outside of what is signed does not go through.
 */
import { bytesToHex } from "@noble/hashes/utils.js";
import { Refused } from "./verdict.ts";

export const BOOLEAN = 0x01;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OID = 0x06;
export const ENUMERATED = 0x0a;
export const SEQUENCE = 0x30;
export const SET = 0x31;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
/** Context-specific and constructed: `[n]`. */
export const context = (n: number): number => 0xa0 | n;

export interface Element {
  tag: number;
  content: Uint8Array;
  /** With tag and length. */
  bytes: Uint8Array;
}

const malformed = (what: string) => new Refused("malformed", `DER: ${what}`);

function elementAt(bytes: Uint8Array, at: number): Element {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw malformed("an element ends early");
  if ((tag & 0x1f) === 0x1f) throw malformed("a tag of several octets");
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets < 1 || octets > 3) throw malformed("a length that is indefinite or too large");
    length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + (bytes[start + i] ?? 0);
    start += octets;
    if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw malformed("a length that is not in its shortest form");
  }
  if (start + length > bytes.length) throw malformed("an element ends early");
  return { tag, content: bytes.subarray(start, start + length), bytes: bytes.subarray(at, start + length) };
}

/** The one element that these bytes are. @throws {Refused} */
export function element(bytes: Uint8Array, tag: number): Element {
  const found = elementAt(bytes, 0);
  if (found.bytes.length !== bytes.length) throw malformed("bytes behind the end");
  if (found.tag !== tag) throw malformed(`tag ${found.tag} where ${tag} must stand`);
  return found;
}

/** The elements inside of one, read in order; whatever is not read is refused by `end`. */
export interface Fields {
  next(tag: number): Element;
  optional(tag: number): Element | undefined;
  /** The next element, whatever it is. */
  any(): Element;
  more(): boolean;
  end(): void;
}

export function fieldsOf(content: Uint8Array): Fields {
  let at = 0;
  const any = () => {
    const found = elementAt(content, at);
    at += found.bytes.length;
    return found;
  };
  const more = () => at < content.length;
  return {
    any,
    more,
    optional: (tag) => more() && content[at] === tag ? any() : undefined,
    next(tag) {
      if (content[at] !== tag) throw malformed(`tag ${content[at] ?? "missing"} where ${tag} must stand`);
      return any();
    },
    end() {
      if (more()) throw malformed("more fields than there may be");
    },
  };
}

export const sequence = (bytes: Uint8Array): Fields => fieldsOf(element(bytes, SEQUENCE).content);

/** The octets of an INTEGER that is not negative, without the zero before a high bit. */
export function unsigned({ content }: Element): Uint8Array {
  const [first, second] = content;
  if (first === undefined || first >= 0x80) throw malformed("an integer that is empty or negative");
  if (first !== 0 || content.length === 1) return content;
  if (second !== undefined && second < 0x80) throw malformed("an integer that is not in its shortest form");
  return content.subarray(1);
}

/** @throws {Refused} above 2^32 − 1. */
export function smallInteger(found: Element): number {
  const octets = unsigned(found);
  if (octets.length > 4) throw malformed("an integer that is too large");
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

/** The octets of a BIT STRING that ends with a whole octet. */
export function wholeBits({ content }: Element): Uint8Array {
  if (content[0] !== 0) throw malformed("a bit string that does not end with a whole octet");
  return content.subarray(1);
}

/** The first octet of a BIT STRING of named bits; bit 0 is its highest. */
export function namedBits({ content }: Element): number {
  const [unused, first, second] = content;
  if (unused === undefined || unused > 7 || first === undefined) throw malformed("a bit string without bits");
  const last = second ?? first;
  if ((last & ((1 << unused) - 1)) !== 0) throw malformed("a bit string with bits that must be zero");
  return first;
}

/** An OID as the hex of its content: compared, never shown. */
export const oidHex = ({ content }: Element): string => bytesToHex(content);

/** `1.2.840.…` as the hex of an OID's content. */
export function oid(dotted: string): string {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(0x80 | (left & 0x7f));
    }
    return digits;
  });
  return bytesToHex(Uint8Array.from(octets));
}

/** UTCTime or GeneralizedTime as X.509 has it, with seconds and Z. @returns ms since the epoch */
export function time({ tag, content }: Element): number {
  const text = content.length > 15 ? "" : String.fromCharCode(...content);
  if (tag !== UTC_TIME && tag !== GENERALIZED_TIME) throw malformed("a time of another type");
  if (!(tag === UTC_TIME ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw malformed("a time of another form");
  const full = tag === UTC_TIME ? (Number(text.slice(0, 2)) >= 50 ? "19" : "20") + text : text;
  const [, year, month, day, hour, minute, second] = /^(.{4})(..)(..)(..)(..)(..)Z$/.exec(full) ?? [];
  const written = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const at = Date.parse(written);
  if (Number.isNaN(at) || new Date(at).toISOString() !== written) throw malformed("a time that does not exist");
  return at;
}
