import { countedTokens, createTokenCounter, type TokenCounter } from "./tokens.rules.ts";
import type { Usage } from "./port.ts";

/**
 * Usage counted by the text, for a provider that reported none (economy.md §3). Never zero: a call that was made cost
 * something, and a row of zeros would read as "free".
 */
export function estimatedUsage(input: string, output: string): Usage {
  return {
    inputTokens: Math.max(1, countedTokens(input)),
    outputTokens: Math.max(1, countedTokens(output)),
    source: "estimated",
  };
}

/** Adds up what a call has used while its answer is being written. */
interface UsageMeter {
  /** The answer so far. */
  readonly text: string;
  add(piece: string): void;
  /** Text that was written and is paid, but is not the answer: reasoning. */
  addHidden(piece: string): void;
  /** What the provider has counted up to here: totals, not differences. What it left out, or counted as none, stays. */
  count(counted: { inputTokens?: number; outputTokens?: number }): void;
  /** What is charged if the call ends here; undefined before anything was counted or written. */
  soFar(): Usage | undefined;
  /** What the call has used: the provider's counts, and our own count of all that it has not counted. */
  total(): Usage;
}

/**
 * A meter of one call. Text that came after the provider's last count is counted by us; a count from
 * before the first text says nothing about the text.
 * @param prompt all input of the call, asked for only when the provider counted none.
 */
export function createUsageMeter(prompt: () => string): UsageMeter {
  let text = "";
  let inputTokens = 0;
  let outputTokens: number | undefined;
  /** What was written, answer or not, since the provider last counted its output. */
  let uncounted: TokenCounter | null = null;
  let isWritten = false;
  /** False while the only count is one from before the first text. */
  let countedText = false;

  const total = (): Usage => {
    const input = inputTokens > 0 ? inputTokens : Math.max(1, countedTokens(prompt()));
    const isCounted = outputTokens !== undefined && uncounted === null;
    const output = isCounted
      ? outputTokens ?? 0
      : Math.max(1, (countedText ? outputTokens ?? 0 : 0) + (uncounted?.tokens ?? 0));
    return {
      inputTokens: input,
      outputTokens: output,
      source: isCounted && inputTokens > 0 ? "api" : "estimated",
    };
  };
  const addHidden = (piece: string) => {
    if (piece === "") return;
    uncounted ??= createTokenCounter();
    uncounted.add(piece);
    isWritten = true;
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
      uncounted = null;
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
