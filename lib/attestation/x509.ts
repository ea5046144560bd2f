/** Certificates and revocation lists (RFC 5280), as far as the three vendors use them; everything else is refused. */
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import * as der from "./der.ts";
import { Refused } from "./verdict.ts";
import type { Scheme } from "./signatures.ts";

export interface Certificate {
  /** The whole certificate. */
  bytes: Uint8Array;
  /** What is signed. */
  signed: Uint8Array;
  scheme: Scheme;
  /** r ‖ s, or RSA's octets. */
  signature: Uint8Array;
  /** Hex, without leading zero octets. */
  serial: string;
  issuer: Uint8Array;
  subject: Uint8Array;
  /** CN of the subject; empty without one. */
  name: string;
  /** Ms since the epoch. */
  notBefore: number;
  notAfter: number;
  key: PublicKey;
  /** Values by the hex of the OID. */
  extensions: ReadonlyMap<string, Uint8Array>;
  ca: boolean;
  /** Null: no limit. */
  pathLength: number | null;
  signsCertificates: boolean;
  signsLists: boolean;
}

/** The point `04 ‖ x ‖ y`, or the SubjectPublicKeyInfo of an RSA key. */
export interface PublicKey {
  kind: "p256" | "p384" | "rsa";
  bytes: Uint8Array;
}

export interface RevocationList {
  signed: Uint8Array;
  scheme: Scheme;
  signature: Uint8Array;
  issuer: Uint8Array;
  /** Ms since the epoch. */
  thisUpdate: number;
  nextUpdate: number;
  /** Serials, hex without leading zero octets. */
  revoked: ReadonlySet<string>;
}

const COMMON_NAME = der.oid("2.5.4.3");
const BASIC_CONSTRAINTS = der.oid("2.5.29.19");
const KEY_USAGE = der.oid("2.5.29.15");
/** Octets of an AlgorithmIdentifier: whole, since a signature does not cover the one outside of what is signed. */
const P256_SHA256 = "300a06082a8648ce3d040302";
const P384_SHA384 = "300a06082a8648ce3d040303";
const PSS_BODY =
  "06092a864886f70d01010a30__a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130";
/** AMD writes the trailer field's default in some certificates and leaves it out in others. */
const PSS_SHA384 = [`3041${PSS_BODY.replace("__", "34")}`, `3046${PSS_BODY.replace("__", "39")}a303020101`];
const EC_P256 = "301306072a8648ce3d020106082a8648ce3d030107";
const EC_P384 = "301006072a8648ce3d020106052b81040022";
const RSA = "300d06092a864886f70d0101010500";

function schemeOf(algorithm: Uint8Array): Scheme {
  const hex = bytesToHex(algorithm);
  if (hex === P256_SHA256) return "p256-sha256";
  if (hex === P384_SHA384) return "p384-sha384";
  if (PSS_SHA384.includes(hex)) return "rsa-pss-sha384";
  throw new Refused("unsupported", "a signature algorithm that none of the vendors uses");
}

/** r ‖ s of an ECDSA signature in DER; RSA's is what it is. */
function signatureOf(scheme: Scheme, octets: Uint8Array): Uint8Array {
  if (scheme === "rsa-pss-sha384") return octets;
  const size = scheme === "p256-sha256" ? 32 : 48;
  const fields = der.sequence(octets);
  const parts = [fields.next(der.INTEGER), fields.next(der.INTEGER)].map((part) => {
    const number = der.unsigned(part);
    if (number.length > size) throw new Refused("malformed", "a signature that is too long for its curve");
    return concatBytes(new Uint8Array(size - number.length), number);
  });
  fields.end();
  return concatBytes(...parts);
}

/** The outer form that certificates and lists share. */
function signedObject(bytes: Uint8Array) {
  const outer = der.sequence(bytes);
  const signed = outer.next(der.SEQUENCE);
  const algorithm = outer.next(der.SEQUENCE).bytes;
  const signature = der.wholeBits(outer.next(der.BIT_STRING));
  outer.end();
  const scheme = schemeOf(algorithm);
  const sameAlgorithm = (inner: Uint8Array) => {
    if (bytesToHex(inner) !== bytesToHex(algorithm)) {
      throw new Refused("malformed", "the signature algorithm inside is not the one outside");
    }
  };
  return { signed, scheme, signature: signatureOf(scheme, signature), sameAlgorithm };
}

/** @throws {Refused} */
export function parseCertificate(bytes: Uint8Array): Certificate {
  const { signed, scheme, signature, sameAlgorithm } = signedObject(bytes);
  const fields = der.fieldsOf(signed.content);
  const version = der.fieldsOf(fields.next(der.context(0)).content);
  if (der.smallInteger(version.next(der.INTEGER)) !== 2) throw new Refused("unsupported", "a certificate before v3");
  version.end();
  const serial = bytesToHex(der.unsigned(fields.next(der.INTEGER)));
  sameAlgorithm(fields.next(der.SEQUENCE).bytes);
  const issuer = fields.next(der.SEQUENCE).bytes;
  const validity = der.fieldsOf(fields.next(der.SEQUENCE).content);
  const [notBefore, notAfter] = [der.time(validity.any()), der.time(validity.any())];
  validity.end();
  const subject = fields.next(der.SEQUENCE).bytes;
  const key = publicKey(fields.next(der.SEQUENCE));
  const wrapped = fields.optional(der.context(3));
  fields.end();
  const extensions = wrapped ? extensionsOf(wrapped.content, [BASIC_CONSTRAINTS, KEY_USAGE]) : new Map();
  const usage = extensions.get(KEY_USAGE);
  const bits = usage ? der.namedBits(der.element(usage, der.BIT_STRING)) : 0;
  return {
    bytes,
    signed: signed.bytes,
    scheme,
    signature,
    serial,
    issuer,
    subject,
    name: commonName(subject),
    notBefore,
    notAfter,
    key,
    extensions,
    ...constraints(extensions.get(BASIC_CONSTRAINTS)),
    signsCertificates: (bits & 0x04) !== 0,
    signsLists: (bits & 0x02) !== 0,
  };
}

function publicKey({ bytes, content }: der.Element): PublicKey {
  const fields = der.fieldsOf(content);
  const algorithm = bytesToHex(fields.next(der.SEQUENCE).bytes);
  const octets = der.wholeBits(fields.next(der.BIT_STRING));
  fields.end();
  if (algorithm === RSA) return { kind: "rsa", bytes };
  const kind = algorithm === EC_P256 ? "p256" : algorithm === EC_P384 ? "p384" : null;
  if (kind === null) throw new Refused("unsupported", "a public key of a kind that none of the vendors uses");
  if (octets[0] !== 4 || octets.length !== (kind === "p256" ? 65 : 97)) {
    throw new Refused("malformed", "a public key that is not an uncompressed point");
  }
  return { kind, bytes: octets };
}

function extensionsOf(content: Uint8Array, understood: readonly string[]): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const list = der.sequence(content);
  while (list.more()) {
    const fields = der.fieldsOf(list.next(der.SEQUENCE).content);
    const id = der.oidHex(fields.next(der.OID));
    const critical = fields.optional(der.BOOLEAN);
    if (critical && bytesToHex(critical.content) !== "ff") throw new Refused("malformed", "DER: a boolean");
    if (critical && !understood.includes(id)) throw new Refused("unsupported", "a critical extension nobody knows");
    if (found.has(id)) throw new Refused("malformed", "an extension that stands twice");
    found.set(id, fields.next(der.OCTET_STRING).content);
    fields.end();
  }
  return found;
}

function constraints(value: Uint8Array | undefined): Pick<Certificate, "ca" | "pathLength"> {
  if (!value) return { ca: false, pathLength: null };
  const fields = der.sequence(value);
  const ca = fields.optional(der.BOOLEAN);
  const limit = fields.optional(der.INTEGER);
  fields.end();
  if (ca && bytesToHex(ca.content) !== "ff") throw new Refused("malformed", "DER: a boolean");
  return { ca: ca !== undefined, pathLength: limit ? der.smallInteger(limit) : null };
}

function commonName(subject: Uint8Array): string {
  const sets = der.sequence(subject);
  let name = "";
  while (sets.more()) {
    const entries = der.fieldsOf(sets.next(der.SET).content);
    while (entries.more()) {
      const entry = der.fieldsOf(entries.next(der.SEQUENCE).content);
      const id = der.oidHex(entry.next(der.OID));
      const value = entry.any();
      entry.end();
      if (id === COMMON_NAME) name = new TextDecoder().decode(value.content);
    }
  }
  return name;
}

/** @throws {Refused} */
export function parseRevocationList(bytes: Uint8Array): RevocationList {
  const { signed, scheme, signature, sameAlgorithm } = signedObject(bytes);
  const fields = der.fieldsOf(signed.content);
  if (der.smallInteger(fields.next(der.INTEGER)) !== 1) throw new Refused("unsupported", "a revocation list before v2");
  sameAlgorithm(fields.next(der.SEQUENCE).bytes);
  const issuer = fields.next(der.SEQUENCE).bytes;
  const [thisUpdate, nextUpdate] = [der.time(fields.any()), der.time(fields.any())];
  const entries = fields.optional(der.SEQUENCE);
  const wrapped = fields.optional(der.context(0));
  fields.end();
  // A critical extension (a list of some certificates only, of another issuer's, of changes) would alter what the list means.
  if (wrapped) extensionsOf(wrapped.content, []);
  const revoked = new Set<string>();
  const list = entries ? der.fieldsOf(entries.content) : null;
  while (list?.more()) {
    const entry = der.fieldsOf(list.next(der.SEQUENCE).content);
    revoked.add(bytesToHex(der.unsigned(entry.next(der.INTEGER))));
    der.time(entry.any());
    const extra = entry.optional(der.SEQUENCE);
    entry.end();
    if (extra) extensionsOf(extra.bytes, []);
  }
  return { signed: signed.bytes, scheme, signature, issuer, thisUpdate, nextUpdate, revoked };
}
