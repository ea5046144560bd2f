/** Evidence of real machines (tests/fixtures/attestation), as the verifier takes it. */
import { certificatesOf } from "../pem.ts";
import type { Hardware } from "../verdict.ts";
import type { Evidence } from "../verify.ts";

const FOLDER = new URL("../../../tests/fixtures/attestation/", import.meta.url);

/** One case, as `vectors.json` has it. */
export interface Vector {
  kind: Hardware;
  name: string;
  at: string;
  expect: "ok" | "refused";
  refusedFor?: string[];
  [field: string]: unknown;
}

export const bytesOf = (path: string): Uint8Array => Deno.readFileSync(new URL(path, FOLDER));
export const textOf = (path: string): string => Deno.readTextFileSync(new URL(path, FOLDER));

export function vectorsOf(kind: Hardware): Vector[] {
  return JSON.parse(textOf(`${kind}/vectors.json`)).map((vector: Vector) => ({ ...vector, kind }));
}

export function evidenceOf(vector: Vector): Evidence {
  const { kind } = vector;
  const path = (field: string) => `${kind}/${vector[field]}`;
  switch (kind) {
    case "sev-snp":
      return {
        kind,
        report: bytesOf(path("report")),
        leaf: bytesOf(path("leaf")),
        chain: certificatesOf(textOf(path("chain"))),
      };
    case "tdx":
      return { kind, quote: bytesOf(path("quote")), collateral: textOf(path("collateral")) };
    case "nitro":
      return { kind, document: bytesOf(path("doc")) };
  }
}
