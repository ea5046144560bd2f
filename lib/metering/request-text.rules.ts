/** Why a request text is refused, or null when it is fine. `maxChars` counts Unicode code points, blanks included. */
export function checkRequest(text: string, maxChars: number): { code: string; message: string } | null {
  if (text.length === 0) return { code: "request_empty", message: "The request is empty. Send a question or a task." };
  // Every code point takes one or two units: a text that long is refused without counting.
  const chars = text.length > maxChars * 2 ? Infinity : [...text].length;
  if (chars > maxChars) {
    return { code: "request_too_long", message: `The request is longer than ${maxChars} characters. Shorten it.` };
  }
  if (text.trim().length === 0) {
    return { code: "request_blank", message: "The request holds only blanks. Send a question or a task." };
  }
  return null;
}
