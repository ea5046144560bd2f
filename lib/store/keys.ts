import { Buffer } from "node:buffer";
import { ENGINE_LIMITS, type Key } from "./engine.ts";

/** What the store does with keys: names for maps, sizes, and which of them are its own. */

/** First part of the keys under which the pieces of a large value lie: `["~", i, ...key]`. */
const CHUNK = "~";
/** The one row that is written before a store opens the database: see `data-dir.ts`. */
export const PROBE_TABLE = "probe";
/** First parts of keys only the store itself writes. */
const RESERVED: ReadonlySet<unknown> = new Set(["head", "event", CHUNK]);
/** Longer texts are measured natively: a loop is only faster for short ones. */
const SHORT = 128;

/** Names a row in maps. Texts come with their length, so that no two keys have one name. */
export function keyText(key: Key): string {
  let text = "";
  for (const part of key) text += typeof part === "string" ? `${part.length}:${part}` : `#${part};`;
  return text;
}

/** Key of piece `i` of the row at `key`. */
export const pieceKey = (key: Key, i: number): Key => [CHUNK, i, ...key];

/** Bytes of a text in UTF-8, and one more for each zero byte: the engine writes those as two. */
function textBytes(text: string): number {
  let zeros = 0;
  if (text.length <= SHORT) {
    let i = 0;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      if (code === 0) zeros++;
    }
    if (i === text.length) return text.length + zeros;
  }
  return Buffer.byteLength(text) + text.split("\0").length - 1;
}

/**
 * Upper bound of what a key takes in the engine's own encoding (bytes).
 * @throws {TypeError} when the engine cannot hold this key, or not tell it from another, or it is the store's own.
 */
export function writableKeyBytes(key: Key): number {
  if (key.length === 0) throw new TypeError("a key needs at least one part");
  let bytes = 0;
  for (const part of key) {
    if (typeof part === "string") bytes += 2 + textBytes(part);
    else if (Number.isFinite(part)) bytes += 10;
    else throw new TypeError(`a key cannot have the part ${part}`);
  }
  if (bytes > ENGINE_LIMITS.oneKeyBytes) {
    throw new TypeError(`a key of ${bytes} bytes: at most ${ENGINE_LIMITS.oneKeyBytes} can be stored`);
  }
  if (RESERVED.has(key[0])) throw new TypeError(`keys under ${key[0]} are the store's own`);
  return bytes;
}
