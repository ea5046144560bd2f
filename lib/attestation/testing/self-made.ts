/** Whole pieces of evidence under roots of our own: right in everything but the root, until a test changes something. */
import { encode } from "cborg";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { pemOf } from "../pem.ts";
import type { NitroEvidence } from "../nitro.ts";
import type { SnpEvidence } from "../sev-snp.ts";
import type { TdxEvidence } from "../tdx.ts";
import { VENDOR_ROOTS, type VendorRoots } from "../vendor-roots.ts";
import {
  type Authority,
  type CertificateOrder,
  certify,
  curveKey,
  integer,
  oid,
  revoke,
  rsaKey,
  sequence,
  tlv,
} from "./certificates.ts";

/** What all of it is good at (ms since the epoch), and a year on both sides. */
export const AT = Date.parse("2026-06-01T00:00:00Z");
const YEAR = 365 * 86_400_000;
export const LIFE = { from: AT - YEAR, to: AT + YEAR };

type Change = Partial<CertificateOrder>;

/** @param change of the certificates, by their place in the chain */
export interface SnpChanges {
  leaf?: Change;
  ask?: Change;
  ark?: Change;
  reportData?: Uint8Array;
  highS?: boolean;
  /** Changes the report before it is signed. */
  report?(bytes: Uint8Array): void;
}

export const SNP_MEASUREMENT = "5a".repeat(48);

let rsa: Promise<[Authority["key"], Authority["key"]]> | null = null;
/** Two RSA keys for the whole process: making one takes a while. */
const rsaKeys = () => rsa ??= Promise.all([rsaKey(), rsaKey()]);

export async function selfMadeSnp(changes: SnpChanges = {}) {
  const [arkKey, askKey] = await rsaKeys();
  const ark = await certify({ name: "ARK-Milan", key: arkKey, ...LIFE, ca: true, ...changes.ark });
  const ask = await certify({
    name: "SEV-Milan",
    key: askKey,
    by: ark,
    ...LIFE,
    ca: true,
    pathLength: 0,
    ...changes.ask,
  });
  const key = curveKey("p384", changes.highS);
  const chipId = new Uint8Array(64).fill(7);
  const tcb = { 1: 3, 2: 0, 3: 8, 8: 115 };
  const leaf = await certify({
    name: "SEV-VCEK",
    key,
    by: ask,
    serial: 0,
    ...LIFE,
    extensions: [
      ...Object.entries(tcb).map(([n, svn]): [string, Uint8Array] => [`1.3.6.1.4.1.3704.1.3.${n}`, integer(svn)]),
      ["1.3.6.1.4.1.3704.1.4", chipId],
    ],
    ...changes.leaf,
  });
  const report = new Uint8Array(1184);
  const view = new DataView(report.buffer);
  view.setUint32(0, 2, true);
  view.setBigUint64(8, 0x30000n, true);
  view.setUint32(0x34, 1, true);
  report.set(changes.reportData ?? new Uint8Array(64).fill(1), 0x50);
  report.fill(0x5a, 0x90, 0xc0);
  report.set([3, 0, 0, 0, 0, 0, 8, 115], 0x180);
  report.set(chipId, 0x1a0);
  changes.report?.(report);
  const signature = await leaf.key.sign(report.subarray(0, 0x2a0));
  report.set(signature.slice(0, 48).reverse(), 0x2a0);
  report.set(signature.slice(48).reverse(), 0x2a0 + 72);
  const evidence: SnpEvidence = {
    kind: "sev-snp",
    report,
    leaf: leaf.certificate,
    chain: [ask.certificate, ark.certificate],
  };
  return { evidence, ark, ask, leaf, roots: { ...VENDOR_ROOTS, amd: [ark.certificate] } satisfies VendorRoots };
}

export async function selfMadeNitro(
  changes: { leaf?: Change; ca?: Change; pcr0?: Uint8Array; userData?: Uint8Array } = {},
) {
  const root = await certify({ name: "aws.nitro-enclaves", key: curveKey("p384"), ...LIFE, ca: true });
  const chain = [root];
  for (const [i, name] of ["region", "zonal", "instance"].entries()) {
    const order = { name, key: curveKey("p384"), by: chain[i]!, ...LIFE, ca: true, pathLength: 2 - i };
    chain.push(await certify({ ...order, ...(name === "zonal" && changes.ca) }));
  }
  const leaf = await certify({ name: "enclave", key: curveKey("p384"), by: chain[3]!, ...LIFE, ...changes.leaf });
  const register = new Uint8Array(48).fill(9);
  const payload = encode({
    module_id: "self-made",
    digest: "SHA384",
    timestamp: AT,
    pcrs: new Map([[0, changes.pcr0 ?? register], [1, register], [2, register], [4, new Uint8Array(48)]]),
    certificate: leaf.certificate,
    cabundle: chain.map(({ certificate }) => certificate),
    public_key: null,
    user_data: changes.userData ?? new Uint8Array(64).fill(1),
    nonce: null,
  });
  const header = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
  const signature = await leaf.key.sign(encode(["Signature1", header, new Uint8Array(), payload]));
  const document = concatBytes(
    Uint8Array.of(0x84),
    encode(header),
    Uint8Array.of(0xa0),
    encode(payload),
    encode(signature),
  );
  const evidence: NitroEvidence = { kind: "nitro", document };
  return { evidence, root, roots: { ...VENDOR_ROOTS, aws: [root.certificate] } satisfies VendorRoots };
}

export interface TdxChanges {
  pck?: Change;
  ca?: Change;
  /** Serials that each list has revoked. */
  revokedByRoot?: number[];
  revokedByCa?: number[];
  lists?: { from: number; to: number };
  criticalList?: boolean;
  tcbInfo?: Record<string, unknown>;
  qeIdentity?: Record<string, unknown>;
  /** Bytes behind the chain, and behind what it is in. */
  behindChain?: Uint8Array;
  behindCertification?: Uint8Array;
  /** Changes the body before it is signed. */
  body?(bytes: Uint8Array): void;
  qe?(report: Uint8Array): void;
}

/** Serials, so that a list can name them. */
export const SERIALS = { ca: 11, pck: 12, signing: 13 };

export async function selfMadeTdx(changes: TdxChanges = {}) {
  const root = await certify({ name: "Intel SGX Root CA", key: curveKey("p256"), ...LIFE, ca: true, pathLength: 1 });
  const under = (name: string, serial: number) => ({ name, key: curveKey("p256"), by: root, serial, ...LIFE });
  const ca = await certify({
    ...under("Intel SGX PCK Platform CA", SERIALS.ca),
    ca: true,
    pathLength: 0,
    ...changes.ca,
  });
  const signing = await certify(under("Intel SGX TCB Signing", SERIALS.signing));
  const arc = "1.2.840.113741.1.13.1";
  const components = Array.from({ length: 16 }, (_, i) => sequence(oid(`${arc}.2.${i + 1}`), integer(5)));
  const extension = sequence(
    sequence(oid(`${arc}.2`), sequence(...components, sequence(oid(`${arc}.2.17`), integer(11)))),
    sequence(oid(`${arc}.3`), tlv(4, new Uint8Array(2))),
    sequence(oid(`${arc}.4`), tlv(4, new Uint8Array(6).fill(0xb0))),
  );
  const pck = await certify({
    ...under("Intel SGX PCK Certificate", SERIALS.pck),
    by: ca,
    extensions: [[arc, extension]],
    ...changes.pck,
  });

  const key = curveKey("p256", true);
  const header = new Uint8Array(48);
  new DataView(header.buffer).setUint32(0, 4 | 2 << 16, true);
  header.set([0x81], 4);
  header.set(
    Uint8Array.from([0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 6, 7]),
    12,
  );
  const body = new Uint8Array(584);
  body.set([6, 1, 3], 0);
  body.set([0x10], 120 + 3);
  body.fill(1, 520, 584);
  changes.body?.(body);
  const authentication = new Uint8Array(32).fill(3);
  const qe = new Uint8Array(384);
  qe.set([0x11], 48);
  qe.fill(0xdc, 128, 160);
  qe.set([2, 0, 4, 0], 256);
  qe.set(sha256(concatBytes(key.point.subarray(1), authentication)), 320);
  changes.qe?.(qe);
  const pem = utf8ToBytes([pck, ca, root].map(({ certificate }) => pemOf(certificate)).join(""));
  const u16 = (value: number) => new Uint8Array(new Uint16Array([value]).buffer);
  const u32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
  const certification = concatBytes(
    qe,
    await pck.key.sign(qe),
    u16(authentication.length),
    authentication,
    u16(5),
    u32(pem.length),
    pem,
    changes.behindChain ?? new Uint8Array(),
  );
  const signature = await key.sign(concatBytes(header, body));
  const data = concatBytes(
    signature,
    key.point.subarray(1),
    u16(6),
    u32(certification.length),
    certification,
    changes.behindCertification ?? new Uint8Array(),
  );
  const quote = concatBytes(header, body, u32(data.length), data);
  const evidence: TdxEvidence = { kind: "tdx", quote, collateral: await collateralOf({ root, ca, signing }, changes) };
  return { evidence, roots: { ...VENDOR_ROOTS, intel: [root.certificate] } satisfies VendorRoots };
}

async function collateralOf(by: { root: Authority; ca: Authority; signing: Authority }, changes: TdxChanges) {
  const { root, ca, signing } = by;
  const dates = { issueDate: new Date(LIFE.from).toISOString(), nextUpdate: new Date(LIFE.to).toISOString() };
  const components = Array.from({ length: 16 }, () => ({ svn: 2 }));
  const module = { mrsigner: "00".repeat(48), attributes: "00".repeat(8), attributesMask: "FF".repeat(8) };
  const level = (isvsvn: number) => [{ tcb: { isvsvn }, tcbStatus: "UpToDate" }];
  const tcbInfo = JSON.stringify({
    id: "TDX",
    version: 3,
    ...dates,
    fmspc: "B0B0B0B0B0B0",
    pceId: "0000",
    tdxModule: module,
    tdxModuleIdentities: [{ id: "TDX_01", ...module, tcbLevels: level(4) }],
    tcbLevels: [{
      tcb: {
        sgxtcbcomponents: components,
        tdxtcbcomponents: components.map((_, i) => ({ svn: [9, 0, 3][i] ?? 0 })),
        pcesvn: 11,
      },
      tcbStatus: "UpToDate",
    }],
    ...changes.tcbInfo,
  });
  const qeIdentity = JSON.stringify({
    id: "TD_QE",
    version: 2,
    ...dates,
    miscselect: "00000000",
    miscselectMask: "FFFFFFFF",
    attributes: "11" + "00".repeat(15),
    attributesMask: "FB" + "FF".repeat(7) + "00".repeat(8),
    mrsigner: "DC".repeat(32),
    isvprodid: 2,
    tcbLevels: level(4),
    ...changes.qeIdentity,
  });
  const lists = changes.lists ?? LIFE;
  const chain = (signer: Authority) => pemOf(signer.certificate) + pemOf(root.certificate);
  const sign = async (text: string) => bytesToHex(await signing.key.sign(utf8ToBytes(text)));
  return JSON.stringify({
    pck_crl_issuer_chain: chain(ca),
    root_ca_crl: bytesToHex(await revoke(root, changes.revokedByRoot ?? [], lists, changes.criticalList)),
    pck_crl: bytesToHex(await revoke(ca, changes.revokedByCa ?? [], lists)),
    tcb_info_issuer_chain: chain(signing),
    tcb_info: tcbInfo,
    tcb_info_signature: await sign(tcbInfo),
    qe_identity_issuer_chain: chain(signing),
    qe_identity: qeIdentity,
    qe_identity_signature: await sign(qeIdentity),
  });
}
