/**
 * AWS Nitro attestation documents: COSE_Sign1 (RFC 9052 §4.2) over a CBOR map, ES384
 * ("Attestation process" of aws-nitro-enclaves-nsm-api).
 */
import { decode } from "cborg";
import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { checkChain, type Trust } from "./chain.ts";
import type { Policy } from "./policy.ts";
import { type Findings, iso, Refused } from "./verdict.ts";
import type { VendorRoots } from "./vendor-roots.ts";
import { parseCertificate } from "./x509.ts";

export interface NitroEvidence {
  kind: "nitro";
  document: Uint8Array;
}

const TAG_18 = 0xd2;
/** Array of 4; the protected header `{1: -35}`, ES384; the empty map of the other header, which nobody signs; a byte string. */
const BEGINNING = Uint8Array.from([0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0]);
const PROTECTED = BEGINNING.subarray(1, 6);
const SIGNATURE_HEADER = Uint8Array.from([0x58, 96]);
const SIGNATURE_BYTES = 96;
/** Root, region, zone, instance, enclave. */
const CHAIN_LENGTH = 5;
/** The clocks of the enclave and of the one who checks may differ (ms). */
const SKEW_MS = 300_000;
/** The last moment a Date can hold (ms since the epoch). */
const MAX_TIME = 8.64e15;

const malformed = (what: string) => new Refused("malformed", `Nitro document: ${what}`);

/** Payload and signature. The frame is compared byte by byte: a decoder would take several spellings of it. @throws {Refused} */
function openSign1(document: Uint8Array) {
  const bytes = document[0] === TAG_18 ? document.subarray(1) : document;
  if (!BEGINNING.every((byte, i) => bytes[i] === byte)) throw malformed("not a COSE_Sign1 signed with ES384");
  const at = BEGINNING.length;
  const [major = 0, high = 0, low = 0] = bytes.subarray(at, at + 3);
  const length = high * 256 + low;
  if (major !== 0x59 || length < 256) throw malformed("a payload of an unlikely size");
  const payloadWithHeader = bytes.subarray(at, at + 3 + length);
  const rest = bytes.subarray(at + 3 + length);
  if (!SIGNATURE_HEADER.every((byte, i) => rest[i] === byte)) throw malformed("no signature behind the payload");
  if (rest.length !== SIGNATURE_HEADER.length + SIGNATURE_BYTES) throw malformed("bytes behind the signature");
  return {
    payload: payloadWithHeader.subarray(3),
    signature: rest.subarray(SIGNATURE_HEADER.length),
    // Sig_structure with the payload as it came: encoding it again could give other bytes.
    signed: concatBytes(
      Uint8Array.of(0x84, 0x6a),
      utf8ToBytes("Signature1"),
      PROTECTED,
      Uint8Array.of(0x40),
      payloadWithHeader,
    ),
  };
}

const FIELDS = [
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
];

/** @throws {Refused} */
function parsePayload(payload: Uint8Array) {
  let map: unknown;
  try {
    // The NSM of newer hosts writes a map of indefinite length.
    map = decode(payload, { useMaps: true, allowIndefinite: true, rejectDuplicateMapKeys: true, strict: true });
  } catch {
    throw malformed("the payload is not CBOR");
  }
  if (!(map instanceof Map) || [...map.keys()].some((name) => !FIELDS.includes(name))) {
    throw malformed("the payload is not a map of the known fields");
  }
  const bytes = (name: string, max: number, value: unknown = map.get(name)): Uint8Array => {
    if (!(value instanceof Uint8Array) || value.length > max) throw malformed(`${name} is not what it must be`);
    return value;
  };
  const optional = (name: string, max: number) => (map.get(name) ?? null) === null ? null : bytes(name, max);
  const [pcrs, cabundle, timestamp] = [map.get("pcrs"), map.get("cabundle"), map.get("timestamp")];
  if (map.get("digest") !== "SHA384") throw malformed("another digest than SHA-384");
  if (typeof map.get("module_id") !== "string") throw malformed("module_id is not what it must be");
  if (!Number.isSafeInteger(timestamp) || timestamp < 0 || timestamp > MAX_TIME) {
    throw malformed("timestamp is not what it must be");
  }
  if (!Array.isArray(cabundle) || cabundle.length !== CHAIN_LENGTH - 1) throw malformed("cabundle has another length");
  if (!(pcrs instanceof Map)) throw malformed("pcrs is not what it must be");
  const registers = new Map<number, string>();
  for (const [index, value] of pcrs) {
    const register = bytes("pcrs", 48, value);
    if (!Number.isInteger(index) || index < 0 || index > 31 || register.length !== 48) throw malformed("a PCR");
    registers.set(index, bytesToHex(register));
  }
  return {
    moduleId: map.get("module_id") as string,
    timestamp: timestamp as number,
    pcrs: registers,
    certificate: bytes("certificate", 4_096),
    cabundle: cabundle.map((value) => bytes("cabundle", 4_096, value)),
    publicKey: optional("public_key", 1_024),
    userData: optional("user_data", 512),
    nonce: optional("nonce", 512),
  };
}

/** The whole of a document's check. @returns its user data, where an instance puts its 64 bytes. @throws {Refused} */
export async function checkNitro(
  evidence: NitroEvidence,
  roots: VendorRoots,
  policy: Policy["nitro"] | null,
  trust: Trust,
  to: Findings,
): Promise<Uint8Array> {
  const { payload, signature, signed } = openSign1(evidence.document);
  const document = parsePayload(payload);
  const leaf = parseCertificate(document.certificate);
  // The bundle is root first, without the leaf.
  await checkChain([leaf, ...document.cabundle.toReversed().map(parseCertificate)], roots.aws, trust, to);
  const good = leaf.key.kind === "p384" && await trust.check("p384-sha384", leaf.key.bytes, signature, signed);
  to.demand(good, "signature", "the document is not signed by its certificate");
  const past = document.timestamp <= trust.at + SKEW_MS;
  to.demand(past, "time", `the document is of ${iso(document.timestamp)}, which is yet to come`);
  const zero = (index: number) => !/[1-9a-f]/.test(document.pcrs.get(index) ?? "");
  to.demand(![0, 1, 2].every(zero), "debug", "PCR0 to PCR2 are zero: a debug enclave, whose console the host reads");

  to.material("document", document.timestamp, leaf.notAfter);
  to.fact("moduleId", document.moduleId);
  for (const [index, value] of document.pcrs) if (!zero(index)) to.fact(`pcr${index}`, value);
  to.fact("userData", bytesToHex(document.userData ?? new Uint8Array()));
  if (document.nonce) to.fact("nonce", bytesToHex(document.nonce));
  if (document.publicKey) to.fact("publicKey", bytesToHex(document.publicKey));
  const accepted = !policy ||
    policy.measurements.some((wanted) =>
      Object.entries(wanted).every(([name, value]) =>
        value === undefined || document.pcrs.get(Number(name.slice(3))) === value
      )
    );
  to.demand(accepted, "measurement", "the policy lists no such PCR0, PCR1, PCR2 (and PCR8)");
  return document.userData ?? new Uint8Array();
}
