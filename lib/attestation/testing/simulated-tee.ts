/** A stand-in for hardware: reports of the real form, signed under a root that nobody else knows. */
import { selfMadeSnp, type SnpChanges } from "./self-made.ts";
import type { Attestor, Quote } from "../port.ts";
import type { VendorRoots } from "../vendor-roots.ts";

export interface SimulatedTee {
  attestor: Attestor;
  /** With which a verifier of a test accepts it: no verifier outside of the tests has them. */
  roots: VendorRoots;
}

/** @param kind what it says it is: a simulated TEE, unless a test of the verifier wants a whole acceptance */
export async function simulatedTee(
  options: { kind?: Quote["kind"]; build?: string; tlsKeyHash?: string; changes?: SnpChanges } = {},
): Promise<SimulatedTee> {
  const { kind = "simulated", build = "ab".repeat(32), tlsKeyHash = null, changes = {} } = options;
  const made = await selfMadeSnp(changes);
  const attestor: Attestor = {
    buildHash: () => Promise.resolve(build),
    tlsKeyHash,
    async quote(reportData) {
      const report = made.evidence.report.slice();
      report.set(reportData, 0x50);
      const signature = await made.leaf.key.sign(report.subarray(0, 0x2a0));
      report.set(signature.slice(0, 48).reverse(), 0x2a0);
      report.set(signature.slice(48).reverse(), 0x2a0 + 72);
      const notCertificate = new Uint8Array(40);
      const table = tableOf([notCertificate, made.leaf.certificate, made.ask.certificate, made.ark.certificate]);
      return { kind, quote: report, certificates: table };
    },
  };
  return { attestor, roots: made.roots };
}

/** The table of certificates of an SEV-SNP host. */
export function tableOf(parts: readonly Uint8Array[]): Uint8Array {
  const start = 24 * (parts.length + 1);
  const table = new Uint8Array(parts.reduce((sum, part) => sum + part.length, start));
  const view = new DataView(table.buffer);
  let offset = start;
  for (const [i, part] of parts.entries()) {
    table.fill(i + 1, 24 * i, 24 * i + 16);
    view.setUint32(24 * i + 16, offset, true);
    view.setUint32(24 * i + 20, part.length, true);
    table.set(part, offset);
    offset += part.length;
  }
  return table;
}
