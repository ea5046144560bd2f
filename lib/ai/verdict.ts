import { z } from "zod";
import { firstCharacters } from "./usage.ts";

/** A verdict without its usage. */
interface Verdict {
  accepted: boolean;
  reason: string;
}

/** Longest reason a payer sees, in characters (port.ts). */
const REASON_MAX_CHARS = 500;

/** Output limit of an evaluation, in tokens: room for the reason the schema allows, in any script. */
export const EVALUATION_MAX_OUTPUT_TOKENS = 400;

/**
 * JSON Schema of a verdict, for a forced tool call or a response format. The reason comes first, so that a model that
 * writes in order has given its reason before it decides. It allows less than {@link REASON_MAX_CHARS}: providers do
 * not enforce `maxLength`, and what is longer is cut.
 */
export const VERDICT_JSON_SCHEMA = {
  type: "object" as const,
  properties: {
    reason: { type: "string", maxLength: 300, description: "One sentence for the person who sent the request." },
    accepted: { type: "boolean", description: "true: the work may be done. false: refused." },
  },
  required: ["reason", "accepted"],
  additionalProperties: false,
};

const verdictShape = z.object({ accepted: z.boolean(), reason: z.string() });

/**
 * A verdict from what a model put into the tool call or the JSON answer. Only a real boolean decides: "true" is not
 * true. A reason that is too long or holds control characters is tidied, since it is shown to people; a missing one
 * is not worth a second paid call.
 * @returns null when it is not a verdict.
 */
export function parseVerdict(value: unknown): Verdict | null {
  const parsed = verdictShape.safeParse(value);
  if (!parsed.success) return null;
  const { accepted, reason } = parsed.data;
  const shown = firstCharacters(reason.replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim(), REASON_MAX_CHARS);
  if (shown !== "") return { accepted, reason: shown };
  return { accepted, reason: accepted ? "Accepted." : "Refused; the model gave no reason." };
}

/** As {@link parseVerdict}, from JSON text. The whole text must be the document: nothing is fished out of prose. */
export function parseVerdictText(text: string): Verdict | null {
  try {
    return parseVerdict(JSON.parse(text));
  } catch {
    return null;
  }
}
