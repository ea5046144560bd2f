/** Intel TDX: a quote, the processor's certificate in it, and Intel's word about the firmware (DCAP). */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { checkChain, sameBytes, type Trust } from "./chain.ts";
import * as der from "./der.ts";
import { type Policy, TCB_STATUSES, type TcbStatus } from "./policy.ts";
import {
  checkCollateral,
  type EnclaveLevels,
  type QeIdentity,
  type TcbInfo,
  type TdxModule,
} from "./tdx-collateral.ts";
import { parseQuote, type TdxQuote } from "./tdx-quote.ts";
import { type Findings, Refused } from "./verdict.ts";
import type { VendorRoots } from "./vendor-roots.ts";
import type { Certificate } from "./x509.ts";

export interface TdxEvidence {
  kind: "tdx";
  quote: Uint8Array;
  /** JSON text as Intel's service gave it, see {@link checkCollateral}. */
  collateral: string;
}

const DEBUG = 1n;
const SEPT_VE_DISABLE = 1n << 28n;
/** Protection keys and performance counters: harmless. Every other bit is reserved or takes something off the protection. */
const ALLOWED_ATTRIBUTES = SEPT_VE_DISABLE | 1n << 30n | 1n << 63n;

const PCK_EXTENSION = der.oid("1.2.840.113741.1.13.1");
const PCK_TCB = der.oid("1.2.840.113741.1.13.1.2");
const PCK_PCEID = der.oid("1.2.840.113741.1.13.1.3");
const PCK_FMSPC = der.oid("1.2.840.113741.1.13.1.4");
const tcbArc = (n: number) => der.oid(`1.2.840.113741.1.13.1.2.${n}`);
const PCK_COMPONENTS = Array.from({ length: 16 }, (_, i) => tcbArc(i + 1));
const PCK_PCESVN = tcbArc(17);

/** The whole of a quote's check. @returns the 64 bytes of report data. @throws {Refused} */
export async function checkTdx(
  evidence: TdxEvidence,
  roots: VendorRoots,
  policy: Policy["tdx"] | null,
  trust: Trust,
  to: Findings,
): Promise<Uint8Array> {
  const quote = parseQuote(evidence.quote);
  to.demand(quote.clean, "trailing_bytes", "bytes behind the quote");
  const [leaf] = quote.chain;
  if (!leaf || quote.chain.length !== 3) throw new Refused("chain_form", "the quote's chain is not leaf, CA and root");
  await checkChain(quote.chain, roots.intel, trust, to);
  await checkSignatures(quote, leaf, trust, to);
  checkAttributes(quote, to);
  tell(quote, to);
  if (policy) checkMeasurement(policy, quote, to);

  const { tcbInfo, qeIdentity } = await checkCollateral(evidence.collateral, quote.chain, roots, trust, to);
  const pck = pckTcb(leaf);
  const sameProcessor = pck.fmspc === tcbInfo.fmspc.toLowerCase() && pck.pceId === tcbInfo.pceId.toLowerCase();
  to.demand(sameProcessor, "collateral_mismatch", `the collateral is of FMSPC ${tcbInfo.fmspc}, not ${pck.fmspc}`);
  const statuses = {
    platform: platformStatus(tcbInfo, pck, quote),
    "TDX module": moduleStatus(tcbInfo, quote, to),
    "quoting enclave": qeStatus(qeIdentity, quote, to),
  };
  const accepted: readonly TcbStatus[] = policy?.tcb ?? ["UpToDate"];
  for (const [name, status] of Object.entries(statuses)) {
    to.fact(`${name} status`, status ?? "none");
    const good = status !== null && accepted.includes(status);
    to.demand(good, "tcb", status ? `${name} is ${status}` : `no TCB level of Intel's matches this ${name}`);
  }
  const found = Object.values(statuses);
  const worst = Math.max(...found.map((status) => status ? TCB_STATUSES.indexOf(status) : TCB_STATUSES.length));
  to.fact("tcbStatus", TCB_STATUSES[worst] ?? "none");
  return quote.body.reportData;
}

/** Attestation key over the quote, quoting enclave over that key, processor over the enclave. */
async function checkSignatures(quote: TdxQuote, leaf: Certificate, { check }: Trust, to: Findings): Promise<void> {
  const { qe } = quote;
  const byKey = await check("p256-sha256", quote.attestationKey, quote.signature, quote.signed);
  to.demand(byKey, "signature", "the quote is not signed by its attestation key");
  const vouched = sameBytes(qe.reportData.subarray(0, 32), sha256(qe.vouchesFor)) &&
    qe.reportData.subarray(32).every((byte) => byte === 0);
  to.demand(vouched, "quoting_enclave", "the quoting enclave does not vouch for the attestation key");
  const byProcessor = leaf.key.kind === "p256" && await check("p256-sha256", leaf.key.bytes, qe.signature, qe.signed);
  to.demand(byProcessor, "signature", "the quoting enclave's report is not signed by the processor's key");
}

function checkAttributes({ body: { attributes } }: TdxQuote, to: Findings): void {
  to.demand((attributes & DEBUG) === 0n, "debug", "the TD may be debugged: its memory is open to the host");
  const sound = (attributes & SEPT_VE_DISABLE) !== 0n;
  to.demand(sound, "attributes", "SEPT_VE_DISABLE is off: the host may surprise the guest by taking its pages");
  const others = attributes & ~(ALLOWED_ATTRIBUTES | DEBUG);
  to.demand(others === 0n, "attributes", `TD attributes 0x${others.toString(16)} must be off`);
}

function tell({ body }: TdxQuote, to: Findings): void {
  to.fact("mrtd", bytesToHex(body.mrtd));
  for (const [i, register] of body.rtmr.entries()) to.fact(`rtmr${i}`, bytesToHex(register));
  to.fact("reportData", bytesToHex(body.reportData));
}

function checkMeasurement(policy: NonNullable<Policy["tdx"]>, { body }: TdxQuote, to: Findings): void {
  const [rtmr0, rtmr1, rtmr2, rtmr3] = body.rtmr.map(bytesToHex);
  const measured: Record<string, string | undefined> = { mrtd: bytesToHex(body.mrtd), rtmr0, rtmr1, rtmr2, rtmr3 };
  const listed = policy.measurements.some((wanted) =>
    Object.entries(wanted).every(([name, value]) => value === undefined || measured[name] === value)
  );
  to.demand(listed, "measurement", "the policy lists no such MRTD and RTMRs");
}

interface PckTcb {
  components: number[];
  pceSvn: number;
  fmspc: string;
  pceId: string;
}

/** Intel's extension of the processor's certificate: a sequence of (OID, value), one of them of the same form. @throws {Refused} */
function pckTcb(leaf: Certificate): PckTcb {
  const pairs = (fields: der.Fields) => {
    const found = new Map<string, der.Element>();
    while (fields.more()) {
      const pair = der.fieldsOf(fields.next(der.SEQUENCE).content);
      found.set(der.oidHex(pair.next(der.OID)), pair.any());
      pair.end();
    }
    return (id: string, tag: number) => {
      const value = found.get(id);
      if (value?.tag !== tag) throw new Refused("malformed", "the processor's certificate lacks Intel's extension");
      return value;
    };
  };
  const extension = leaf.extensions.get(PCK_EXTENSION);
  if (!extension) throw new Refused("malformed", "the processor's certificate lacks Intel's extension");
  const of = pairs(der.sequence(extension));
  const tcb = pairs(der.fieldsOf(of(PCK_TCB, der.SEQUENCE).content));
  return {
    components: PCK_COMPONENTS.map((id) => der.smallInteger(tcb(id, der.INTEGER))),
    pceSvn: der.smallInteger(tcb(PCK_PCESVN, der.INTEGER)),
    fmspc: bytesToHex(of(PCK_FMSPC, der.OCTET_STRING).content),
    pceId: bytesToHex(of(PCK_PCEID, der.OCTET_STRING).content),
  };
}

/** The first level that this processor reaches in every part; null: none. */
function platformStatus(tcbInfo: TcbInfo, pck: PckTcb, { body: { teeTcbSvn } }: TdxQuote): TcbStatus | null {
  // A module with a version of its own is judged by its identity.
  const from = (teeTcbSvn[1] ?? 0) > 0 ? 2 : 0;
  const level = tcbInfo.tcbLevels.find(({ tcb }) =>
    tcb.pcesvn <= pck.pceSvn &&
    tcb.sgxtcbcomponents.every(({ svn }, i) => svn <= (pck.components[i] ?? 0)) &&
    tcb.tdxtcbcomponents.every(({ svn }, i) => i < from || svn <= (teeTcbSvn[i] ?? 0))
  );
  return level?.tcbStatus ?? null;
}

function moduleStatus(tcbInfo: TcbInfo, { body }: TdxQuote, to: Findings): TcbStatus | null {
  const [svn = 0, version = 0] = body.teeTcbSvn;
  const id = `TDX_${version.toString(16).padStart(2, "0")}`;
  const identity = tcbInfo.tdxModuleIdentities.find((known) => known.id.toLowerCase() === id.toLowerCase());
  const module: TdxModule | undefined = version > 0 ? identity : tcbInfo.tdxModule;
  const genuine = module !== undefined && sameBytes(body.mrSignerSeam, module.mrsigner) &&
    masked(body.seamAttributes, module.attributes, module.attributesMask);
  to.demand(genuine, "tcb", "the TDX module is not Intel's");
  // Without a version of its own the module is among the components of the platform.
  return version > 0 ? statusOf(identity?.tcbLevels ?? [], svn) : "UpToDate";
}

function qeStatus(identity: QeIdentity, { qe }: TdxQuote, to: Findings): TcbStatus | null {
  // Big endian in Intel's JSON, little endian in the report.
  const mask = parseInt(identity.miscselectMask, 16);
  const genuine = sameBytes(qe.mrsigner, identity.mrsigner) && qe.productId === identity.isvprodid &&
    (qe.miscselect & mask) === (parseInt(identity.miscselect, 16) & mask) &&
    masked(qe.attributes, identity.attributes, identity.attributesMask);
  to.demand(genuine, "quoting_enclave", "the quoting enclave is not Intel's");
  return statusOf(identity.tcbLevels, qe.svn);
}

const statusOf = (levels: EnclaveLevels, svn: number): TcbStatus | null =>
  levels.find(({ tcb }) => tcb.isvsvn <= svn)?.tcbStatus ?? null;

const masked = (bytes: Uint8Array, wanted: Uint8Array, mask: Uint8Array): boolean =>
  bytes.length === wanted.length && mask.length === wanted.length &&
  bytes.every((byte, i) => (byte & (mask[i] ?? 0)) === ((wanted[i] ?? 0) & (mask[i] ?? 0)));
