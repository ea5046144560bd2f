/**
 * Intel TDX quotes of version 4 and 5 ("Intel TDX DCAP Quoting Library API", appendix A.3 and A.4): lengths and numbers little endian,
 * points and signatures big endian.
 */
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { certificatesOf } from "./pem.ts";
import { Refused } from "./verdict.ts";
import { type Certificate, parseCertificate } from "./x509.ts";

export interface TdxQuote {
  /** Header and body, as the attestation key signs them. */
  signed: Uint8Array;
  /** Nothing but zeros behind the quote. */
  clean: boolean;
  signature: Uint8Array;
  /** The point `04 ‖ x ‖ y`. */
  attestationKey: Uint8Array;
  body: TdBody;
  qe: QeReport;
  /** PCK leaf first, root last. */
  chain: Certificate[];
}

interface TdBody {
  teeTcbSvn: Uint8Array;
  mrSignerSeam: Uint8Array;
  seamAttributes: Uint8Array;
  attributes: bigint;
  mrtd: Uint8Array;
  rtmr: readonly Uint8Array[];
  reportData: Uint8Array;
}

interface QeReport {
  signed: Uint8Array;
  signature: Uint8Array;
  /** What its report data must be the SHA-256 of. */
  vouchesFor: Uint8Array;
  miscselect: number;
  attributes: Uint8Array;
  mrsigner: Uint8Array;
  productId: number;
  svn: number;
  reportData: Uint8Array;
}

const HEADER_BYTES = 48;
const ECDSA_P256 = 2;
const TDX = 0x81;
const INTEL_QE = "939a7233f79c4ca9940a0db3957f0607";
const TD_10_BYTES = 584;
const TD_15_BYTES = 648;
const QE_REPORT_CERTIFICATION = 6;
const PCK_CHAIN = 5;
const QE_REPORT_BYTES = 384;

const malformed = (what: string) => new Refused("malformed", `TDX quote: ${what}`);

/** Takes bytes in order; more than there are is malformed. */
function reader(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const advance = (length: number) => {
    if (at + length > bytes.length) throw malformed("it ends early");
    at += length;
    return at - length;
  };
  return {
    take(length: number) {
      const from = advance(length);
      return bytes.subarray(from, from + length);
    },
    u16: () => view.getUint16(advance(2), true),
    u32: () => view.getUint32(advance(4), true),
    rest: () => bytes.subarray(at),
    at: () => at,
  };
}

/** @throws {Refused} */
export function parseQuote(bytes: Uint8Array): TdxQuote {
  const quote = reader(bytes);
  const header = reader(quote.take(HEADER_BYTES));
  const version = header.u16();
  if (version !== 4 && version !== 5) throw new Refused("unsupported", `quote version ${version}`);
  if (header.u16() !== ECDSA_P256) throw new Refused("unsupported", "an attestation key that is not ECDSA P-256");
  if (header.u32() !== TDX) throw new Refused("unsupported", "a quote of another TEE than TDX");
  header.take(4);
  if (bytesToHex(header.take(16)) !== INTEL_QE) throw new Refused("unsupported", "a quoting enclave of another vendor");
  const body = parseBody(quote.take(version === 4 ? TD_10_BYTES : bodyBytes(quote.u16(), quote.u32())));
  const signed = bytes.subarray(0, quote.at());

  const data = reader(quote.take(quote.u32()));
  const signature = data.take(64);
  const key = data.take(64);
  if (data.u16() !== QE_REPORT_CERTIFICATION) throw malformed("certification data of another type");
  const certification = reader(data.take(data.u32()));
  if (data.rest().length > 0) throw malformed("more signature data than there may be");
  const report = certification.take(QE_REPORT_BYTES);
  const reportSignature = certification.take(64);
  const authentication = certification.take(certification.u16());
  if (certification.u16() !== PCK_CHAIN) throw new Refused("unsupported", "no chain of certificates in the quote");
  const pem = new TextDecoder("latin1").decode(certification.take(certification.u32()));
  if (certification.rest().length > 0) throw malformed("more certification data than there may be");
  return {
    signed,
    // The buffer of the service that makes quotes is larger than they are: its zeros are no part of the quote.
    clean: quote.rest().every((byte) => byte === 0),
    signature,
    attestationKey: concatBytes(Uint8Array.of(4), key),
    body,
    qe: parseQeReport(report, reportSignature, concatBytes(key, authentication)),
    chain: certificatesOf(pem.endsWith("\0") ? pem.slice(0, -1) : pem).map(parseCertificate),
  };
}

function bodyBytes(type: number, size: number): number {
  const expected = { 2: TD_10_BYTES, 3: TD_15_BYTES }[type];
  if (expected === undefined) throw new Refused("unsupported", `quote body of type ${type}`);
  if (size !== expected) throw malformed("the size of the body is not that of its type");
  return size;
}

function parseBody(bytes: Uint8Array): TdBody {
  const part = (at: number, length: number) => bytes.subarray(at, at + length);
  return {
    teeTcbSvn: part(0, 16),
    mrSignerSeam: part(64, 48),
    seamAttributes: part(112, 8),
    attributes: new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(120, true),
    mrtd: part(136, 48),
    rtmr: [328, 376, 424, 472].map((at) => part(at, 48)),
    reportData: part(520, 64),
  };
}

function parseQeReport(signed: Uint8Array, signature: Uint8Array, vouchesFor: Uint8Array): QeReport {
  const view = new DataView(signed.buffer, signed.byteOffset);
  const part = (at: number, length: number) => signed.subarray(at, at + length);
  return {
    signed,
    signature,
    vouchesFor,
    miscselect: view.getUint32(16, true),
    attributes: part(48, 16),
    mrsigner: part(128, 32),
    productId: view.getUint16(256, true),
    svn: view.getUint16(258, true),
    reportData: part(320, 64),
  };
}
