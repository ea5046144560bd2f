/** What somebody who checks an instance accepts: a JSON file (docs/attestation.md). */
import { z } from "zod";
import { HARDWARE, type Hardware } from "./verdict.ts";

const hex = (bytes: number) =>
  z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), `must be ${2 * bytes} hex digits`);
const svn = z.int().min(0).max(255);

/** Intel's words for the state of firmware, best first; the last one is never accepted. */
export const TCB_STATUSES = [
  "UpToDate",
  "SWHardeningNeeded",
  "ConfigurationNeeded",
  "ConfigurationAndSWHardeningNeeded",
  "OutOfDate",
  "OutOfDateConfigurationNeeded",
  "Revoked",
] as const;
export type TcbStatus = (typeof TCB_STATUSES)[number];

const policySchema = z.strictObject({
  "sev-snp": z.strictObject({
    measurements: z.array(hex(48)).min(1),
    /** Privilege levels that may ask for evidence: a paravisor attests at 0 for what runs above it. */
    vmpl: z.array(z.int().min(0).max(3)).min(1),
    hostData: z.array(hex(32)).min(1).optional(),
    minimumTcb: z.strictObject({
      bootLoader: svn.optional(),
      tee: svn.optional(),
      snp: svn.optional(),
      microcode: svn.optional(),
      fmc: svn.optional(),
    }).optional(),
  }).optional(),
  tdx: z.strictObject({
    /** MRTD alone is the firmware: kernel and disk are in the RTMRs. */
    measurements: z.array(
      z.strictObject({ mrtd: hex(48), rtmr0: hex(48), rtmr1: hex(48), rtmr2: hex(48), rtmr3: hex(48).optional() }),
    ).min(1),
    tcb: z.array(z.enum(TCB_STATUSES).exclude(["Revoked"])).min(1).default(["UpToDate"]),
  }).optional(),
  nitro: z.strictObject({
    /** PCR3 and PCR4 are of the machine around it, so they are of no use here. */
    measurements: z.array(z.strictObject({ pcr0: hex(48), pcr1: hex(48), pcr2: hex(48), pcr8: hex(48).optional() }))
      .min(1),
  }).optional(),
  /** SHA-256 of the program's file. */
  builds: z.array(hex(32)).min(1).optional(),
  instanceKeys: z.array(hex(32)).min(1).optional(),
  /** Refuse evidence that rests on a revocation list or collateral older than this. */
  maxMaterialAgeDays: z.int().min(0).max(3_650).optional(),
});

export type Policy = z.output<typeof policySchema>;

/** @returns the policy, or what is wrong with the text. */
export function parsePolicy(text: string): { ok: true; policy: Policy } | { ok: false; message: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, message: "the policy is not JSON" };
  }
  const parsed = policySchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { ok: false, message: `the policy is not usable: ${issue?.path.join(".") || "it"} ${issue?.message}` };
  }
  if (!HARDWARE.some((kind: Hardware) => parsed.data[kind])) {
    return { ok: false, message: `the policy accepts nothing: it names none of ${HARDWARE.join(", ")}` };
  }
  return { ok: true, policy: parsed.data };
}
