/** What `GET /api/attestation` of another instance answered, checked from end to end. */
import { schnorr } from "@noble/curves/secp256k1.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import type { Policy } from "./policy.ts";
import { bindingMessage, reportDataOf } from "./report-data.ts";
import { leafAmong } from "./sev-snp.ts";
import { certificatesInTable } from "./sev-snp-table.ts";
import { collect, type Findings, HARDWARE, type Hardware, type Kind, Refused, type Verdict } from "./verdict.ts";
import type { VendorRoots } from "./vendor-roots.ts";
import { type Evidence, verifyEvidence } from "./verify.ts";

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));
const base64 = z.base64().transform((text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
const kindSchema = z.enum(["none", "simulated", ...HARDWARE]);
const answerSchema = z.object({
  kind: kindSchema,
  quote: base64.optional(),
  certificates: base64.optional(),
  reportData: hex(64),
  build: z.object({ version: z.string(), commit: z.string(), sha256: z.union([hex(32), z.literal("unknown")]) }),
  instanceKey: hex(32),
  tlsKeyHash: hex(32).optional(),
  signature: hex(64).optional(),
});
type InstanceAnswer = z.output<typeof answerSchema>;

/** What the checker brings, because an instance does not have it or is not to be believed about it. */
export interface Brought {
  /** The 32 bytes that were asked with. */
  nonce: Uint8Array;
  /** SHA-256 of the SubjectPublicKeyInfo of the TLS key that answered, in hex; null where there was no TLS, or nobody could see it. */
  tlsKeyHash: string | null;
  /** Ms since the epoch. */
  at: number;
  /** Null is refused: without one nobody said which measurement is good. */
  policy: Policy | null;
  /** SEV-SNP: VCEK or VLEK, and what leads to AMD's root (DER), where the host has none. */
  leaf?: Uint8Array;
  chain?: readonly Uint8Array[];
  revocationList?: Uint8Array;
  /** TDX: Intel's collateral, JSON. */
  collateral?: string;
  roots?: VendorRoots;
}

/** @param answer the body, parsed from JSON. Never throws for anything in it. */
export async function verifyAnswer(answer: unknown, brought: Brought): Promise<Verdict> {
  const parsed = answerSchema.safeParse(answer);
  const kind: Kind = parsed.data?.kind ?? "none";
  let evidence: Verdict | null = null;
  const verdict = await collect(kind, brought.at, async (to) => {
    if (!parsed.success) {
      throw new Refused("answer", `the answer is not an attestation: ${parsed.error.issues[0]?.path.join(".")}`);
    }
    const reportData = checkBinding(parsed.data, brought, to);
    checkStatements(parsed.data, brought.policy, to);
    if (kind === "none") {
      throw new Refused("no_tee", "this instance does not run in a TEE: its operator can see everything");
    }
    if (kind === "simulated") throw new Refused("simulated", "this is a stand-in of the tests: it proves nothing");
    evidence = await verifyEvidence(evidenceIn(kind, parsed.data, brought), {
      at: brought.at,
      reportData,
      policy: brought.policy,
      ...(brought.roots && { roots: brought.roots }),
    });
  });
  return evidence ? merged(verdict, evidence) : verdict;
}

/** The report data of the answer is made of its parts, and whoever answers holds the instance's or the TLS key among them. */
function checkBinding(answer: InstanceAnswer, brought: Brought, to: Findings): Uint8Array {
  const { build, instanceKey, tlsKeyHash, signature } = answer;
  const reportData = reportDataOf({
    nonce: brought.nonce,
    build: build.sha256 === "unknown" ? null : hexToBytes(build.sha256),
    instanceKey: hexToBytes(instanceKey),
    tlsKeyHash: tlsKeyHash === undefined ? null : hexToBytes(tlsKeyHash),
  });
  const same = bytesToHex(reportData) === answer.reportData;
  to.demand(same, "report_data", "the report data is not made of this nonce, build and these keys");
  const byKey = signature !== undefined && isSigned(signature, bindingMessage(brought.nonce, reportData), instanceKey);
  const byTls = tlsKeyHash !== undefined && tlsKeyHash === brought.tlsKeyHash;
  if (signature !== undefined) to.demand(byKey, "binding", "the instance's key did not sign this nonce");
  const otherTls = tlsKeyHash !== undefined && brought.tlsKeyHash !== null && !byTls;
  to.demand(!otherTls, "binding", "the TLS key that answers is not the attested one: somebody stands in between");
  const shown = signature !== undefined || byTls;
  to.demand(shown, "binding", "whoever answers did not show that it holds the instance's key or the TLS key");
  const held = [byKey && "the instance's key", byTls && "the TLS key"].filter((name) => name !== false);
  const seen = byTls ? "attested, and it answers" : tlsKeyHash === undefined ? "not attested" : "attested, not seen";
  to.fact("TLS key", seen);
  to.fact("held by who answers", held.join(", ") || "nothing");
  return reportData;
}

function isSigned(signature: string, message: Uint8Array, publicKey: string): boolean {
  try {
    return schnorr.verify(hexToBytes(signature), message, hexToBytes(publicKey));
  } catch {
    return false; // the key is not on the curve
  }
}

function checkStatements({ build, instanceKey }: InstanceAnswer, policy: Policy | null, to: Findings): void {
  to.fact("version", build.version);
  to.fact("commit", build.commit);
  to.fact("build", build.sha256);
  to.fact("instanceKey", instanceKey);
  to.demand(policy !== null, "policy_missing", "no policy was given: nobody said which measurement is good");
  const knownBuild = !policy?.builds || policy.builds.includes(build.sha256);
  to.demand(knownBuild, "policy", `the policy does not list build ${build.sha256}`);
  const knownKey = !policy?.instanceKeys || policy.instanceKeys.includes(instanceKey);
  to.demand(knownKey, "policy", `the policy does not list instance key ${instanceKey}`);
}

/** @throws {Refused} when something is missing. */
function evidenceIn(kind: Hardware, answer: InstanceAnswer, brought: Brought): Evidence {
  const { quote } = answer;
  if (!quote) throw new Refused("answer", `the instance says ${kind} and shows no quote`);
  if (kind === "nitro") return { kind, document: quote };
  if (kind === "tdx") {
    const { collateral } = brought;
    if (collateral === undefined) {
      throw new Refused("material_missing", "Intel's collateral is missing: give --collateral");
    }
    return { kind, quote, collateral };
  }
  const table = answer.certificates ? certificatesInTable(answer.certificates) : [];
  const leaf = brought.leaf ?? leafAmong(table);
  if (!leaf) throw new Refused("material_missing", "the host gave no certificate of the chip's key: give --leaf");
  const { chain = [], revocationList } = brought;
  return { kind, report: quote, leaf, chain: [...chain, ...table], ...(revocationList && { revocationList }) };
}

const merged = (verdict: Verdict, evidence: Verdict): Verdict => ({
  ...verdict,
  ok: verdict.ok && evidence.ok,
  refusals: [...verdict.refusals, ...evidence.refusals],
  facts: { ...verdict.facts, ...evidence.facts },
  materials: evidence.materials,
});
