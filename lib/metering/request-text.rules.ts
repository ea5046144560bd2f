/**
 * What shows nothing by itself: blanks, control characters, what Unicode ignores by default (zero-width spaces and joiners, soft
 * hyphens, variation selectors, Hangul fillers, tags), the empty Braille pattern and the marks of annotations.
 */
const INVISIBLE = /^[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}\u2800\ufff9-\ufffb]*$/u;

/** Whether a text is empty or holds nothing that a reader would see: there is nothing to ask for then, nor to pay for. */
export const isBlank = (text: string): boolean => INVISIBLE.test(text);

/** The refusal of a request that {@link isBlank}. */
export const EMPTY_REQUEST = {
  code: "request_empty",
  message: "The request is empty: it holds no visible text. Send a question or a task.",
} as const;

/** Why a request text is refused, or null when it is fine. `maxChars` counts Unicode code points, blanks included. */
export function checkRequest(text: string, maxChars: number): { code: string; message: string } | null {
  // Every code point takes one or two units: a text that long is refused without counting.
  const chars = text.length > maxChars * 2 ? Infinity : [...text].length;
  if (chars > maxChars) {
    return { code: "request_too_long", message: `The request is longer than ${maxChars} characters. Shorten it.` };
  }
  return isBlank(text) ? EMPTY_REQUEST : null;
}
