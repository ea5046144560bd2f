import { bytesToHex } from "@noble/hashes/utils.js";
import { sameBytes } from "./chain.ts";
import { checkNitro, type NitroEvidence } from "./nitro.ts";
import type { Policy } from "./policy.ts";
import { checkSnp, type SnpEvidence } from "./sev-snp.ts";
import { type CheckSignature, checkSignature } from "./signatures.ts";
import { checkTdx, type TdxEvidence } from "./tdx.ts";
import { collect, type Findings, type Verdict } from "./verdict.ts";
import { VENDOR_ROOTS, type VendorRoots } from "./vendor-roots.ts";

export type Evidence = SnpEvidence | TdxEvidence | NitroEvidence;

export interface Expectations {
  /** The time the evidence must be good at, ms since the epoch: evidence of long ago proves a past moment only. */
  at: number;
  /** The 64 bytes that must be signed; null: whatever they are. */
  reportData: Uint8Array | null;
  /** Null: the evidence is checked, and nothing is said about what it measures. */
  policy: Policy | null;
  /** Default: the vendors' own. */
  roots?: VendorRoots;
  check?: CheckSignature;
}

/** Checks evidence in this process, without asking anybody. Never throws for anything in the evidence. */
export function verifyEvidence(evidence: Evidence, expected: Expectations): Promise<Verdict> {
  const { at, policy, roots = VENDOR_ROOTS, check = checkSignature } = expected;
  return collect(evidence.kind, at, async (to) => {
    if (policy && !policy[evidence.kind]) to.refuse("policy", `the policy does not accept ${evidence.kind}`);
    const limit = policy?.maxMaterialAgeDays;
    const aged: Findings = limit === undefined ? to : { ...to, material: withAgeLimit(to, limit, at) };
    const found = await reportDataOf(evidence, roots, policy, { at, check }, aged);
    const same = !expected.reportData || sameBytes(found, expected.reportData);
    to.demand(same, "report_data", `the evidence is for other report data: ${bytesToHex(found)}`);
  });
}

function reportDataOf(
  evidence: Evidence,
  roots: VendorRoots,
  policy: Policy | null,
  trust: { at: number; check: CheckSignature },
  to: Findings,
): Promise<Uint8Array> {
  switch (evidence.kind) {
    case "sev-snp":
      return checkSnp(evidence, roots, policy?.["sev-snp"] ?? null, trust, to);
    case "tdx":
      return checkTdx(evidence, roots, policy?.tdx ?? null, trust, to);
    case "nitro":
      return checkNitro(evidence, roots, policy?.nitro ?? null, trust, to);
  }
}

const withAgeLimit = (to: Findings, days: number, at: number): Findings["material"] => (name, issued, expires) => {
  to.material(name, issued, expires);
  const young = at - issued <= days * 86_400_000;
  to.demand(young, "time", `${name} is older than the ${days} days that the policy allows`);
};
