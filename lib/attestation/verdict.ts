/** What a check of evidence comes to, in one form for every kind of hardware. */

/** Hardware whose evidence is understood. */
export type Hardware = "sev-snp" | "tdx" | "nitro";
/** What an instance may say of itself: `none` is no TEE at all, `simulated` a stand-in of the tests. */
export type Kind = Hardware | "none" | "simulated";
export const HARDWARE: readonly Hardware[] = ["sev-snp", "tdx", "nitro"];

/** Why evidence is refused, for programs. Closed: a new reason is a new word here and in docs/attestation.md. */
export type RefusalCode =
  /** Bytes that do not have the one form they must have. */
  | "malformed"
  /** A version, algorithm or product that this verifier does not know. */
  | "unsupported"
  | "trailing_bytes"
  /** No certificate that the evidence needs, or no collateral. */
  | "material_missing"
  /** The chain does not end at the vendor's pinned root. */
  | "chain_root"
  | "chain_signature"
  /** Names, CA bits, path lengths or key usages that do not fit. */
  | "chain_form"
  /** A certificate, a list of revoked ones or collateral outside of its dates. */
  | "time"
  | "revoked"
  | "collateral_signature"
  /** Collateral of another processor, or lists of another issuer. */
  | "collateral_mismatch"
  /** The certificate belongs to another chip, or to another state of its firmware. */
  | "leaf_mismatch"
  /** The evidence is not signed by the key it names. */
  | "signature"
  /** The quoting enclave is not Intel's, or did not make the attestation key. */
  | "quoting_enclave"
  /** Firmware that is out of date, revoked, or of no known level. */
  | "tcb"
  /** The operator can read and change the memory. */
  | "debug"
  | "attributes"
  | "report_data"
  | "policy_missing"
  /** The policy does not accept this kind of hardware, or a value other than the measurement. */
  | "policy"
  | "measurement"
  | "no_tee"
  | "simulated"
  /** The instance did not answer, or with something else than its contract. */
  | "answer"
  /** Whoever answers did not show that it holds the attested key. */
  | "binding";

export interface Refusal {
  code: RefusalCode;
  /** For people: what is wrong, with public values only. */
  message: string;
}

/** Something with a date that the verdict rests on. */
export interface Material {
  name: string;
  /** ISO 8601. */
  issued: string;
  /** ISO 8601; null when it has no end. */
  expires: string | null;
  /** Whole days between `issued` and the time of the check. */
  ageDays: number;
}

export interface Verdict {
  ok: boolean;
  kind: Kind;
  /** The time for which this was checked, ISO 8601. */
  at: string;
  refusals: Refusal[];
  /** What the evidence says, in hex or words; only worth something when `ok`. */
  facts: Record<string, string>;
  materials: Material[];
}

/** Bytes that do not have the form they must have; {@link collect} makes a refusal of it. */
export class Refused extends Error {
  override name = "Refused";
  constructor(readonly code: RefusalCode, message: string) {
    super(message);
  }
}

/** Collects what is wrong, so that a report names everything at once. */
export interface Findings {
  refuse(code: RefusalCode, message: string): void;
  /** Refuses unless the condition holds. */
  demand(holds: boolean, code: RefusalCode, message: string): void;
  fact(name: string, value: string): void;
  /** @param issued @param expires ms since the epoch */
  material(name: string, issued: number, expires: number | null): void;
}

/**
 * Runs a check to its end or its first {@link Refused}; every other error is a fault of ours and is thrown on.
 * @param at ms since the epoch
 */
export async function collect(kind: Kind, at: number, check: (findings: Findings) => Promise<void>): Promise<Verdict> {
  const verdict: Verdict = { ok: false, kind, at: iso(at), refusals: [], facts: {}, materials: [] };
  const refuse = (code: RefusalCode, message: string) => void verdict.refusals.push({ code, message: plain(message) });
  try {
    await check({
      refuse,
      demand: (holds, code, message) => holds ? undefined : refuse(code, message),
      fact: (name, value) => void (verdict.facts[name] = plain(value)),
      material: (name, issued, expires) =>
        void verdict.materials.push({
          name: plain(name),
          issued: iso(issued),
          expires: expires === null ? null : iso(expires),
          ageDays: Math.floor((at - issued) / 86_400_000),
        }),
    });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refuse(error.code, error.message);
  }
  verdict.ok = verdict.refusals.length === 0;
  return verdict;
}

/** Names come from certificates that may be anybody's: no control characters reach a terminal. */
const plain = (text: string) => text.replace(/[^\x20-\x7e]/g, "?");

/** @param time ms since the epoch */
export const iso = (time: number): string => new Date(time).toISOString();

/** The verdict as lines for people. */
export function inWords(verdict: Verdict): string {
  const { ok, kind, at, refusals, facts, materials } = verdict;
  return [
    `${ok ? "ACCEPTED" : "REFUSED"}: ${kind}, checked for ${at}`,
    ...refusals.map(({ code, message }) => `  refused (${code}): ${message}`),
    ...Object.entries(facts).map(([name, value]) => `  ${name}: ${value}`),
    ...materials.map(({ name, issued, expires, ageDays }) =>
      `  ${name}: of ${issued}, ${ageDays} days old, ${expires === null ? "no end" : `good until ${expires}`}`
    ),
  ].join("\n");
}
