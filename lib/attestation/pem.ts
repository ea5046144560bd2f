import { Refused } from "./verdict.ts";

const BEGIN = "-----BEGIN CERTIFICATE-----\n";
const END = "-----END CERTIFICATE-----\n";

/**
 * The certificates of a PEM text, which must be what encoding them again gives, to the byte: lines of 64, line feeds, no spare bits
 * in the last digit; the very last line feed may be missing. PEM around signed bytes is not signed itself, and a lenient reader takes hundreds of changed texts for the same.
 * @throws {Refused}
 */
export function certificatesOf(pem: string): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const part of pem.split(BEGIN).slice(1)) {
    const body = part.split("-----")[0] ?? "";
    try {
      found.push(Uint8Array.from(atob(body), (char) => char.charCodeAt(0)));
    } catch {
      throw new Refused("malformed", "PEM: not base64");
    }
  }
  if (found.length === 0) throw new Refused("malformed", "PEM: no certificate");
  const exact = found.map(pemOf).join("");
  if (exact !== pem && exact !== `${pem}\n`) throw new Refused("malformed", "PEM: not in the one exact form");
  return found;
}

/** PEM of a certificate, with a line feed at its end. */
export function pemOf(bytes: Uint8Array): string {
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return BEGIN + text.replace(/.{1,64}/g, "$&\n") + END;
}
