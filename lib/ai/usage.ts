import { countCharacters } from "@/lib/metering/pricing.rules.ts";
import type { Usage } from "./port.ts";

/** Characters counted as one token where nobody counted the tokens (economy.md §3). */
export const CHARACTERS_PER_TOKEN = 4;

/** Tokens of a text, counted by its Unicode code points: `ceil(characters / 4)`, 0 for an empty text. */
export function estimateTokens(text: string): number {
  return Math.ceil(countCharacters(text) / CHARACTERS_PER_TOKEN);
}

/**
 * Usage counted by characters, for a provider that reported none. Never zero: a call that was made cost something,
 * and a row of zeros would read as "free".
 */
export function estimatedUsage(input: string, output: string): Usage {
  return {
    inputTokens: Math.max(1, estimateTokens(input)),
    outputTokens: Math.max(1, estimateTokens(output)),
    source: "estimated",
  };
}

/** Adds up what a call has used while its answer is being written. */
export interface UsageMeter {
  /** The answer so far. */
  readonly text: string;
  add(piece: string): void;
  /** Text that was written and is paid, but is not the answer: reasoning. */
  addHidden(piece: string): void;
  /** What the provider has counted up to here: totals, not differences. What it left out, or counted as none, stays. */
  count(counted: { inputTokens?: number; outputTokens?: number }): void;
  /** What is charged if the call ends here; undefined before anything was counted or written. */
  soFar(): Usage | undefined;
  /** What the call has used: the provider's counts, and characters (4 a token) for all that it has not counted. */
  total(): Usage;
}

/**
 * A meter of one call. Text that came after the provider's last count is counted by its characters; a count from
 * before the first text says nothing about the text.
 * @param prompt all input of the call, asked for only when the provider counted none.
 */
export function createUsageMeter(prompt: () => string): UsageMeter {
  let text = "";
  let inputTokens = 0;
  let outputTokens: number | undefined;
  /** What was written, answer or not, since the provider last counted its output. */
  let uncounted = "";
  let isWritten = false;
  /** False while the only count is one from before the first text. */
  let countedText = false;

  const total = (): Usage => {
    const input = inputTokens > 0 ? inputTokens : Math.max(1, estimateTokens(prompt()));
    const isCounted = outputTokens !== undefined && uncounted === "";
    const output = isCounted
      ? outputTokens ?? 0
      : Math.max(1, (countedText ? outputTokens ?? 0 : 0) + estimateTokens(uncounted));
    return {
      inputTokens: input,
      outputTokens: output,
      source: isCounted && inputTokens > 0 ? "api" : "estimated",
    };
  };
  const addHidden = (piece: string) => {
    uncounted += piece;
    isWritten ||= piece !== "";
  };

  return {
    get text() {
      return text;
    },
    add(piece) {
      text += piece;
      addHidden(piece);
    },
    addHidden,
    count(counted) {
      inputTokens = Math.max(inputTokens, counted.inputTokens ?? 0);
      // No tokens for a text that is there cannot be.
      if (counted.outputTokens === undefined || (counted.outputTokens === 0 && isWritten)) return;
      outputTokens = counted.outputTokens;
      countedText = isWritten;
      uncounted = "";
    },
    soFar: () => inputTokens === 0 && outputTokens === undefined && !isWritten ? undefined : total(),
    total,
  };
}

/** The first `limit` code points of a text: a cut by UTF-16 units could leave half a character. */
export function firstCharacters(text: string, limit: number): string {
  if (text.length <= limit) return text;
  let end = 0;
  let count = 0;
  for (const character of text) {
    if (count === limit) break;
    count++;
    end += character.length;
  }
  return text.slice(0, end);
}
