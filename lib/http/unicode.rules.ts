/** Whether what a caller sent is text at all: everything below reads it as JSON or as a query, which alter bytes that are not. */

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** An escape in JSON: half of a surrogate pair with its other half, half of one alone (named), or any other. */
const ESCAPE = /\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?<lone>ud[89a-f])|[^])/gi;
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

/** The escapes are looked at one by one from the start: behind an escaped backslash, `ud83d` is five letters. */
function holdsHalf(json: string): boolean {
  for (const { groups } of json.matchAll(ESCAPE)) {
    if (groups?.lone !== undefined) return true;
  }
  return false;
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
