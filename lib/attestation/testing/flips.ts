/** Every single bit of evidence, turned over: what is still accepted then is a hole. */
import { createHash } from "node:crypto";
import { bytesToHex } from "@noble/hashes/utils.js";
import { createSeededRandom } from "@/tests/harness/seeded-random.ts";
import { type CheckSignature, checkSignature } from "../signatures.ts";
import type { Hardware } from "../verdict.ts";
import { type Evidence, verifyEvidence } from "../verify.ts";
import { evidenceOf, type Vector, vectorsOf } from "./vectors.ts";

/** A run of bytes, and the evidence that has a changed copy of them. */
export interface Region {
  name: string;
  at: number;
  bytes: Uint8Array;
  from: number;
  to: number;
  with(changed: Uint8Array): Evidence;
}

export interface FlipResult {
  name: string;
  bits: number;
  tried: number;
  refused: number;
  /** `byte.bit` of what was accepted, at most twenty. */
  accepted: string[];
  ms: number;
}

/** The regions of everything that real machines signed and that is good. */
export function regions(): Region[] {
  const good = (["sev-snp", "tdx", "nitro"] as Hardware[]).flatMap(vectorsOf).filter(({ expect }) => expect === "ok");
  return good.flatMap(regionsOf);
}

function regionsOf(vector: Vector): Region[] {
  const evidence = evidenceOf(vector);
  const { name } = vector;
  const at = Date.parse(vector.at);
  const region = (what: string, bytes: Uint8Array, change: Region["with"], from = 0, to = bytes.length): Region => ({
    name: `${name} ${what}`,
    at,
    bytes,
    from,
    to,
    with: change,
  });
  if (evidence.kind === "nitro") {
    return [region("document", evidence.document, (document) => ({ ...evidence, document }))];
  }
  if (evidence.kind === "sev-snp") {
    const change = (report: Uint8Array) => ({ ...evidence, report });
    return [
      region("report, signed", evidence.report, change, 0, 0x2a0),
      region("report, signature and padding", evidence.report, change, 0x2a0),
      region("leaf", evidence.leaf, (leaf) => ({ ...evidence, leaf })),
    ];
  }
  const change = (quote: Uint8Array) => ({ ...evidence, quote });
  const pem = new TextDecoder("latin1").decode(evidence.quote).indexOf("-----BEGIN");
  const collateral = (changed: Uint8Array) => ({
    ...evidence,
    collateral: new TextDecoder("latin1").decode(changed),
  });
  return [
    region("quote up to its chain", evidence.quote, change, 0, pem),
    region("quote's chain in PEM, and zeros behind", evidence.quote, change, pem),
    region("collateral", new TextEncoder().encode(evidence.collateral), collateral),
  ];
}

/**
 * Turns over bits of a region, one at a time.
 * @param part of the bits to try: 1 is all of them, less a sample that the seed decides
 */
export async function flip(region: Region, part: number, seed: number): Promise<FlipResult> {
  const { bytes, from, to, at } = region;
  const started = performance.now();
  const bits = Array.from({ length: (to - from) * 8 }, (_, i) => from * 8 + i);
  const chosen = part >= 1 ? bits : sample(bits, Math.ceil(bits.length * part), seed);
  const remember = await remembering(region);
  const accepted: string[] = [];
  let refused = 0;
  for (const bit of chosen) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    const verdict = await verifyEvidence(region.with(changed), { at, reportData: null, policy: null, check: remember });
    if (!verdict.ok) refused++;
    else if (accepted.length < 20) accepted.push(`${bit >> 3}.${bit & 7}`);
  }
  const ms = Math.round(performance.now() - started);
  return { name: region.name, bits: bits.length, tried: chosen.length, refused, accepted, ms };
}

/** Signatures that the unchanged evidence has are checked once: a flip changes one or two of them. */
async function remembering(region: Region): Promise<CheckSignature> {
  const known = new Map<string, boolean>();
  const keyOf = (scheme: string, parts: Uint8Array[]) => {
    const hash = createHash("sha256").update(scheme);
    for (const part of parts) hash.update(`${part.length}:`).update(part);
    return hash.digest("hex");
  };
  const learn: CheckSignature = async (scheme, ...parts) => {
    const good = await checkSignature(scheme, ...parts);
    known.set(keyOf(scheme, parts), good);
    return good;
  };
  const { at, bytes } = region;
  const verdict = await verifyEvidence(region.with(bytes), { at, reportData: null, policy: null, check: learn });
  if (!verdict.ok) throw new Error(`${region.name} is refused without any change`);
  return async (scheme, ...parts) => known.get(keyOf(scheme, parts)) ?? await checkSignature(scheme, ...parts);
}

function sample(bits: number[], count: number, seed: number): number[] {
  const random = createSeededRandom(seed);
  for (let i = 0; i < count; i++) {
    const j = i + parseInt(bytesToHex(random.bytes(4)), 16) % (bits.length - i);
    [bits[i], bits[j]] = [bits[j]!, bits[i]!];
  }
  return bits.slice(0, count);
}
