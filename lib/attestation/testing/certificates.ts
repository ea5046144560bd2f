/** Certificates, lists and keys of our own making, in the vendors' forms: for what no public vector shows. */
import { p256, p384 } from "@noble/curves/nist.js";
import { concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import * as der from "../der.ts";
import { pemOf } from "../pem.ts";

export interface TestKey {
  kind: "p256" | "p384" | "rsa";
  /** SubjectPublicKeyInfo. */
  spki: Uint8Array;
  /** The point `04 ‖ x ‖ y` of a curve. */
  point: Uint8Array;
  /** r ‖ s, or RSA's octets. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

export interface Authority {
  name: string;
  key: TestKey;
  certificate: Uint8Array;
}

export function tlv(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return concatBytes(Uint8Array.from([tag, ...length]), content);
}
export const sequence = (...parts: Uint8Array[]): Uint8Array => tlv(der.SEQUENCE, ...parts);
export const oid = (dotted: string): Uint8Array => tlv(der.OID, hexToBytes(der.oid(dotted)));
export function integer(value: number | Uint8Array): Uint8Array {
  if (typeof value === "number") {
    return integer(hexToBytes(value.toString(16).padStart(2, "0").replace(/^(..)*.$/, "0$&")));
  }
  const start = value.findIndex((octet) => octet !== 0);
  const octets = start < 0 ? Uint8Array.of(0) : value.subarray(start);
  return tlv(der.INTEGER, octets[0]! >= 0x80 ? concatBytes(Uint8Array.of(0), octets) : octets);
}
const bits = (octets: Uint8Array) => tlv(der.BIT_STRING, Uint8Array.of(0), octets);
const time = (at: number) => tlv(0x18, utf8ToBytes(new Date(at).toISOString().replace(/[-:T]|\.\d+/g, "")));
const nameOf = (cn: string) => sequence(tlv(der.SET, sequence(oid("2.5.4.3"), tlv(0x0c, utf8ToBytes(cn)))));

const CURVES = {
  p256: { curve: p256, spki: "301306072a8648ce3d020106082a8648ce3d030107", algorithm: "300a06082a8648ce3d040302" },
  p384: { curve: p384, spki: "301006072a8648ce3d020106052b81040022", algorithm: "300a06082a8648ce3d040303" },
};
const PSS =
  "304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130";

/** @param highS s above half of the order, as half of all hardware's signatures have it */
export function curveKey(kind: "p256" | "p384", highS = false): TestKey {
  const { curve, spki } = CURVES[kind];
  const secret = curve.utils.randomSecretKey();
  const point = curve.getPublicKey(secret, false);
  return {
    kind,
    point,
    spki: sequence(hexToBytes(spki), bits(point)),
    sign(message) {
      const low = curve.Signature.fromBytes(curve.sign(message, secret, { prehash: true, lowS: true }));
      const other = new curve.Signature(low.r, curve.Point.CURVE().n - low.s);
      return Promise.resolve((highS ? other : low).toBytes("compact"));
    },
  };
}

/** A P-256 key that a TLS server takes, as PEM. */
export async function webKey(): Promise<TestKey & { pem: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const exported = async (format: "spki" | "pkcs8", key: CryptoKey) =>
    new Uint8Array(await crypto.subtle.exportKey(format, key));
  const sign = async (message: Uint8Array) =>
    new Uint8Array(
      await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, new Uint8Array(message)),
    );
  const spki = await exported("spki", pair.publicKey);
  const pem = pemOf(await exported("pkcs8", pair.privateKey)).replaceAll("CERTIFICATE", "PRIVATE KEY");
  return { kind: "p256", spki, point: spki.subarray(-65), sign, pem };
}

export async function rsaKey(): Promise<TestKey> {
  const algorithm = { name: "RSA-PSS", hash: "SHA-384", modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return {
    kind: "rsa",
    point: new Uint8Array(),
    spki: new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey)),
    sign: async (message) =>
      new Uint8Array(
        await crypto.subtle.sign({ name: "RSA-PSS", saltLength: 48 }, pair.privateKey, new Uint8Array(message)),
      ),
  };
}

async function signed(content: Uint8Array, algorithm: Uint8Array, key: TestKey): Promise<Uint8Array> {
  const raw = await key.sign(content);
  const half = raw.length / 2;
  const octets = key.kind === "rsa" ? raw : sequence(integer(raw.subarray(0, half)), integer(raw.subarray(half)));
  return sequence(content, algorithm, bits(octets));
}
const algorithmOf = (key: TestKey) => hexToBytes(key.kind === "rsa" ? PSS : CURVES[key.kind].algorithm);

export interface CertificateOrder {
  name: string;
  key: TestKey;
  /** Who signs; none: it signs itself. */
  by?: Authority;
  serial?: number;
  /** Ms since the epoch. */
  from: number;
  to: number;
  ca?: boolean;
  /** Whether its key may sign certificates and lists; default: as it is a CA or not. */
  signs?: boolean;
  pathLength?: number;
  /** OID and value. */
  extensions?: [string, Uint8Array][];
}

export async function certify(order: CertificateOrder): Promise<Authority> {
  const { name, key, by, serial = 1, from, to, ca = false, pathLength, extensions = [] } = order;
  const { signs = ca } = order;
  const signer = by?.key ?? key;
  const algorithm = algorithmOf(signer);
  const critical = Uint8Array.of(der.BOOLEAN, 1, 0xff);
  const limits = sequence(...(ca ? [critical] : []), ...(pathLength === undefined ? [] : [integer(pathLength)]));
  const usage = Uint8Array.of(der.BIT_STRING, 2, 1, 0x06);
  const all = [
    sequence(oid("2.5.29.19"), critical, tlv(der.OCTET_STRING, limits)),
    ...(signs ? [sequence(oid("2.5.29.15"), critical, tlv(der.OCTET_STRING, usage))] : []),
    ...extensions.map(([id, value]) => sequence(oid(id), tlv(der.OCTET_STRING, value))),
  ];
  const content = sequence(
    tlv(der.context(0), integer(2)),
    integer(serial),
    algorithm,
    nameOf(by?.name ?? name),
    sequence(time(from), time(to)),
    nameOf(name),
    key.spki,
    tlv(der.context(3), sequence(...all)),
  );
  return { name, key, certificate: await signed(content, algorithm, signer) };
}

/** A list of revoked serials. @param extension with a critical extension, which changes what the list means */
export function revoke(
  by: Authority,
  serials: readonly number[],
  times: { from: number; to: number },
  extension = false,
): Promise<Uint8Array> {
  const entries = serials.map((serial) => sequence(integer(serial), time(times.from)));
  const critical = sequence(oid("2.5.29.28"), Uint8Array.of(der.BOOLEAN, 1, 0xff), tlv(der.OCTET_STRING, sequence()));
  const content = sequence(
    integer(1),
    algorithmOf(by.key),
    nameOf(by.name),
    time(times.from),
    time(times.to),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    ...(extension ? [tlv(der.context(0), sequence(critical))] : []),
  );
  return signed(content, algorithmOf(by.key), by.key);
}
