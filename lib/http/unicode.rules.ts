/** Whether what a caller sent is text at all: everything below reads it as JSON or as a query, which alter bytes that are not. */

const utf8 = new TextDecoder("utf-8", { fatal: true });

const HALF = /\\u[dD][89a-fA-F]/;

/** Percent-encoded bytes that stand together: a character may take up to four. */
const ENCODED = /(?:%[0-9a-f]{2})+/gi;

/** Why the bytes of a body are no Unicode text, or null. A byte order mark at the start is fine. */
export function bodyFault(bytes: Uint8Array): string | null {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return "The body is not valid Unicode: its bytes are not UTF-8. Send JSON that is encoded as UTF-8.";
  }
  return HALF.test(text) && holdsHalf(text)
    ? "The body is not valid Unicode: an escape from \\ud800 to \\udfff stands without its other half. Send whole characters."
    : null;
}

/**
 * The escapes are looked at one by one from the start: behind an escaped backslash, `ud83d` is five letters. By hand, since a
 * megabyte of backslashes takes a regular expression's matches long enough to keep everybody else waiting.
 */
function holdsHalf(json: string): boolean {
  for (let at = json.indexOf("\\"); at >= 0; at = json.indexOf("\\", at)) {
    const half = halfAt(json, at);
    if (half === "low" || (half === "high" && halfAt(json, at + 6) !== "low")) return true;
    at += half === "high" ? 12 : 2;
  }
  return false;
}

/** Which half of a surrogate pair is escaped at this place: `\ud800` to `\udbff` is the high one, up to `\udfff` the low one. */
function halfAt(json: string, at: number): "high" | "low" | null {
  if (json[at] !== "\\" || json[at + 1] !== "u" || (json[at + 2] !== "d" && json[at + 2] !== "D")) return null;
  const digit = json[at + 3] ?? "0";
  return "89abAB".includes(digit) ? "high" : "cdefCDEF".includes(digit) ? "low" : null;
}

/** Why a query (`?a=b`) is no Unicode text, or null. A `%` that encodes nothing stands for itself. */
export function queryFault(query: string): string | null {
  try {
    query.match(ENCODED)?.forEach(decodeURIComponent);
    return null;
  } catch {
    return "The query is not valid Unicode: its percent-encoded bytes are not UTF-8. Encode it as UTF-8.";
  }
}
