/** How SSH writes data down (RFC 4251 §5): numbers and texts with their length before them, and the base64 around them. */

/** The bytes do not have the shape they must have. The message names no byte of them, so it is safe to show. */
export class SshFormatError extends Error {
  override name = "SshFormatError";
}

const ALPHABET = /^[A-Za-z0-9+/]+={0,2}$/;

/** Standard base64, padded, with one spelling only: another one of the same bytes would pass for another text. Null: it is not that. */
export function fromStrictBase64(text: string): Uint8Array | null {
  if (!ALPHABET.test(text) || text.length % 4 !== 0) return null;
  const binary = atob(text);
  return btoa(binary) === text ? Uint8Array.from(binary, (char) => char.charCodeAt(0)) : null;
}

/** Standard base64, padded. For a few KiB at most. */
export const toBase64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** Reads one value after the other. Each method throws {@link SshFormatError} where the bytes end too early. */
export interface SshReader {
  /** So many bytes as they stand. */
  take(length: number): Uint8Array;
  uint32(): number;
  /** A `string` of the RFC: its length in four bytes, then its bytes. */
  string(): Uint8Array;
  /** A `string` that holds printable ASCII only, as every name in SSH does. */
  name(): string;
  /** The bytes of an `mpint` above zero, without the zero byte that keeps it positive; throws for a longer spelling than needed. */
  positive(): Uint8Array;
  /** Throws when anything is left. */
  end(): void;
}

export function readSsh(bytes: Uint8Array): SshReader {
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new SshFormatError("it is cut off");
    at += length;
    return bytes.subarray(at - length, at);
  };
  const uint32 = () => take(4).reduce((number, byte) => number * 256 + byte, 0);
  const string = () => take(uint32());
  return {
    take,
    uint32,
    string,
    name() {
      const text = String.fromCharCode(...string());
      if (!/^[\x20-\x7e]*$/.test(text)) throw new SshFormatError("a name in it is not plain text");
      return text;
    },
    positive() {
      const number = string();
      const [first = 0, second = 0] = number;
      const negative = first >= 0x80;
      const longer = first === 0 && second < 0x80;
      if (negative || longer) throw new SshFormatError("a number in it is not written as SSH writes numbers");
      return first === 0 ? number.subarray(1) : number;
    },
    end() {
      if (at !== bytes.length) throw new SshFormatError("something stands behind its end");
    },
  };
}

/** Texts and bytes as `string`s of the RFC, one after the other. */
export function writeSsh(...values: (string | Uint8Array)[]): Uint8Array {
  const parts = values.flatMap((value) => {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length);
    return [...length, ...bytes];
  });
  return Uint8Array.from(parts);
}
