/**
 * Between the program and the helper that may open `/sys` and `/dev`: one connection a question, one line of JSON each way.
 *
 *   → {"reportData":"<128 hex digits>"}
 *   ← {"kind":"sev-snp","quote":"<base64>","certificates":"<base64>"}   certificates: SEV-SNP, where the host has them
 *   ← {"error":"what is wrong"}
 */
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import type { Quote } from "./port.ts";

export const REPORT_DATA_BYTES = 64;
/** The longest question (bytes, with its line feed). */
export const MAX_QUESTION = 256;
/** The longest answer (bytes): quotes have 5 KB, tables of certificates 20 KB. */
export const MAX_ANSWER = 262_144;

const base64 = z.base64().transform((text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
const questionSchema = z.strictObject({ reportData: z.string().regex(/^[0-9a-f]{128}$/) });
const answerSchema = z.union([
  z.strictObject({ error: z.string().max(500) }),
  z.strictObject({
    kind: z.enum(["sev-snp", "tdx", "nitro", "simulated"]),
    quote: base64.refine((bytes) => bytes.length > 0),
    certificates: base64.optional(),
  }),
]);

export const questionLine = (reportData: Uint8Array): string =>
  `${JSON.stringify({ reportData: bytesToHex(reportData) })}\n`;

/** @returns the 64 bytes that are asked for; null for a line that is no question. */
export function parseQuestion(line: string): Uint8Array | null {
  const parsed = questionSchema.safeParse(json(line));
  return parsed.success ? hexToBytes(parsed.data.reportData) : null;
}

export function answerLine(answer: Quote | { error: string }): string {
  if ("error" in answer) return `${JSON.stringify({ error: answer.error.slice(0, 500) })}\n`;
  const { kind, quote, certificates } = answer;
  return `${
    JSON.stringify({ kind, quote: toBase64(quote), ...(certificates && { certificates: toBase64(certificates) }) })
  }\n`;
}

/** @returns null for a line that is no answer. */
export function parseAnswer(line: string): Quote | { error: string } | null {
  const parsed = answerSchema.safeParse(json(line));
  if (!parsed.success) return null;
  const answer = parsed.data;
  return "error" in answer ? answer : { ...answer, certificates: answer.certificates ?? null };
}

export const toBase64 = (bytes: Uint8Array): string =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

interface Readable {
  read(into: Uint8Array): Promise<number | null>;
}

/**
 * Everything up to the first line feed, which must come within `max` bytes and with nothing behind it.
 * @returns null when it does not.
 */
export async function readLine(from: Readable, max: number): Promise<string | null> {
  const bytes = new Uint8Array(max);
  let length = 0;
  while (length < max) {
    const count = await from.read(bytes.subarray(length));
    if (count === null) return null;
    const end = bytes.subarray(length, length + count).indexOf(0x0a);
    length += count;
    if (end >= 0) return end === count - 1 ? new TextDecoder().decode(bytes.subarray(0, length - 1)) : null;
  }
  return null;
}

/** Writes all of it: a socket takes what fits. */
export async function writeAll(to: { write(bytes: Uint8Array): Promise<number> }, text: string): Promise<void> {
  let rest = new TextEncoder().encode(text);
  while (rest.length > 0) rest = rest.subarray(await to.write(rest));
}

/** A line's JSON; undefined for anything else, which no schema takes. */
function json(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
