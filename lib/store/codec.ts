import { Buffer } from "node:buffer";
import { ENGINE_LIMITS, type Key } from "./engine.ts";

/** Every stored record carries the version of its own shape, so that a newer program can read an older row. */
export interface Versioned {
  readonly v: number;
}

/** First part of the keys under which the pieces of a large value lie: `["~", i, ...key]`. */
const CHUNK = "~";
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A record as it is stored: UTF-8 JSON, split when larger than `pieceBytes`. */
export interface EncodedRow {
  value: Uint8Array;
  /** Bytes of the pieces beside the row itself; empty for a value that fits in one row. */
  pieces: Uint8Array[];
  bytes: number;
}

/**
 * JSON text of a record.
 * @throws {TypeError} when it is no object with a whole `v` of at least 1 (0 marks a value in pieces), or holds what JSON
 * would silently change.
 */
export function toText(value: Versioned): string {
  if (typeof value !== "object" || value === null || !Number.isInteger(value.v) || value.v < 1) {
    throw new TypeError("a stored record must be an object with a whole number v of at least 1");
  }
  return JSON.stringify(value, (name, part) => {
    if (typeof part === "number" && !Number.isFinite(part)) {
      throw new TypeError(`field ${name} is ${part}: not stored, it would come back as null`);
    }
    return part;
  });
}

/** Makes a value and all that is in it unchangeable. @throws {TypeError} for a number JSON cannot hold. */
function freeze(value: unknown, name: string): boolean {
  if (typeof value === "number") {
    if (!Number.isFinite(value)) {
      throw new TypeError(`field ${name} is ${value}: not stored, it would come back as null`);
    }
    return !Object.is(value, -0);
  }
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value !== "object") return false;
  let plain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  for (const [key, part] of Object.entries(value)) plain = freeze(part, key) && plain;
  Object.freeze(value);
  return plain;
}

/** A record frozen as JSON would give it back: the object itself when JSON changes nothing of it. @throws as {@link toText}. */
export function frozen<T extends Versioned>(value: T): T {
  const text = toText(value);
  if (freeze(value, "")) return value;
  const copy = JSON.parse(text) as T;
  freeze(copy, "");
  return copy;
}

/** Bytes of a row whose JSON is `text`, in pieces of at most `pieceBytes` when it is larger than that. */
export function encode(text: string, pieceBytes: number): EncodedRow {
  const whole = encoder.encode(text);
  if (whole.length <= pieceBytes) return { value: whole, pieces: [], bytes: whole.length };
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += pieceBytes) pieces.push(whole.subarray(at, at + pieceBytes));
  const value = encoder.encode(JSON.stringify({ v: 0, pieces: pieces.length, bytes: whole.length }));
  return { value, pieces, bytes: whole.length + value.length };
}

/** Key of piece `i` of the row at `key`. */
export const pieceKey = (key: Key, i: number): Key => [CHUNK, i, ...key];

/** How many pieces lie beside a row with these bytes: 0 for an ordinary row. */
export function piecesOf(value: Uint8Array): number {
  const text = decoder.decode(value);
  if (!text.startsWith('{"v":0,"pieces":')) return 0;
  return (JSON.parse(text) as { pieces: number }).pieces;
}

/** JSON text of a row read back, `pieces` in order. @throws when the bytes are not what `encode` wrote. */
export function decode(value: Uint8Array, pieces: readonly Uint8Array[] = []): string {
  if (pieces.length === 0) return decoder.decode(value);
  const header = JSON.parse(decoder.decode(value)) as { pieces: number; bytes: number };
  const whole = new Uint8Array(header.bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  if (pieces.length !== header.pieces || at !== header.bytes) throw new Error("a large value is not complete");
  return decoder.decode(whole);
}

export const utf8Bytes = (text: string): number => Buffer.byteLength(text);

/** Upper bound of what a key takes in the engine's own encoding (a zero byte in a text takes two). */
export function keyBytes(key: Key): number {
  let bytes = 0;
  for (const part of key) {
    bytes += 2 + (typeof part === "number" ? 8 : utf8Bytes(part));
    if (typeof part === "string" && part.includes("\0")) bytes += part.split("\0").length - 1;
  }
  return bytes;
}

/** @throws {TypeError} when the engine cannot hold this key, or not tell it from another. */
export function checkKey(key: Key): void {
  if (key.length === 0) throw new TypeError("a key needs at least one part");
  for (const part of key) {
    if (typeof part === "number" && !Number.isFinite(part)) throw new TypeError(`a key cannot have the part ${part}`);
  }
  const bytes = keyBytes(key);
  if (bytes > ENGINE_LIMITS.oneKeyBytes) {
    throw new TypeError(`a key of ${bytes} bytes: at most ${ENGINE_LIMITS.oneKeyBytes} can be stored`);
  }
}
