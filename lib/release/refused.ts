/** Why a release, or a part of one, is not what it says it is. */
export type Reason =
  | "unsigned"
  | "signature"
  | "legacy-signature"
  | "unknown-key"
  | "comment"
  | "bundle"
  | "sums"
  | "missing"
  | "changed"
  | "unlisted"
  | "sbom"
  | "provenance"
  | "public-key";

/** A release is refused; the message says what was wrong, for a person. */
export class Refused extends Error {
  override name = "Refused";
  constructor(readonly reason: Reason, message: string) {
    super(message);
  }
}

/** Base64 in its one form: other spellings of the same bytes, which decoders forgive, are not taken. Null when it is none. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return base64Of(bytes) === text ? bytes : null;
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

/** Standard base64 with padding. */
export const base64Of = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** UTF-8, or null when it is not. A byte order mark is kept. */
export function textOfUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
