/**
 * AMD SEV-SNP attestation reports ("SEV Secure Nested Paging Firmware ABI Specification", AMD 56860, table ATTESTATION_REPORT):
 * 1184 bytes, little endian, signed by the chip's VCEK or the cloud's VLEK.
 */
import { bytesToHex } from "@noble/hashes/utils.js";
import { checkChain, checkRevocation, sameBytes, type Trust } from "./chain.ts";
import * as der from "./der.ts";
import type { Policy } from "./policy.ts";
import { type Findings, Refused } from "./verdict.ts";
import type { VendorRoots } from "./vendor-roots.ts";
import { type Certificate, parseCertificate, parseRevocationList } from "./x509.ts";

export interface SnpEvidence {
  kind: "sev-snp";
  report: Uint8Array;
  /** VCEK or VLEK, DER. */
  leaf: Uint8Array;
  /** DER of intermediate and root in any order, looked at before those that AMD publishes. */
  chain?: readonly Uint8Array[];
  /** AMD's list of revoked intermediate certificates, DER. (A VCEK's serial is always 0: none can be revoked.) */
  revocationList?: Uint8Array;
}

const REPORT_BYTES = 1184;
const SIGNED_BYTES = 0x2a0;
/** r and s take 72 octets each, of which 48 are used. */
const NUMBER_BYTES = 72;
const USED_BYTES = 48;
const DEBUG = 1n << 19n;
const MIGRATION_AGENT = 1n << 18n;
const ALWAYS_ONE = 1n << 17n;
const HOST_VMPL = 0xffffffff;

const ARC = "1.3.6.1.4.1.3704.1";
const HARDWARE_ID = der.oid(`${ARC}.4`);

type TcbPart = "bootLoader" | "tee" | "snp" | "microcode" | "fmc";
const EXTENSION_OF: Record<TcbPart, string> = {
  bootLoader: der.oid(`${ARC}.3.1`),
  tee: der.oid(`${ARC}.3.2`),
  snp: der.oid(`${ARC}.3.3`),
  microcode: der.oid(`${ARC}.3.8`),
  fmc: der.oid(`${ARC}.3.9`),
};
/** Where each part stands among the 8 bytes of a TCB version. */
const BEFORE_TURIN: Partial<Record<TcbPart, number>> = { bootLoader: 0, tee: 1, snp: 6, microcode: 7 };
const SINCE_TURIN: Partial<Record<TcbPart, number>> = { fmc: 0, bootLoader: 1, tee: 2, snp: 3, microcode: 7 };

const PRODUCTS: Record<
  string,
  { layout: typeof BEFORE_TURIN; chipIdBytes: number; is(family: number, model: number): boolean }
> = {
  Milan: { layout: BEFORE_TURIN, chipIdBytes: 64, is: (family, model) => family === 0x19 && model < 0x10 },
  Genoa: {
    layout: BEFORE_TURIN,
    chipIdBytes: 64,
    is: (family, model) => family === 0x19 && [0x10, 0xa0].includes(model & 0xf0),
  },
  Turin: { layout: SINCE_TURIN, chipIdBytes: 8, is: (family) => family === 0x1a },
};

/** Certificates by what they are: their place in the table of a host says nothing that is signed. */
export function leafAmong(certificates: readonly Uint8Array[]): Uint8Array | undefined {
  return certificates.find((bytes) => /^SEV-V[CL]EK$/.test(parseCertificate(bytes).name));
}

/** What a report says; its parts are views of `bytes`. @throws {Refused} */
function parseReport(bytes: Uint8Array) {
  if (bytes.length !== REPORT_BYTES) throw new Refused("malformed", `a report has ${REPORT_BYTES} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const part = (at: number, length: number) => bytes.subarray(at, at + length);
  const zero = (from: number, to?: number) => bytes.subarray(from, to).every((byte) => byte === 0);
  const [r, s] = [SIGNED_BYTES, SIGNED_BYTES + NUMBER_BYTES];
  const end = s + NUMBER_BYTES;
  if (!zero(r + USED_BYTES, s) || !zero(s + USED_BYTES, end)) {
    throw new Refused("malformed", "the signature is longer than its curve allows");
  }
  const keyInfo = view.getUint32(0x48, true);
  return {
    version: view.getUint32(0, true),
    policy: view.getBigUint64(8, true),
    vmpl: view.getUint32(0x30, true),
    algorithm: view.getUint32(0x34, true),
    signingKey: (keyInfo >> 2) & 7,
    reportData: part(0x50, 64),
    measurement: part(0x90, 48),
    hostData: part(0xc0, 32),
    reportedTcb: part(0x180, 8),
    family: bytes[0x188] ?? 0,
    model: bytes[0x189] ?? 0,
    chipId: part(0x1a0, 64),
    signed: part(0, SIGNED_BYTES),
    /** Nobody signs what is behind the signature, so there must be nothing. */
    clean: zero(end),
    // Little endian here, big endian for everybody else.
    signature: Uint8Array.from([...part(r, USED_BYTES).toReversed(), ...part(s, USED_BYTES).toReversed()]),
  };
}
type Report = ReturnType<typeof parseReport>;

/** The whole of a report's check. @returns the 64 bytes its signer put into it. @throws {Refused} */
export async function checkSnp(
  evidence: SnpEvidence,
  roots: VendorRoots,
  policy: Policy["sev-snp"] | null,
  trust: Trust,
  to: Findings,
): Promise<Uint8Array> {
  const report = parseReport(evidence.report);
  if (![2, 3, 5].includes(report.version)) throw new Refused("unsupported", `report version ${report.version}`);
  if (report.algorithm !== 1) throw new Refused("unsupported", `signature algorithm ${report.algorithm}`);
  to.demand(report.clean, "trailing_bytes", "the bytes behind the signature are not zero");
  const leaf = parseCertificate(evidence.leaf);
  const { product, kind } = await checkLeaf(leaf, evidence, roots, trust, to);
  to.demand(kind === report.signingKey, "leaf_mismatch", "the report was signed by a key of the other kind");

  const { layout, chipIdBytes, is } = PRODUCTS[product] ?? PRODUCTS.Milan!;
  const sameCpu = report.version < 3 || is(report.family, report.model);
  to.demand(sameCpu, "leaf_mismatch", `the report is not of a ${product}`);
  const tcb = checkTcb(leaf, layout, report.reportedTcb, to);
  const chip = leaf.extensions.get(HARDWARE_ID);
  const sameChip = kind === 1
    ? chip === undefined
    : chip !== undefined && sameBytes(chip, report.chipId.subarray(0, chipIdBytes));
  to.demand(sameChip, "leaf_mismatch", "the certificate is of another chip");
  const signed = leaf.key.kind === "p384" &&
    await trust.check("p384-sha384", leaf.key.bytes, report.signature, report.signed);
  to.demand(signed, "signature", "the report is not signed by its certificate");

  to.demand((report.policy & DEBUG) === 0n, "debug", "the guest may be debugged: its memory is open to the host");
  const sound = (report.policy & ALWAYS_ONE) !== 0n && (report.policy & MIGRATION_AGENT) === 0n;
  to.demand(sound, "attributes", "the guest's policy allows a migration agent, or is none");
  to.demand(report.vmpl <= 3, "attributes", report.vmpl === HOST_VMPL ? "asked for by the host" : "no such VMPL");
  tell(report, tcb, product, to);
  if (policy) checkPolicy(policy, report, tcb, to);
  return report.reportData;
}

/** Chain, revocation and names. @returns the product and whose key it is: 0 VCEK, 1 VLEK. */
async function checkLeaf(leaf: Certificate, evidence: SnpEvidence, roots: VendorRoots, trust: Trust, to: Findings) {
  const pool = [...evidence.chain ?? [], ...roots.amdIntermediates, ...roots.amd].map(parseCertificate);
  const issuerOf = (certificate: Certificate | undefined) =>
    certificate && pool.find((other) => other.ca && sameBytes(other.subject, certificate.issuer));
  const issuer = issuerOf(leaf);
  const root = issuerOf(issuer);
  if (!issuer || !root) {
    throw new Refused("material_missing", "the certificates that lead from the report's key to AMD's root are missing");
  }
  await checkChain([leaf, issuer, root], roots.amd, trust, to);
  const list = evidence.revocationList;
  if (list) await checkRevocation(parseRevocationList(list), root, [issuer], trust, to);
  const [, vlek, product = ""] = /^SEV-(VLEK-)?(Milan|Genoa|Turin)$/.exec(issuer.name) ?? [];
  const named = PRODUCTS[product] !== undefined && leaf.name === (vlek ? "SEV-VLEK" : "SEV-VCEK");
  to.demand(named, "chain_form", `${leaf.name} of ${issuer.name} is no key that signs reports`);
  return { product, kind: vlek ? 1 : 0 };
}

/** The leaf is made for one state of the firmware: the one reported, which is not the current one where a host rolled it back. */
function checkTcb(leaf: Certificate, layout: typeof BEFORE_TURIN, reported: Uint8Array, to: Findings) {
  const tcb: Partial<Record<TcbPart, number>> = {};
  for (const [part, at] of Object.entries(layout) as [TcbPart, number][]) {
    const value = leaf.extensions.get(EXTENSION_OF[part]);
    const certified = value ? der.smallInteger(der.element(value, der.INTEGER)) : null;
    tcb[part] = reported[at] ?? 0;
    const same = certified === tcb[part];
    to.demand(same, "leaf_mismatch", `TCB ${part}: certificate ${certified ?? "none"}, report ${tcb[part]}`);
  }
  return tcb;
}

function tell(report: Report, tcb: Partial<Record<TcbPart, number>>, product: string, to: Findings): void {
  to.fact("product", product);
  to.fact("measurement", bytesToHex(report.measurement));
  to.fact("hostData", bytesToHex(report.hostData));
  to.fact("reportData", bytesToHex(report.reportData));
  to.fact("vmpl", String(report.vmpl));
  to.fact("policy", `0x${report.policy.toString(16)}`);
  to.fact("tcb", Object.entries(tcb).map(([part, value]) => `${part} ${value}`).join(", "));
}

function checkPolicy(
  policy: NonNullable<Policy["sev-snp"]>,
  report: Report,
  tcb: Partial<Record<TcbPart, number>>,
  to: Findings,
): void {
  const measurement = bytesToHex(report.measurement);
  to.demand(policy.measurements.includes(measurement), "measurement", `the policy does not list ${measurement}`);
  to.demand(policy.vmpl.includes(report.vmpl), "policy", `the policy does not accept VMPL ${report.vmpl}`);
  const hostData = bytesToHex(report.hostData);
  const known = !policy.hostData || policy.hostData.includes(hostData);
  to.demand(known, "policy", `the policy does not list host data ${hostData}`);
  for (const [part, least] of Object.entries(policy.minimumTcb ?? {}) as [TcbPart, number | undefined][]) {
    const enough = least === undefined || (tcb[part] ?? 0) >= least;
    to.demand(enough, "tcb", `${part} is ${tcb[part] ?? "none"}, and the policy asks for ${least}`);
  }
}
