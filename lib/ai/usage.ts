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

function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
