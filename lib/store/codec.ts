import { Buffer } from "node:buffer";

/** Records as JSON: what may be stored, how it lies in the engine, and the frozen value that readers get. */

/** Every stored record carries the version of its own shape, so that a newer program can read an older row. */
export interface Versioned {
  readonly v: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A value as it will be stored, and as every reader will see it: frozen, and equal to what its JSON says. */
export interface Sealed<T> {
  value: T;
  text: string;
}

/**
 * Seals a record.
 * @throws {TypeError} when it is no object with a whole `v` of at least 1 (0 marks a value in pieces), or holds what JSON
 * would silently change.
 */
export function sealRecord<T extends Versioned>(value: T): Sealed<T> {
  if (typeof value !== "object" || value === null || !Number.isInteger(value.v) || value.v < 1) {
    throw new TypeError("a stored record must be an object with a whole number v of at least 1");
  }
  return seal(value);
}

/** Seals any object. The given one is frozen: changing it later throws. @throws {TypeError} for what JSON cannot hold. */
export function seal<T extends object>(value: T): Sealed<T> {
  const text = JSON.stringify(value);
  // What JSON leaves out or changes, readers of the row must not see before a restart either.
  return freeze(value, "") ? { value, text } : { value: frozen(text), text };
}

/** A volatile record: frozen as a stored one would be. @throws as {@link sealRecord}. */
export const freezeRecord = <T extends Versioned>(value: T): T => sealRecord(value).value;

/** The value of a JSON text, frozen with all that is in it. */
function frozen<T>(text: string): T {
  const value = JSON.parse(text) as T;
  freeze(value, "");
  return value;
}

/**
 * Freezes plain objects and arrays with all that is in them.
 * @returns whether JSON gives the value back as it is. @throws {TypeError} for a number that would come back as null.
 */
function freeze(value: unknown, name: string): boolean {
  if (typeof value === "string") return true;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) {
      throw new TypeError(`field ${name} is ${value}: not stored, it would come back as null`);
    }
    return value !== 0 || !Object.is(value, -0);
  }
  if (typeof value === "boolean" || value === null) return true;
  if (typeof value !== "object") return false;
  if (Array.isArray(value)) {
    let same = true;
    for (let i = 0; i < value.length; i++) if (!freeze(value[i], name)) same = false;
    if (!Object.isFrozen(value)) Object.freeze(value);
    return same;
  }
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  let same = isPlain;
  for (const field in value) if (!freeze((value as Record<string, unknown>)[field], field)) same = false;
  if (isPlain && !Object.isFrozen(value)) Object.freeze(value);
  return same;
}

/** A record as it lies in the engine: UTF-8 JSON, in pieces when larger than one value may be. */
export interface EncodedRow {
  value: Uint8Array;
  /** Bytes of the pieces beside the row itself; empty for a value that fits in one row. */
  pieces: Uint8Array[];
}

export const utf8 = (text: string): Uint8Array => encoder.encode(text);
export const utf8Bytes = (text: string): number => Buffer.byteLength(text);

/** UTF-8 of many texts in one piece of memory: one for each text would cost several times as much. */
export class Utf8Writer {
  #rest: Uint8Array;

  /** @param bytes of all texts together, at least. */
  constructor(bytes: number) {
    this.#rest = new Uint8Array(bytes);
  }

  write(text: string): Uint8Array {
    const { read, written } = encoder.encodeInto(text, this.#rest);
    if (read < text.length) throw new Error("a text is longer than was said");
    const bytes = this.#rest.subarray(0, written);
    this.#rest = this.#rest.subarray(written);
    return bytes;
  }
}

/** Lays out a row whose JSON has these bytes, in pieces of at most `pieceBytes` when it is larger than that. */
export function encode(whole: Uint8Array, pieceBytes: number): EncodedRow {
  if (whole.length <= pieceBytes) return { value: whole, pieces: [] };
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += pieceBytes) pieces.push(whole.subarray(at, at + pieceBytes));
  return { value: utf8(JSON.stringify({ v: 0, pieces: pieces.length, bytes: whole.length })), pieces };
}

/** How the row that stands for a large value begins. No record does: their `v` is at least 1. */
const HEADER = utf8('{"v":0,"pieces":');

/** How many pieces lie beside a row with these bytes: 0 for an ordinary row. */
export function piecesOf(value: Uint8Array): number {
  for (let i = 0; i < HEADER.length; i++) if (value[i] !== HEADER[i]) return 0;
  return (JSON.parse(decoder.decode(value)) as { pieces: number }).pieces;
}

/** The frozen record of a row read back, `pieces` in order. @throws when the bytes are not what `encode` laid out. */
export function decode<T>(value: Uint8Array, pieces: readonly Uint8Array[] = []): T {
  if (pieces.length === 0) return frozen(decoder.decode(value));
  const header = JSON.parse(decoder.decode(value)) as { pieces: number; bytes: number };
  const whole = new Uint8Array(header.bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  if (pieces.length !== header.pieces || at !== header.bytes) throw new Error("a large value is not complete");
  return frozen(decoder.decode(whole));
}
